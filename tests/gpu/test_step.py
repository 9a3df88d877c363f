"""One training step on a GPU: nobody waits for it, and bad numbers never reach the weights."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from autox_video.training.hooks.ema import WeightEMA
from autox_video.training.step import TrainStep
from tests.training.test_waiting import EVERYTHING
from tests.training.tiny import tiny_config


@contextmanager
def forbidden_to_wait():
    """Within the block whoever waits for the GPU raises an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def begun(config, work_dir):
    """A step of a config, and what it works on."""
    with DefaultScope.overwrite_default_scope("mmaction"):
        model = MODELS.build(config.model).to(config.device)
        optimizer = build_optim_wrapper(model, config.optim_wrapper)
    model.train()
    runner = SimpleNamespace(model=model, optim_wrapper=optimizer, work_dir=str(work_dir))
    return runner, TrainStep(runner, accumulation=config.train_cfg.accumulation, seed=0)


def batch_of(config, clips=8, pinned=False):
    _, *view = config.train_dataloader.dataset.item_shape
    inputs = torch.randint(0, 256, (clips, 1, *view), dtype=torch.uint8)
    labels = torch.arange(clips) % 3
    inputs = inputs.pin_memory() if pinned else inputs
    return {"inputs": inputs, "labels": labels, "seeds": list(range(clips))}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("backbone", ["conv_nano", "swin_nano"])
def test_a_step_waits_for_nothing(clips, tmp_path, hardware, cuda, backbone, precision):
    keys = {"backbone": backbone, "precision": precision, "drop_path": 0.2, "ema": 0.9}
    config = tiny_config(clips, tmp_path, hardware=hardware, **keys)
    config.model.data_preprocessor.update(augment=EVERYTHING, num_classes=3)
    runner, step = begun(config, tmp_path)
    average = WeightEMA(0.9)
    average.before_train(runner)
    for number in range(3):  # windows are laid out, and kernels chosen
        step(number, batch_of(config), 1.0)
        average.after_train_iter(runner, number)
    batches = [batch_of(config, pinned=True) for _ in range(3)]
    with forbidden_to_wait():
        for number, batch in enumerate(batches, start=3):
            step(number, batch, 1.0)
            average.after_train_iter(runner, number)
    assert runner.optim_wrapper.bad_steps.tolist() == [0, 0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_step_with_bad_numbers_is_left_out(clips, tmp_path, hardware, precision):
    config = tiny_config(clips, tmp_path, hardware=hardware, precision=precision)
    runner, step = begun(config, tmp_path)
    step(0, batch_of(config), 1.0)
    weights = list(runner.model.parameters())
    scale = runner.optim_wrapper.scaler.get_scale()
    before = [weight.detach().clone() for weight in weights]
    handle = weights[-1].register_hook(lambda gradient: gradient * float("inf"))
    step(1, batch_of(config), 1.0)
    handle.remove()
    assert all(torch.equal(*pair) for pair in zip(before, weights, strict=True))
    if precision == "float16":
        assert runner.optim_wrapper.scaler.get_scale() == scale / 2
    step(2, batch_of(config), 1.0)
    assert not torch.equal(before[-1], weights[-1])
    if precision != "float16":
        assert runner.optim_wrapper.bad_steps.tolist() == [0, 1]


def test_batches_come_in_pinned_memory(clips, tmp_path, hardware, cuda):
    from autox_video.data.loading.clip_dataset import build_batches

    config = tiny_config(clips, tmp_path, hardware=hardware, workers=2)
    with DefaultScope.overwrite_default_scope("mmaction"):
        batches = build_batches(config.train_dataloader)
    try:
        assert [batch["inputs"].is_pinned() for batch in batches.epoch(0)] == [True] * 3
    finally:
        batches.close()
