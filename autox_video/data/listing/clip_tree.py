"""Find clips under data_root by name, for lists whose paths do not match the files."""

# A list may contain a million paths, which would take ten times the memory as `Path` objects.
# ruff: noqa: PTH119, PTH120

import difflib
import os
import re
from pathlib import Path

from autox_video.data.listing.folders.folder_walk import find_videos
from autox_video.data.listing.spelling import file_key, folder_key
from autox_video.video.files.suffixes import VIDEO_SUFFIXES, split_suffix

COMPARED_AT_MOST = 20_000
"""If there are more clips than this, the slow search for similar names is skipped."""

# Label Studio adds a prefix to the names of uploaded files: 0a1b2c3d-NAME.
_UPLOADED = re.compile(r"(?<![^/])[0-9a-f]{8}-(?=[^/]*$)")


class ClipTree:
    """The clips under a folder or URL, indexed by their names without folders and suffixes."""

    def __init__(self, data_root: str | Path) -> None:
        self.data_root = data_root
        self._by_stem: dict[str, str | list[str]] | None = None

    def find(self, name: str, label: str = "") -> str | None:
        """Return the path of a clip relative to the root; None if there is no such clip.

        Args:
            name: name in an official list, with or without folders and suffix.
            label: class of the clip; among clips with the same name, a clip in this class's folder
                is preferred.
        """
        clips, stem = self._of_stem(name), stem_of(name)
        # Names in a different case count only if no name has the same case.
        clips = [path for path in clips if stem_of(path) == stem] or clips
        if name in clips or not clips:
            return name if clips else None
        wanted = folder_key(os.path.dirname(name) or label)
        return next((path for path in clips if _folder_of(path) == wanted), clips[0])

    def resolve(self, path: str) -> str | None:
        """Return the clip whose path is another spelling of `path`, if there is exactly one."""
        candidates = self.candidates(path)
        return candidates[0] if len(candidates) == 1 else None

    def meant(self, path: str, label: str, labels: set[str]) -> str | None:
        """Return the clip that matches a listed path, preferring one in the folder of its class.

        Clips in the folders of other classes (`labels`) are ignored. The result is None unless
        exactly one clip remains.
        """
        folders = {clip: _folder_of(clip) for clip in self.candidates(path)}
        of_class = folder_key(label)
        meant = [clip for clip, folder in folders.items() if label and folder == of_class]
        meant = meant or [clip for clip, folder in folders.items() if folder not in labels - {""}]
        return meant[0] if len(meant) == 1 else None

    def candidates(self, path: str) -> list[str]:
        """Return the paths, relative to the root, of the clips that match `path` best.

        A matching path may differ from `path` in slashes, case, Unicode normalisation, %20 or
        suffix, and either path may have additional leading folders.
        """
        path = re.sub("^file://", "", path, flags=re.IGNORECASE)
        return self._candidates(path) or self._candidates(_UPLOADED.sub("", path))

    def _candidates(self, path: str) -> list[str]:
        wanted = [part for part in file_key(path).split("/") if part not in ("", ".")]
        if not wanted or ".." in wanted:
            return []
        best: dict[tuple[bool, bool, bool], list[str]] = {}
        for clip in self._of_stem(path.replace("\\", "/")):
            parts = file_key(clip).split("/")
            # The folders of the shorter path must be the last folders of the longer one.
            count = min(len(wanted), len(parts))
            if wanted[-count:-1] == parts[-count:-1]:
                quality = (len(wanted) != len(parts), wanted[-1] != parts[-1], clip != path)
                best.setdefault(quality, []).append(clip)
        return best[min(best)] if best else []

    def nearest(self, path: str) -> str | None:
        """Return a clip with a similar name; None if there is none, or too many to compare."""
        stems = self._stems()
        if len(stems) > COMPARED_AT_MOST:
            return None
        wanted = _stem_key(path.replace("\\", "/"))
        # A different number means a different clip.
        numbers = re.findall("[0-9]+", wanted)
        for stem in difflib.get_close_matches(wanted, stems, n=5, cutoff=0.8):
            if re.findall("[0-9]+", stem) == numbers:
                return self._of_stem(stem)[0]
        return None

    def example(self) -> str | None:
        """Return the path of an arbitrary clip; None if there are no clips."""
        clips = next(iter(self._stems().values()), None)
        return clips[0] if isinstance(clips, list) else clips

    def _of_stem(self, name: str) -> list[str]:
        clips = self._stems().get(_stem_key(name), [])
        return [clips] if isinstance(clips, str) else clips

    def _stems(self) -> dict[str, str | list[str]]:
        # Nearly every name belongs to a single clip, so a list per name would waste 100 bytes each.
        if self._by_stem is None:
            self._by_stem = {}
            for path in find_videos(self.data_root):
                known = self._by_stem.setdefault(stem := _stem_key(path), path)
                if isinstance(known, list):
                    known.append(path)
                elif known is not path:
                    self._by_stem[stem] = [known, path]
        return self._by_stem


def _folder_of(path: str) -> str:
    return folder_key(os.path.basename(os.path.dirname(path)))


def _stem_key(path: str) -> str:
    stem = stem_of(file_key(path))
    # On systems that hide suffixes, users add them a second time, as in clip.mp4.mp4.
    while (shorter := stem_of(stem)) != stem:
        stem = shorter
    return stem


def stem_of(name: str) -> str:
    """Return a clip's name without its folders and video suffix."""
    base = name.rpartition("/")[2]
    stem, suffix = split_suffix(base)
    return stem if suffix in VIDEO_SUFFIXES else base
