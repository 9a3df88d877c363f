"""One step: in parts, and where memory runs out."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from autox_video.backbones.video_conv.model import VideoConv
from autox_video.core.errors import ResourceError
from autox_video.distributed.processes import Processes
from autox_video.training.memory import read_accumulation
from autox_video.training.run_training import train
from autox_video.training.step import compiled_for
from tests.training.tiny import events, tiny_config


@pytest.mark.slow
def test_steps_in_parts_give_what_whole_steps_give(clips, tmp_path):
    for parts in (1, 3, 4):
        config = tiny_config(clips, tmp_path / str(parts), epoch=1)
        config.train_cfg.accumulation = parts
        train(config)
    one, three, four = (events(tmp_path / name, "train") for name in ("1", "3", "4"))
    for other in (three, four):
        assert [e["loss"] for e in other] == pytest.approx([e["loss"] for e in one], rel=1e-4)
        assert [e["top1"] for e in other] == pytest.approx([e["top1"] for e in one], rel=1e-6)


@pytest.mark.slow
def test_running_out_of_memory_cuts_steps_up_and_is_remembered(
    clips, tmp_path, monkeypatch, capsys
):
    forward = VideoConv.forward
    sizes = []

    def small(model, clips):
        sizes.append(len(clips))
        if len(clips) > 1 and model.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.")
        return forward(model, clips)

    config = tiny_config(clips, tmp_path / "small", epoch=1)
    with monkeypatch.context() as patch:
        patch.setattr(VideoConv, "forward", small)
        train(config)
    assert sizes[:6] == [4, 2, 1, 1, 1, 1]
    assert "in 4 parts (gradient accumulation)" in capsys.readouterr().err
    assert read_accumulation(tmp_path / "small") == 4
    whole = tiny_config(clips, tmp_path / "whole", epoch=1)
    train(whole)
    losses = [[e["loss"] for e in events(tmp_path / name, "train")] for name in ("small", "whole")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_one_clip_that_does_not_fit_ends_in_a_sentence(clips, tmp_path, monkeypatch):
    def full(model, clips):
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
        )

    monkeypatch.setattr(VideoConv, "forward", full)
    with pytest.raises(ResourceError, match="Not even one clip fits"):
        train(tiny_config(clips, tmp_path, epoch=1))


@pytest.mark.slow
def test_where_one_clip_does_not_fit_in_one_of_several_all_hear_of_it(clips, tmp_path, monkeypatch):
    """One alone that raised it would leave the others waiting for its gradients."""

    def full(model, clips):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    config = tiny_config(clips, tmp_path, epoch=1, evaluation=0)
    config.train_cfg.accumulation = 4
    with monkeypatch.context() as patch:
        patch.setattr(VideoConv, "forward", full)
        second = SimpleNamespace(
            current=lambda: Processes(1, 2, 1, 2),
            run_on_rank_zero=lambda make: make(),
            OUT_OF_MEMORY=75,
        )
        patch.setattr("autox_video.training.step.processes", second)
        with pytest.raises(SystemExit) as end:
            train(config)
    assert end.value.code == 75
    with pytest.raises(ResourceError, match="Not even one clip fits"):
        train(config)
    train(config)  # there may be more memory by now


@pytest.mark.parametrize("is_full", [True, False])
def test_a_batch_that_is_not_full_is_computed_without(is_full):
    seen = []

    def backend(graph, inputs):
        seen.append(inputs[0].shape)
        return graph.forward

    model = nn.Sequential(nn.Linear(2, 2))
    model[0].compile(backend=backend, dynamic=False)
    x = torch.ones(3, 2)
    with compiled_for(model, is_full=is_full):
        assert torch.equal(model(x), nn.functional.linear(x, model[0].weight, model[0].bias))
    assert len(seen) == is_full


@pytest.mark.slow
def test_training_and_validation_tell_which_are_full(clips, tmp_path, monkeypatch):
    told = []

    def note(model, *, is_full):
        told.append(is_full)
        return compiled_for(model, is_full=is_full)

    monkeypatch.setattr("autox_video.training.loops.compiled_for", note)
    config = tiny_config(clips, tmp_path, epoch=1)  # nine clips, four at a time
    config.val_dataloader.batch_size = 2  # of three
    train(config)
    assert told == [True, True, False, True, False]
