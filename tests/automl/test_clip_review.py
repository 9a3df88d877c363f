"""What training refuses and says of opened clips, and that check says the same."""

import shutil
from pathlib import Path

import pytest

from autox_video.automl.prepare import prepare
from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import ListingError
from autox_video.jobs.check import check
from autox_video.jobs.train import show
from tests.datasets import TINY, colour_clip
from tests.videos import write_text_video


@pytest.fixture
def settings_of(tmp_path, monkeypatch):
    """Give a function that makes class folders with so many clips, and the settings for them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def settings_of(clips, **keys):
        for colour, count in clips.items():
            Path("videos", colour).mkdir(parents=True)
            for n in range(count):
                colour_clip(Path("videos", colour, f"{colour} {n}.mp4"), colour, seed=10 * n)
        return settings_from_mapping({**TINY, "data_root": "videos", **keys}, "test")

    return settings_of


def spoil(colour, count):
    for n in range(count):
        write_text_video(Path("videos", colour, f"{colour} {n}.mp4"))


def refusals(settings):
    """What check and training say of clips that both refuse."""
    (refused,) = check(settings)["refused"]
    with pytest.raises(ListingError) as caught:
        prepare(settings, resuming=False)
    assert caught.value.problems == (refused,) or list(caught.value.problems) == [refused]
    return refused


def test_one_clip_of_each_class(settings_of, capsys):
    settings = settings_of({"red": 1, "green": 1, "blue": 1})
    assert "every class has a single clip" in refusals(settings)
    assert "Nothing" not in capsys.readouterr().out
    assert not Path(settings.work_dir, "split").exists()


def test_a_class_without_a_readable_clip(settings_of):
    settings = settings_of({"red": 3, "green": 3, "blue": 3})
    spoil("red", 3)
    assert "No readable training clips for 1 class: red." in refusals(settings)


def test_unreadable_clips_where_none_may_be(settings_of):
    settings = settings_of({"red": 3, "green": 3}, strict=True)
    spoil("red", 1)
    assert refusals(settings) == "strict: 1 clip cannot be read: red/red 0.mp4."


def test_equal_clips_of_two_classes_are_said_by_training_too(settings_of, capsys):
    settings = settings_of({"red": 4, "green": 4})
    shutil.copy("videos/red/red 0.mp4", "videos/green/same.mp4")
    prepare(settings, resuming=False)
    said = capsys.readouterr().err
    assert "1 group of identical clips with different labels: " in said
    assert "red/red 0.mp4" in said and "green/same.mp4" in said


def test_clips_that_are_right_are_refused_by_nobody(settings_of, capsys):
    settings = settings_of({"red": 5, "green": 5})
    assert check(settings)["refused"] == []
    assert "Nothing is wrong with the clips." in capsys.readouterr().out


def test_a_plan_names_no_folder_that_is_gone(settings_of, capsys):
    settings = settings_of({"red": 4, "green": 4})
    spoil("red", 1)
    show(settings.model_copy(update={"verbose": True}))
    shown = capsys.readouterr()
    said = shown.out + shown.err
    assert "1 clip cannot be read (skipped)" in said and "WORK_DIR/split" in said
    assert ".plan-" not in said
