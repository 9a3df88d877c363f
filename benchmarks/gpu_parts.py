"""The parts around the model on a GPU: attention kernels, the training loop, the loader.

Started by `benchmarks/gpu.py`; on its own it prints the same lines as JSON.

Shape letters: K windows, N tokens of a window, h heads, D channels of a head.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import autox_video  # noqa: E402, F401, I001 (before mmaction2)
import av  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from mmaction.registry import MODELS  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.hooks import Hook  # noqa: E402
from mmengine.optim import build_optim_wrapper  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

from autox_video.config.load import settings_from_mapping  # noqa: E402
from autox_video.data.inspection.dataset_stats import DatasetStats  # noqa: E402
from autox_video.data.loading.clip_dataset import build_batches  # noqa: E402
from autox_video.machine.hardware import detect  # noqa: E402
from autox_video.planning.draft import Basis  # noqa: E402
from autox_video.planning.plan import choose  # noqa: E402
from autox_video.planning.record import RunRecord, TrainingData  # noqa: E402
from autox_video.training.config.build_config import build_config  # noqa: E402
from autox_video.training.run_training import train  # noqa: E402


@dataclass(frozen=True)
class Sizes:
    """What is measured: the real sizes, or tiny ones to try the code."""

    backbone: str = "swin_base"
    frames: int = 32
    side: int = 224
    batch: int = 8
    clips: int = 64
    epochs: int = 4
    workers: int = 8
    windows: tuple[tuple[int, int, int], ...] = ((1024, 392, 4), (64, 392, 16))
    """Windows, tokens and heads of attention in the first and third stage, for 8 clips."""


TINY = Sizes("swin_nano", 4, 32, 2, 8, 2, 2, ((4, 98, 2),))
CHANNELS = 32


def say(text: str, **figures: float) -> None:
    """Print a line, and the value that the bars need."""
    print(json.dumps({"text": text, **figures}), flush=True)


def seconds_of(work: Callable[[], Any], device: str, times: int = 10) -> float:
    """Return the median seconds of a function on a device, after three warm-up calls."""
    found = []
    for number in range(times + 3):
        begin = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        if number >= 3:
            found.append(time.perf_counter() - begin)
    return median(found)


def fused(query, key, value, bias):
    """torch's fused attention with the bias as its mask."""
    return F.scaled_dot_product_attention(query, key, value, bias[None])


def plain(query, key, value, bias):
    """Two products with a softmax between."""
    logits = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5 + bias
    return logits.softmax(-1) @ value


def flexible(query, key, value, bias):
    """Compiled flex attention, which looks up the bias."""
    from torch.nn.attention.flex_attention import flex_attention

    def add_bias(score, _, head, place, other):
        return score + bias[head, place, other]

    if not hasattr(flexible, "compiled"):
        flexible.compiled = torch.compile(flex_attention, dynamic=False)
    return flexible.compiled(query, key, value, score_mod=add_bias)


def attention(sizes: Sizes, device: str) -> None:
    """Time forward and backward pass of attention kernels, with a learned and a fixed bias."""
    for windows, tokens, heads in sizes.windows:
        shape = (windows, heads, tokens, CHANNELS)
        inputs = [torch.randn(shape, device=device, dtype=torch.bfloat16) for _ in range(3)]
        bias = torch.randn(heads, tokens, tokens, device=device, dtype=torch.bfloat16)
        for tensor in (*inputs, bias):
            tensor.requires_grad_()
        for kernel, learns in ((fused, True), (fused, False), (plain, True), (flexible, True)):
            added = bias if learns else bias.detach()

            def work(kernel=kernel, inputs=inputs, added=added) -> None:
                kernel(*inputs, added).sum().backward()

            name = f"{kernel.__name__}{'' if learns else ', fixed bias'}"
            what = f"attention, {windows} windows of {tokens}, {heads} heads: {name}"
            try:
                say(f"{what:62} {1e3 * seconds_of(work, device):8.2f} ms")
            except (RuntimeError, ValueError, ImportError, NotImplementedError) as error:
                say(f"{what:62} left out: {str(error).strip().splitlines()[0][:80]}")
            if device != "cpu":
                torch.cuda.empty_cache()


def make_clips(folder: Path, sizes: Sizes) -> None:
    """Write clips of 2 s at 30 frames/s, 4:3, with drifting soft noise, and their list."""
    height, rng, rows = sizes.side * 8 // 7 // 2 * 2, np.random.default_rng(0), ["path,label"]
    width = height * 4 // 3 // 2 * 2
    for number in range(sizes.clips):
        scene = rng.integers(0, 256, (height // 16 + 2, width // 16 + 6, 3), dtype=np.uint8)
        scene = scene.repeat(16, axis=0).repeat(16, axis=1)
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for time_step in range(60):
                pixels = np.ascontiguousarray(scene[:height, time_step : time_step + width])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode())
        rows.append(f"{number}.mp4,{number % 4}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")


def config_of(folder: Path, sizes: Sizes, device: str, *, cached: bool) -> Config:
    """Return the config of a training on the clips of a folder, as planned."""
    settings = settings_from_mapping(
        {
            "data_root": str(folder),
            "backbone": sizes.backbone,
            "clip_len": sizes.frames,
            "resolution": sizes.side,
            "videos_per_gpu": sizes.batch,
            "epoch": sizes.epochs,
            "evaluation": 0,
            "precision": "bfloat16",
            "compile": "off",
            "gradient_checkpointing": "off",
            "workers": sizes.workers,
            "checkpoint_minutes": 60,
            "device": device,
        },
        "benchmark",
    )
    names = tuple("abcd")
    stats = DatasetStats(
        *(sizes.clips, 0, 0, len(names), names, True, 16, 16, 2.0, 30.0),
        *(sizes.side, sizes.side, sizes.side, 0),
    )
    plan = choose(Basis(settings, stats, detect(device)))
    data = TrainingData(str(folder), str(folder / "train.csv"), None, names, sizes.clips)
    config = build_config(RunRecord(plan, data), folder / "work")
    frames = {"folder": str(folder / "cache"), "max_gib": 32.0}
    for step in config.train_dataloader.dataset.pipeline:
        if "cache" in step:
            step["cache"] = frames if cached else None
    return config


class Clock(Hook):
    """Records when steps end; waits for the GPU after the first epoch and at the end."""

    def __init__(self, device: str) -> None:
        self.device, self.steps, self.begin, self.end = device, 0, 0.0, 0.0

    def after_train_epoch(self, runner) -> None:
        """The first epoch warms up."""
        if not self.begin:
            self.begin = self._now()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Count the steps after it."""
        self.steps += bool(self.begin)
        if runner.train_loop.iter + 1 == runner.train_loop.max_iters:
            self.end = self._now()

    def _now(self) -> float:
        if self.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter()


def loop_step_sec(config: Config, device: str) -> float:
    """Return the seconds of a step of the real training loop, including reading."""
    clock = Clock(device)
    train(config, [clock])
    return (clock.end - clock.begin) / clock.steps


def bare_step_sec(config: Config, sizes: Sizes, device: str) -> float:
    """Return the seconds of forward, backward and update of the same model on clips in memory."""
    with DefaultScope.overwrite_default_scope("mmaction"):
        model = MODELS.build(config.model).to(device).train()
        optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    shape = (sizes.batch, 3, sizes.frames, sizes.side, sizes.side)
    clips, labels = torch.randn(shape, device=device), torch.arange(sizes.batch, device=device) % 4

    def step() -> None:
        scores = model.cls_head(model.backbone(clips))
        F.cross_entropy(scores, labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return seconds_of(step, device)


def loader_rate(config: Config, epochs: int) -> float:
    """Return the clips a second of the loader alone; the first pass does not count."""
    with DefaultScope.overwrite_default_scope("mmaction"):
        batches = build_batches(config.train_dataloader)
    try:
        for _ in batches.epoch(0):
            pass
        begin, clips = time.perf_counter(), 0
        for epoch in range(1, epochs):
            clips += sum(len(batch["inputs"]) for batch in batches.epoch(epoch))
        return clips / (time.perf_counter() - begin)
    finally:
        batches.close()


def loop_and_loader(sizes: Sizes, device: str) -> None:
    """Compare a step of the loop with the bare model, and the loader with both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clips(folder, sizes)
        config = config_of(folder, sizes, device, cached=True)
        rates = {
            what: loader_rate(config_of(folder, sizes, device, cached=cached), sizes.epochs)
            for what, cached in (("decoding", False), ("from the cache", True))
        }
        bare, loop = bare_step_sec(config, sizes, device), loop_step_sec(config, device)
    step = f"step of {sizes.batch} clips"
    say(f"{step}: bare model {1e3 * bare:.1f} ms, real loop {1e3 * loop:.1f} ms")
    say(f"the loop takes {loop / bare:.3f} times the bare model", loop=loop / bare)
    for what, rate in rates.items():
        share = rate * bare / sizes.batch
        say(
            f"loader, {sizes.workers} workers, {what}: {rate:.1f} clips/s, {share:.1f} times what "
            "the model takes"
        )


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    sizes = TINY if options.tiny else Sizes()
    attention(sizes, options.device)
    loop_and_loader(sizes, options.device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
