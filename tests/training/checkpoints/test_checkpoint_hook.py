"""What is kept, when, and how a run goes on from it or goes back to it."""

import copy
import errno
import shutil

import numpy as np
import pytest
import torch

from autox_video.core.errors import CheckpointError, NumbersError, ResourceError
from autox_video.evaluation.predict import record_of
from autox_video.planning.record import load_stored, write_record
from autox_video.training.checkpoints import checkpoint_hook
from autox_video.training.checkpoints.checkpoint import digest, read_checkpoint, read_meta
from autox_video.training.config.build_config import build_config
from autox_video.training.hooks import metrics_file
from autox_video.training.interrupt import Stopped
from autox_video.training.run_training import train
from autox_video.training.step import TrainStep
from tests.training.tiny import (
    events,
    everything,
    same,
    spoil,
    stop_after,
    tiny_config,
    tiny_record,
    weights,
)
from tests.videos import truncate

pytestmark = pytest.mark.slow


def test_several_in_a_row_go_back_with_a_lower_learning_rate(clips, tmp_path, monkeypatch, capsys):
    config = tiny_config(clips, tmp_path, epoch=4, evaluation=0)
    monkeypatch.setattr("autox_video.training.checkpoints.checkpoint_hook.SAVING_SHARE", 1e9)
    spoil(monkeypatch, range(7, 12))  # from the second step of the third epoch on
    train(config)
    shown = capsys.readouterr().err
    assert "before step 13: rolled back to step 6, with 0.5" in shown
    meta = read_checkpoint(tmp_path / "latest.pth")["meta"]
    assert (meta["rollbacks"], meta["epoch"]) == (1, 4)
    train_events = events(tmp_path, "train")
    assert [e["iter"] for e in train_events] == list(range(1, 13))
    assert train_events[9]["lr"] == pytest.approx(0.5 * lr_at(config, 10))


def lr_at(config, step):
    schedule = config.param_scheduler[0]
    done = (step - schedule.fall) / (schedule.end - schedule.fall)
    return config.optim_wrapper.optimizer.lr * (1 + np.cos(np.pi * done)) / 2


def test_before_the_first_checkpoint_it_goes_back_to_the_start(clips, tmp_path, monkeypatch):
    config = tiny_config(clips, tmp_path, epoch=2, videos_per_gpu=1, evaluation=0)
    starts = []
    load_weights = checkpoint_hook.load_weights
    monkeypatch.setattr(
        checkpoint_hook,
        "load_weights",
        lambda model, w: (starts.append(digest(w)), load_weights(model, w)),
    )
    weights_at_start = digest(start_of(config, tmp_path / "other", monkeypatch))
    spoil(monkeypatch, range(3, 8))  # after three steps that have changed the weights
    train(config)
    assert starts == [weights_at_start]
    assert [e["iter"] for e in events(tmp_path, "train")][-1] == 18
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["rollbacks"] == 1


def start_of(config, work_dir, monkeypatch):
    """The weights with which a run of this config starts."""
    config = copy.deepcopy(config)
    config.work_dir = str(work_dir)
    with monkeypatch.context() as patch:
        stop_after(patch, looks=1)
        patch.setattr(
            TrainStep, "__call__", lambda *a: {"loss": torch.zeros(()), "top1_acc": torch.zeros(())}
        )
        with pytest.raises(Stopped):
            train(config)
    return weights(work_dir / "latest.pth")


def test_a_damaged_checkpoint_is_not_gone_back_to(clips, tmp_path, monkeypatch, capsys):
    config = tiny_config(clips, tmp_path, epoch=4, evaluation=0)
    monkeypatch.setattr(checkpoint_hook, "SAVING_SHARE", 1e9)
    # Twice in the third epoch: the second time the one before the newest is asked for.
    spoil(monkeypatch, {*range(7, 12), *range(13, 18)})
    write, epochs = checkpoint_hook.write_checkpoint, []

    def write_and_harm(path, state, keep):
        write(path, state, keep=keep)
        epochs.append(state["meta"]["epoch"])
        if len(epochs) == 3:  # behind the first time
            truncate(tmp_path / "previous.pth", 0.5)

    monkeypatch.setattr(checkpoint_hook, "write_checkpoint", write_and_harm)
    train(config)
    shown = capsys.readouterr().err
    assert shown.count("back to step 6") == 2
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["rollbacks"] == 2


def test_bad_steps_of_before_are_not_told_again(clips, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        spoil(patch, {1})
        train(tiny_config(clips, tmp_path, epoch=1, evaluation=0))
    assert "skipped so far: 1" in capsys.readouterr().err
    train(tiny_config(clips, tmp_path, epoch=2, evaluation=0))
    assert "not finite" not in capsys.readouterr().err
    spoil(monkeypatch, {1})
    train(tiny_config(clips, tmp_path, epoch=3, evaluation=0))
    assert "skipped so far: 2" in capsys.readouterr().err


def test_after_three_times_it_stops_with_a_sentence(clips, tmp_path, monkeypatch):
    spoil(monkeypatch, range(7, 1000))
    with pytest.raises(NumbersError, match="lowering the learning rate 3 times"):
        train(tiny_config(clips, tmp_path, epoch=4, evaluation=0))
    state = read_checkpoint(tmp_path / "latest.pth")
    assert all(torch.isfinite(w).all() for w in state["state_dict"].values())


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(clips, tmp_path, capsys):
    config = tiny_config(clips, tmp_path, epoch=3)
    whole = tiny_config(clips, tmp_path / "whole", epoch=3)
    train(whole)
    shutil.copytree(tmp_path / "whole", tmp_path, dirs_exist_ok=True)
    truncate(tmp_path / "latest.pth", 0.7)
    train(config)
    shown = capsys.readouterr().out
    assert "latest.pth: the checkpoint is damaged" in shown
    assert "renamed to latest.pth.damaged. Resuming from previous.pth." in shown
    assert everything(tmp_path)[0] == everything(tmp_path / "whole")[0]
    assert (tmp_path / "latest.pth.damaged").exists()


def test_where_both_are_damaged_it_says_so_and_touches_nothing(clips, tmp_path):
    config = tiny_config(clips, tmp_path, epoch=2)
    train(config)
    for name in ("latest.pth", "previous.pth"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match="no other checkpoint to resume from"):
        train(config)
    assert {"latest.pth", "previous.pth", "best.pth"} <= {p.name for p in tmp_path.iterdir()}


def test_best_weights_are_mended_from_their_copy(clips, tmp_path):
    config = tiny_config(clips, tmp_path, epoch=2)
    best = train(config)
    before = weights(tmp_path / "best.pth")
    truncate(tmp_path / "best.pth", 0.5)
    assert train(config) == best
    assert same(weights(tmp_path / "best.pth"), before)


@pytest.mark.parametrize("gone", ["best.pth", "best.safetensors"])
def test_best_weights_that_are_gone_come_back_from_their_copy(clips, tmp_path, gone):
    """Also where nothing is left to do that could make better ones."""
    config = tiny_config(clips, tmp_path, epoch=2)
    best = train(config)
    before = weights(tmp_path / gone)
    (tmp_path / gone).unlink()
    assert train(config) == best
    assert same(weights(tmp_path / gone), before)


def test_a_full_disk_costs_the_save_and_training_goes_on(clips, tmp_path, monkeypatch, capsys):
    config = tiny_config(clips, tmp_path, epoch=5)
    save = torch.save
    calls = iter(range(100))

    def fail(*args, **options):
        if next(calls) in (1, 2):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*args, **options)

    monkeypatch.setattr(torch, "save", fail)
    train(config)
    shown = capsys.readouterr().err
    assert shown.count("No space left on device") == 2
    assert shown.lower().count("training continues") == 2
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["epoch"] == 5
    assert not list(tmp_path.glob(".*"))


def test_best_weights_for_which_there_was_no_room_come_later(clips, tmp_path, monkeypatch):
    train(tiny_config(clips, tmp_path / "whole", epoch=4))
    write, fails = checkpoint_hook.write_best, iter([True, True, False])

    def fail(folder, state):
        if next(fails, False):
            raise ResourceError("best.pth: cannot be written (No space left on device).")
        write(folder, state)

    monkeypatch.setattr(checkpoint_hook, "write_best", fail)
    monkeypatch.setattr(checkpoint_hook, "SAVING_SHARE", 1e9)
    train(tiny_config(clips, tmp_path / "full", epoch=4))
    same_best = (weights(tmp_path / name / "best.pth") for name in ("whole", "full"))
    assert same(*same_best)
    assert everything(tmp_path / "full") == everything(tmp_path / "whole")


def test_no_checkpoint_goes_beyond_best_weights_that_are_not_kept(clips, tmp_path, monkeypatch):
    def fail(folder, state):
        raise ResourceError("best.pth: cannot be written (No space left on device).")

    config = tiny_config(clips, tmp_path, epoch=2)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_hook, "write_best", fail)
        train(config)
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["evaluated_epoch"] == 0
    best = train(config)
    assert (tmp_path / "best.pth").exists() and best["epoch"] == 2


def test_lines_for_which_there_was_no_room_come_later(clips, tmp_path, monkeypatch, capsys):
    append, calls = metrics_file.append_json_line, iter(range(100))

    def fail(path, value):
        if next(calls) in (1, 2, 3):
            raise ResourceError(f"{path}: cannot be written (No space left on device).")
        append(path, value)

    monkeypatch.setattr(metrics_file, "append_json_line", fail)
    train(tiny_config(clips, tmp_path, epoch=2, evaluation=0))
    assert [e["iter"] for e in events(tmp_path, "train")] == [1, 2, 3, 4, 5, 6]
    assert capsys.readouterr().err.count("No space left") == 1


def test_a_checkpoint_comes_in_time_within_an_epoch(clips, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        "autox_video.training.checkpoints.checkpoint_hook.write_checkpoint",
        lambda path, state, keep: saved.append(state["meta"]["iter"]),
    )
    monkeypatch.setattr("autox_video.training.checkpoints.checkpoint_hook.SAVING_SHARE", 0.0)
    config = tiny_config(clips, tmp_path, epoch=2, evaluation=0, checkpoint_minutes=1e-9)
    train(config)
    assert saved == [1, 2, 3, 4, 5, 6]


def test_more_epochs_or_another_batch_go_on_from_the_same_place(clips, tmp_path):
    train(tiny_config(clips, tmp_path, epoch=2, evaluation=0))
    # Nine clips: three steps of four an epoch, now two of eight.
    train(tiny_config(clips, tmp_path, epoch=4, evaluation=0, videos_per_gpu=8))
    assert [e["iter"] for e in events(tmp_path, "train")][-2:] == [7, 8]
    assert read_checkpoint(tmp_path / "latest.pth")["meta"]["epoch"] == 4
    lrs = [e["lr"] for e in events(tmp_path, "train")]
    assert lrs[-2] > 0


def test_checkpoints_carry_the_record(clips, tmp_path):
    record = tiny_record(clips, epoch=1)
    write_record(tmp_path, record)
    train(build_config(record, tmp_path))
    assert read_meta(tmp_path / "latest.pth")["record"] == load_stored(tmp_path)
    (tmp_path / "record.json").write_text("of another run")
    for name in ("best.pth", "best.safetensors"):
        again = record_of(tmp_path / name)
        assert (again.data.classes, again.plan.clip_len) == (record.data.classes, 2)
    one, other = (read_checkpoint(tmp_path / name) for name in ("best.pth", "best.safetensors"))
    assert digest(one) == digest(other)
