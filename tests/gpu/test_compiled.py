"""Compiled blocks: compiled once for each shape, whole, and with the same results."""

import pytest
import torch
from torch._dynamo import config as dynamo_config
from torch._dynamo.utils import counters

from autox_video.backbones.video_conv.model import VideoConv
from autox_video.backbones.video_swin.model import VideoSwin
from autox_video.machine.hardware import has_compiler
from autox_video.training.run_training import train
from tests.training.tiny import events, tiny_config

pytestmark = pytest.mark.skipif(not has_compiler(), reason="needs a C compiler")
SWIN = {"embed_dims": 32, "depths": (2, 2), "num_heads": (2, 4)}
BACKBONES = {
    "swin": (lambda **options: VideoSwin(SWIN, drop_path_rate=0.2, **options), (2, 3, 8, 64, 64)),
    "conv": (lambda **options: VideoConv((16, 32, 32), (1, 1), **options), (2, 3, 4, 64, 64)),
}


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", BACKBONES)
def test_blocks_are_compiled_whole_and_no_more_after_the_second_step(device, name, precision):
    make, shape = BACKBONES[name]
    model = make(precision=precision, compile=True).to(device).train()
    for step in range(6):
        with dynamo_config.patch(error_on_recompile=step >= 2):
            model(torch.randn(shape, device=device)).square().mean().backward()
    assert not counters["graph_break"]


@pytest.mark.parametrize("name", BACKBONES)
def test_compiled_blocks_give_the_same(device, name):
    make, shape = BACKBONES[name]
    torch.manual_seed(0)
    plain = make(precision="float32").to(device).eval()
    compiled = make(precision="float32", compile=True).to(device).eval()
    compiled.load_state_dict(plain.state_dict())
    x = torch.randn(shape, device=device)
    with torch.no_grad():
        assert torch.allclose(plain(x), compiled(x), atol=1e-3)


def test_a_compiled_run_learns_as_a_plain_one(clips, tmp_path, hardware):
    for name, value in (("plain", False), ("compiled", True)):
        keys = {"backbone": "swin_nano", "precision": "float32", "compile": value, "drop_path": 0}
        keys |= {"videos_per_gpu": 4, "epoch": 2, "evaluation": 0}
        train(tiny_config(clips, tmp_path / name, hardware=hardware, **keys))
    # Of the nine clips the last one, by itself, is not compiled for: a graph of each block at most.
    assert counters["stats"]["unique_graphs"] <= 6
    losses = [[e["loss"] for e in events(tmp_path / n, "train")] for n in ("plain", "compiled")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
