"""What is saved, and what is refused on loading."""

import errno
import os

import pytest
import torch

from autox_video.core.errors import CheckpointError
from autox_video.training.checkpoints import checkpoint
from autox_video.training.checkpoints.checkpoint import (
    load_state,
    read_checkpoint,
    read_meta,
    refuse_other_model,
    write_best,
    write_checkpoint,
)
from autox_video.training.checkpoints.checkpoint_hook import is_better
from tests.videos import truncate

BEST = {"top1": 0.5, "loss": 1.0}


@pytest.mark.parametrize(
    ("metrics", "best", "better"),
    [
        ({"top1": 0.1, "loss": 9.0}, None, True),
        ({"top1": 0.6, "loss": 9.0}, BEST, True),
        ({"top1": 0.4, "loss": 0.1}, BEST, False),
        ({"top1": 0.5, "loss": 0.9}, BEST, True),
        ({"top1": 0.5, "loss": 1.0}, BEST, False),
        ({"top1": float("nan"), "loss": 0.1}, BEST, False),
        ({"clips": 0}, None, False),
    ],
)
def test_best_is_by_top1_and_ties_go_to_the_lower_loss(metrics, best, better):
    assert is_better(metrics, best) is better


def test_of_several_classes_a_clip_the_best_is_by_map():
    best = {"mAP": 0.5, "loss": 1.0}
    assert is_better({"mAP": 0.6, "loss": 9.0}, best)
    assert is_better({"mAP": 0.5, "loss": 0.9}, best)
    assert not is_better({"mAP": 0.4, "loss": 0.1}, best)


def test_where_classes_count_alike_the_best_is_by_that():
    best = {"top1": 0.9, "balanced_accuracy": 0.5, "loss": 1.0}
    assert is_better({"top1": 0.7, "balanced_accuracy": 0.6, "loss": 2.0}, best)
    assert not is_better({"top1": 0.95, "balanced_accuracy": 0.4, "loss": 0.1}, best)
    assert is_better({"top1": 0.1, "balanced_accuracy": 0.2, "loss": 9.0}, BEST)  # of before


def test_a_checkpoint_reads_back(tmp_path):
    path = tmp_path / "latest.pth"
    write_checkpoint(path, {"state_dict": {"w": torch.arange(3.0)}, "meta": {"epoch": 2}})
    state = read_checkpoint(path)
    assert state["meta"] == {"epoch": 2}
    assert torch.equal(state["state_dict"]["w"], torch.arange(3.0))
    assert os.listdir(tmp_path) == ["latest.pth"]


def test_the_one_before_stays_whatever_stood_in_its_place(tmp_path):
    path = tmp_path / "latest.pth"
    (tmp_path / "previous.pth").mkdir()
    for epoch in (1, 2, 3):
        state = {"state_dict": {"w": torch.zeros(2)}, "meta": {"epoch": epoch}}
        write_checkpoint(path, state, keep="previous.pth")
    assert read_checkpoint(path)["meta"]["epoch"] == 3
    assert read_checkpoint(tmp_path / "previous.pth")["meta"]["epoch"] == 2
    assert (tmp_path / "previous.pth.damaged").is_dir()
    assert len(list(tmp_path.iterdir())) == 3


def test_model_files_outlive_the_versions_of_checkpoints(tmp_path, monkeypatch):
    weights = {"state_dict": {"w": torch.arange(3.0)}, "meta": {"metrics": {"top1": 0.5}}}
    write_best(tmp_path, {"schema": checkpoint.SCHEMA, **weights})
    monkeypatch.setattr(checkpoint, "SCHEMA", checkpoint.SCHEMA + 1)
    for name in ("best.pth", "best.safetensors"):
        assert read_checkpoint(tmp_path / name)["meta"] == weights["meta"]
    before = (tmp_path / "best.safetensors").read_bytes()
    write_best(tmp_path, {"schema": checkpoint.SCHEMA, **weights})
    assert (tmp_path / "best.safetensors").read_bytes() == before
    modes = {(tmp_path / name).stat().st_mode for name in ("best.pth", "best.safetensors")}
    assert len(modes) == 1


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_damaged_checkpoint_is_named_and_left_alone(tmp_path, share):
    path = tmp_path / "latest.pth"
    write_checkpoint(path, {"state_dict": {"w": torch.zeros(1000)}, "meta": {}})
    size = truncate(path, share).stat().st_size
    with pytest.raises(CheckpointError, match=r"latest\.pth: the checkpoint is damaged"):
        read_checkpoint(path)
    assert path.stat().st_size == size


def test_what_is_no_checkpoint_of_ours_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "list.pth")


@pytest.mark.parametrize("read", [read_checkpoint, read_meta])
def test_what_is_no_file_or_may_not_be_read_is_not_damaged(tmp_path, monkeypatch, read):
    (tmp_path / "best.pth").mkdir()
    with pytest.raises(CheckpointError, match=r"best\.pth is a folder\. Use a checkpoint in the"):
        read(tmp_path / "best.pth")
    (tmp_path / "mine.pth").write_bytes(b"x")

    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(CheckpointError, match=r"mine\.pth: cannot be read \(Permission denied\)"):
        read(tmp_path / "mine.pth")


class _Runs:
    def __reduce__(self):
        return (os.system, ("touch ran",))


def test_nothing_in_a_checkpoint_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "meta": _Runs()}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_another_run_is_refused_with_the_difference(tmp_path):
    saved = {"backbone": "swin_tiny", "num_classes": 3}
    refuse_other_model(tmp_path, saved, dict(saved))
    with pytest.raises(CheckpointError, match="num_classes: 3 in the checkpoint, 5 now"):
        refuse_other_model(tmp_path, saved, {"backbone": "swin_tiny", "num_classes": 5})


def test_weights_of_another_shape_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="a different model"):
        load_state(torch.nn.Linear(2, 3), torch.nn.Linear(2, 4).state_dict(), tmp_path / "x.pth")
