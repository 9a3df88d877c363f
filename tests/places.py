"""Folders of empty clips with lists of them, read as a user's settings say."""

from pathlib import Path

import pytest

from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import ListingError
from autox_video.data.listing.listing import read_listing, split_listing


class Place:
    """A folder with `videos` and list files in it, the current one."""

    def videos(self, *paths):
        for path in paths:
            Path("videos", path).parent.mkdir(parents=True, exist_ok=True)
            Path("videos", path).touch()

    def frames(self, *folders):
        self.videos(*(f"{folder}/{i:05d}.jpg" for folder in folders for i in (1, 2)))

    def write(self, **files):
        for name, text in files.items():
            path = Path(name.replace("__", "/").replace("_dot_", "."))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def settings(self, **given):
        given = {"data_root": "videos", "work_dir": "work", **given}
        return settings_from_mapping(given, "test")

    def read(self, train=None, **given):
        if train is not None:
            given["ann_file_train"] = train
        return split_listing(read_listing(self.settings(**given)))

    def problems(self, train=None, **given):
        with pytest.raises(ListingError) as caught:
            self.read(train, **given)
        return list(caught.value.problems)


def named(listing, split):
    """Give {path: class name} of a split."""
    clips = getattr(listing, split)
    names = (listing.classes[label] for label in clips.labels)
    return dict(zip(clips.paths, names, strict=True))
