"""The files of a run: moved aside whole or not at all, and the disk they take."""

import os
import shutil
from pathlib import Path

import pytest

from autox_video.core.errors import ResourceError
from autox_video.run import work_dir
from autox_video.run.work_dir import (
    EARLIER,
    RUN_FILES,
    check_disk,
    free_for_others_bytes,
    has_checkpoint,
    make_ready,
    set_aside,
    still_needed_bytes,
)

THERE_ALREADY = "notes.txt"


@pytest.fixture
def run(tmp_path):
    """A work dir with every file of a run, and one that is the user's."""
    for name in RUN_FILES:
        if name != "split":
            (tmp_path / name).write_text(name)
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "train.csv").write_text("kept")
    (tmp_path / THERE_ALREADY).write_text("the user's")
    return tmp_path


def test_damaged_checkpoints_go_too(run):
    (run / "previous.pth.damaged").write_text("torn")
    (run / "mine.damaged").write_text("the user's")
    place = set_aside(run)
    assert (place / "previous.pth.damaged").read_text() == "torn"
    assert (run / "mine.damaged").exists()


def test_results_and_features_of_a_run_go_with_it(run):
    (run / "results-1.json").write_text("of other weights")
    (run / "results-1-mistakes.csv").write_text("of the same")
    (run / "search.db-journal").write_text("half a write")
    (run / "results-mine.json").write_text("the user's")
    place = set_aside(run)
    gone = {"results.json", "results-1.json", "features", "search.db", "search.db-journal", "folds"}
    gone |= {"mistakes.csv", "results-1-mistakes.csv"}
    assert gone <= set(os.listdir(place))
    assert sorted(os.listdir(run)) == [EARLIER, THERE_ALREADY, "results-mine.json"]


def is_whole(folder):
    names = {path.name for path in folder.iterdir()}
    texts = all((folder / name).read_text() == name for name in RUN_FILES if name != "split")
    return names == set(RUN_FILES) and texts and (folder / "split" / "train.csv").is_file()


def test_a_run_is_moved_aside_and_nothing_else(run):
    place = set_aside(run)
    assert place.parent == run / EARLIER
    assert is_whole(place)
    assert sorted(os.listdir(run)) == [EARLIER, THERE_ALREADY]
    assert set_aside(run) is None
    assert not has_checkpoint(run)


def test_a_second_one_within_the_second_gets_another_name(run, monkeypatch):
    monkeypatch.setattr(work_dir.time, "strftime", lambda form: "2026-01-02_03-04-05")
    first = set_aside(run)
    (run / "best.pth").write_text("of the second")
    second = set_aside(run)
    (run / "best.pth").write_text("of the third")
    third = set_aside(run)
    assert [p.name for p in (first, second, third)] == [
        "2026-01-02_03-04-05",
        "2026-01-02_03-04-05_2",
        "2026-01-02_03-04-05_3",
    ]
    assert is_whole(first)
    assert (second / "best.pth").read_text() == "of the second"


@pytest.mark.parametrize("moved", range(len(RUN_FILES) + 1))
def test_a_kill_in_the_middle_is_made_up_for(run, monkeypatch, moved):
    left = [moved]
    rename = Path.rename

    def stop_after(self, target):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stop_after)
    with pytest.raises(KeyboardInterrupt):
        set_aside(run)
    monkeypatch.undo()
    # What is left is a run to go on with, whole but for an older checkpoint, or none.
    assert (run / "record.json").exists() or not has_checkpoint(run)
    make_ready(run, fresh=False)
    (place,) = (run / EARLIER).iterdir()
    assert is_whole(place)
    assert sorted(os.listdir(run)) == [EARLIER, THERE_ALREADY]


def test_what_would_be_overwritten_stays(run):
    moving = run / EARLIER / "x.moving"
    moving.mkdir(parents=True)
    (moving / "best.pth").write_text("older")
    make_ready(run, fresh=False)
    assert (run / EARLIER / "x" / "best.pth").read_text() == "older"
    kept = [path.read_text() for path in run.rglob("best.pth")]
    assert sorted(kept) == ["best.pth", "older"]


def test_fresh_says_where_the_run_is_or_that_there_was_none(run, capsys):
    make_ready(run, fresh=True)
    (place,) = (run / EARLIER).iterdir()
    assert str(place) in capsys.readouterr().out
    make_ready(run, fresh=True)
    assert "there was no run" in capsys.readouterr().out


def test_a_run_to_go_on_with_is_left_alone(run):
    before = sorted(os.listdir(run))
    make_ready(run, fresh=False)
    assert sorted(os.listdir(run)) == before


@pytest.mark.parametrize("name", ["best.pth", "best.safetensors", "latest.pth.damaged-2"])
def test_weights_without_a_checkpoint_are_not_replaced_by_a_new_run(tmp_path, capsys, name):
    (tmp_path / name).write_text("precious")
    make_ready(tmp_path, fresh=False)
    (place,) = (tmp_path / EARLIER).iterdir()
    assert (place / name).read_text() == "precious"
    assert str(place) in capsys.readouterr().out


def test_leftovers_of_writes_go(tmp_path):
    folders = ["", "split/", "trials/0001/", "folds/1-2/"]
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    gone = [f"{folder}.latest.pth.abcd_123.autox-part" for folder in folders]
    kept = [".latest.pth.abcd_123", ".mine.txt.abcd_123.autox-part", "latest.pth"]
    for name in gone + kept:
        (tmp_path / name).write_text("x")
    make_ready(tmp_path, fresh=False)
    assert not any((tmp_path / name).exists() for name in gone)
    assert all((tmp_path / name).exists() for name in kept)


def test_where_it_cannot_be_moved_is_a_sentence_and_nothing_is_lost(run):
    (run / EARLIER).write_text("a file")
    with pytest.raises(ResourceError, match="earlier .*No file is lost"):
        set_aside(run)
    (run / EARLIER).unlink()
    assert sorted(os.listdir(run)) == sorted([*RUN_FILES, THERE_ALREADY])


def test_a_disk_too_small_is_refused_with_both_numbers(tmp_path):
    free_gib = shutil.disk_usage(tmp_path).free / 2**30
    check_disk(tmp_path, free_gib / 2)
    with pytest.raises(ResourceError) as caught:
        check_disk(tmp_path, free_gib * 3)
    assert f"needs {free_gib * 3:.3g} GiB" in str(caught.value)
    assert f"{free_gib:.3g}"[:2] in str(caught.value).partition("the disk of")[2]


def test_checkpoints_that_are_there_count(tmp_path):
    (tmp_path / "latest.pth").write_bytes(b"x" * 2**20)
    (tmp_path / "best.pth").write_bytes(b"x" * 2**20)
    (tmp_path / "train.log").write_bytes(b"x" * 2**20)
    assert still_needed_bytes(tmp_path, 3 / 1024) == 2**20
    assert still_needed_bytes(tmp_path, 1 / 1024) == 0
    assert free_for_others_bytes(tmp_path / "not" / "yet", 2**22, tmp_path, 3 / 1024) == 3 * 2**20
    assert free_for_others_bytes(tmp_path, 1, tmp_path, 3 / 1024) == 0
    shared = Path("/dev/shm")
    if shared.is_dir() and shared.stat().st_dev != tmp_path.stat().st_dev:
        assert free_for_others_bytes(shared, 2**22, tmp_path, 3 / 1024) == 2**22


def test_weights_without_a_checkpoint_stay_where_they_are_to_be_gone_on_with(tmp_path):
    best = tmp_path / "best.pth"
    best.write_bytes(b"x")
    make_ready(tmp_path, fresh=False, resumes=True)
    assert best.is_file()
    make_ready(tmp_path, fresh=False)
    assert not best.exists()
