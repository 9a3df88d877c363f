"""Which pretrained weights a run starts from."""

from pathlib import Path

import pytest

from autox_video.automl import starting_weights
from autox_video.automl.fetched_weights import Terms
from autox_video.automl.starting_weights import (
    clips_of_weights,
    find_weights,
    head_rows,
    refuse_moving_weights,
    say_seen,
)
from autox_video.core.console import showing
from autox_video.core.errors import CheckpointError, ConfigError
from autox_video.data.splitting.changes import compare
from autox_video.data.splitting.known_clips import KnownClips, write_known
from autox_video.training.checkpoints.checkpoint import write_checkpoint
from tests.backbones.weights.weight_files import weights_file

TERMS = Terms()


def test_a_known_file_in_checkpoints_is_used_by_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starting_weights, "source_tree", lambda: None)
    with showing(True):
        assert find_weights("auto", "auto", TERMS) is None
    assert "from scratch" in capsys.readouterr().out
    name = "swin_base_patch244_window877_kinetics600_22k.pth"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).write_bytes(b"x")
    found = find_weights("auto", "auto", TERMS)
    assert (found.backbone, Path(found.path).name) == ("swin_base", name)
    assert find_weights("none", "auto", TERMS) is None


@pytest.mark.slow
def test_a_named_file_is_identified_by_its_tensors(tmp_path):
    path = weights_file(tmp_path / "w" / "mine.pth")
    found = find_weights(str(path), "auto", TERMS)
    assert found.backbone == "swin_nano"
    with pytest.raises(ConfigError, match="holds weights of swin_nano, but backbone is swin_tiny"):
        find_weights(str(path), "swin_tiny", TERMS)
    with pytest.raises(CheckpointError, match="absent"):
        find_weights(str(tmp_path / "absent.pth"), "auto", TERMS)


def test_weights_are_looked_for_here_and_in_the_source_tree_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = tmp_path / "tree"
    (tree / "checkpoints").mkdir(parents=True)
    for found, folders in ((tree, 2), (None, 1), (tmp_path, 1), (tmp_path / "nowhere", 1)):
        monkeypatch.setattr(starting_weights, "source_tree", lambda found=found: found)
        assert (
            starting_weights.weight_folders()
            == [tmp_path / "checkpoints", tree / "checkpoints"][:folders]
        )


BEFORE = KnownClips(
    ("run", "wave"),
    ("run/a", "run/b", "wave/c", "wave/d"),
    ("train", "val", "train", "test"),
    (("run",), ("run",), ("wave",), ("wave",)),
    (b"a", b"b", b"c", b"d"),
)
NOW = KnownClips(
    ("hi", "jump", "run"),
    ("x/a", "run/b", "hi/c", "hi/d", "jump/e"),
    ("val", "val", "test", "train", "train"),
    (("run",), ("run",), ("hi",), ("hi",), ("jump",)),
    (b"a", b"b", b"c", b"d", b"e"),
)


def test_rows_of_the_head_are_found_by_class_name():
    assert head_rows(compare(BEFORE, NOW)) == (1, -1, 0)


def test_clips_that_the_weights_have_seen_are_counted():
    notes = say_seen(compare(BEFORE, NOW), probes=False)
    assert [note.split(" (")[0] for note in notes] == [
        "load_from: the weights were trained on 2 of these clips, so nothing is cross-validated.",
        "load_from: the weights were trained on 1 of 2 validation clips",
        "load_from: the weights were trained on 1 of 1 test clip",
    ]
    assert "(x/a)" in notes[1] and "(hi/c)" in notes[2]
    (first, *_) = say_seen(compare(BEFORE, NOW), probes=True)
    assert "cross-validated scores are too high" in first
    others = KnownClips(("z",), ("z",), ("val",), (("z",),), (b"z",))
    assert say_seen(compare(BEFORE, others), probes=False) == []
    assert say_seen(compare(BEFORE, NOW.in_splits(())), probes=False) == []


def test_the_clips_of_weights_are_those_of_their_run(tmp_path):
    path = tmp_path / "best.pth"
    state = {"schema": 4, "state_dict": {}, "meta": {"record": {}}}
    write_checkpoint(path, state)
    assert clips_of_weights(str(path), "/data") is None
    write_known(tmp_path, BEFORE)
    assert clips_of_weights(str(path), "/data") == BEFORE
    write_checkpoint(path, {**state, "meta": {"record": {}, "all_clips": True}})
    assert clips_of_weights(str(path), "/data").splits == ("train", "train", "train", "test")
    write_checkpoint(path, {**state, "meta": {}})  # not of a run
    assert clips_of_weights(str(path), "/data") is None
    path.write_bytes(b"torn")
    for load_from in ("auto", "none", str(path), str(tmp_path / "absent.pth")):
        assert clips_of_weights(load_from, "/data") is None


def test_weights_that_fresh_would_move_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    for load_from in ("auto", "none", "other/best.pth", "work/sub/best.pth"):
        refuse_moving_weights(load_from, tmp_path / "work")
    with pytest.raises(ConfigError, match="load_from: work/best.pth is part of the run"):
        refuse_moving_weights("work/best.pth", tmp_path / "work")
