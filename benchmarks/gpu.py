"""Claim: on a GPU our Video Swin trains at least twice as fast as stock, with 0.6 of its memory.

One table, printed row by row, the most important first: Swin-B at 32 and 8 frames of 224 px, in
training and in inference, in bfloat16. Peers: mmaction2's stock backbone and torchvision's swin3d_b
with autocast, plain and compiled, each with its fastest batch size of those tried; memory is
compared at the smallest batch size, which all share. The share of peak is relative to a matrix
product, measured in the same process. Then come attention kernels, a step of the real training loop
compared with the bare model, and the loader compared with the model.

    python benchmarks/gpu.py [--minutes 8] [--tiny] [--device cuda]

`--tiny --device cpu` runs the same code in about a minute. Rows for which there is no time, or a
package is missing, are skipped with a message. Exits with 1 if a bar is missed (Swin-B, 32 frames).
"""

import argparse
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.backbone import (  # noqa: E402 (of this source tree)
    Case,
    build,
    inference,
    macs_per_clip,
    matmul_flops,
    peak_bytes,
    reset_peak,
    resident_bytes,
    synchronize,
    training_step,
)

BARS = {"speed": 2.0, "share of peak": 0.30, "memory": 0.6, "loop": 1.05}
WARM_UPS, LEAST_STEPS, LEAST_SEC = 2, 3, 1.5


@dataclass(frozen=True)
class Sizes:
    """What is measured: the real sizes, or tiny ones to try the code."""

    size: str = "base"
    side: int = 224
    batches: tuple[tuple[int, tuple[int, ...]], ...] = (
        (32, (4, 8, 16, 32)),
        (8, (16, 32, 64, 128)),
    )
    """Frames, and the batch sizes to try, smallest first, until one does not fit."""


TINY = Sizes("nano", 64, ((4, (1, 2)), (2, (2,))))
MODES = ("training", "inference")
CONTENDERS = ("ours", "torchvision", "mmaction2")
"""Contenders in the order in which they are measured."""


def cases(sizes: Sizes, contender: str, compiled: bool, device: str) -> Iterator[list[Case]]:
    """Return the cases of each row: those of one contender that differ only in batch size."""
    for mode in MODES:
        for frames, batches in sizes.batches:
            case = Case(contender, "bfloat16", False, compiled, sizes.size, frames, mode, 1, device)
            yield [replace(case, batch=batch, side=sizes.side) for batch in batches]


def measure_row(row: Sequence[Case], model: Any, before: int) -> dict[str, Any]:
    """Measure one contender at one size, with larger batches as long as they fit and are faster.

    Returns the clips a second and their batch size, and the memory with the smallest batch.
    """
    import torch

    best = {"rate": 0.0}
    for case in row:
        try:
            rate, memory = measure_case(case, model, before)
        except RuntimeError as error:
            if best["rate"] or isinstance(error, torch.OutOfMemoryError):
                break
            raise
        finally:
            model.zero_grad()
            free_memory(case.device)
        best = {"bytes": memory, **best}
        if rate < best["rate"]:
            break
        best |= {"rate": rate, "batch": case.batch}
    if not best["rate"]:
        raise MemoryError(f"not even a batch of {row[0].batch} fits")
    flops = 2 * macs_per_clip(row[0].size, row[0].frames, row[0].side)
    flops *= 3 if row[0].mode == "training" else 1
    return best | {"share": best["rate"] * flops / matmul_flops(row[0])}


def measure_case(case: Case, model: Any, before: int) -> tuple[float, int]:
    """Return clips a second and peak bytes of a model in one case."""
    import torch

    clips = torch.randn(case.batch, 3, case.frames, case.side, case.side, device=case.device)
    made = training_step if case.mode == "training" else inference
    step = made(case, model, clips)
    reset_peak(case.device)
    for _ in range(WARM_UPS):
        step()
    synchronize(case.device)
    seconds, end = [], time.perf_counter() + LEAST_SEC
    while len(seconds) < LEAST_STEPS or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        synchronize(case.device)
        seconds.append(time.perf_counter() - start)
    return case.batch / median(seconds), peak_bytes(case.device, before)


def free_memory(device: str) -> None:
    """Free the GPU memory of a case."""
    import torch

    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()


def measure_contender(sizes: Sizes, contender: str, compiled: bool, device: str) -> None:
    """Measure all rows of a contender in this process; prints each as a line of JSON."""
    import torch

    torch.manual_seed(0)
    before = resident_bytes() if device == "cpu" else 0
    model = None
    for row in cases(sizes, contender, compiled, device):
        if compiled:
            torch._dynamo.reset()
            row = row[:1] if len(row) == 1 else row[1:2]  # each batch would be compiled for
        try:
            if model is None or compiled:
                model = build(row[0]).to(device)
            found = measure_row(row, model, before)
        except (RuntimeError, MemoryError, ImportError) as error:
            found = {"left_out": str(error).strip().splitlines()[0][:120] or type(error).__name__}
        label = {"contender": contender, "compiled": compiled, "frames": row[0].frames}
        print(json.dumps({**label, "mode": row[0].mode, **found}), flush=True)


class Table:
    """Prints rows as they are measured, and keeps them for the bars."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.rows: dict[tuple[str, int, str, bool], dict[str, Any]] = {}
        print(f"{'':48}{'clips/s':>9}{'batch':>7}{'GiB':>8}{'of peak':>9}", flush=True)

    def add(self, row: dict[str, Any]) -> None:
        """Add a row of a contender."""
        self.rows[row["mode"], row["frames"], row["contender"], row["compiled"]] = row
        side = self.sizes.side
        name = f"{row['contender']}{', compiled' * row['compiled']}"
        what = f"{row['mode']:<10} {row['frames']:>2}x{side}x{side}  {name}"
        if "left_out" in row:
            print(f"{what:48}  left out: {row['left_out']}", flush=True)
            return
        print(
            f"{what:48}{row['rate']:9.2f}{row['batch']:7}{row['bytes'] / 2**30:8.2f}"
            f"{row['share']:9.1%}",
            flush=True,
        )

    def best(self, mode: str, frames: int, contender: str, key: str) -> float | None:
        """Return the best value of a contender, plain or compiled; None if there is none.

        Memory is that of the plain one, which shares a batch size with the others.
        """
        forms = (False,) if key == "bytes" else (False, True)
        rows = (self.rows.get((mode, frames, contender, compiled)) for compiled in forms)
        return max((row[key] for row in rows if row and key in row), default=None)


def lines_of(words: Sequence[str], until: float, name: str) -> Iterator[dict[str, Any]]:
    """Run this script in its own process, and yield its lines of JSON.

    It is ended at `until` (monotonic clock), and its errors are reported.
    """
    command = [sys.executable, *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        timer = threading.Timer(max(0.0, until - time.monotonic()), process.kill)
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.extend(process.stderr))
        timer.start()
        reader.start()
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    yield json.loads(line)
        finally:
            timer.cancel()
            code = process.wait()
            reader.join()
    if code:
        late = time.monotonic() >= until
        why = "no time was left" if late else "".join(errors[-3:]).strip() or f"exit code {code}"
        print(f"{name}: not finished: {why}", flush=True)


def check_bars(table: Table, loop: float | None) -> bool:
    """Print the bars with the measurements; return whether all are met."""
    frames, good = table.sizes.batches[0][0], True

    def figure(contender: str, key: str) -> float | None:
        return table.best("training", frames, contender, key)

    ours, stock = figure("ours", "rate"), figure("mmaction2", "rate")
    memory = figure("ours", "bytes"), figure("mmaction2", "bytes")
    for name, value, at_least in (
        ("speed", ours / stock if ours and stock else None, True),
        ("share of peak", figure("ours", "share"), True),
        ("memory", memory[0] / memory[1] if all(memory) else None, False),
        ("loop", loop, False),
    ):
        if value is None:
            print(f"{name}: not measured")
            good = False
            continue
        met = value >= BARS[name] if at_least else value <= BARS[name]
        good = good and met
        sign = ">=" if at_least else "<="
        print(f"{name}: {value:.2f} ({sign} {BARS[name]}: {'met' if met else 'missed'})")
    return good


def run(options: argparse.Namespace) -> bool:
    """Measure everything in order; return whether the bars are met."""
    import torch

    sizes, until = TINY if options.tiny else Sizes(), time.monotonic() + 60 * options.minutes
    name = torch.cuda.get_device_name() if options.device != "cpu" else "CPU"
    print(f"{name}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}")
    table, loop = Table(sizes), None
    common = ["--device", options.device, *(["--tiny"] if options.tiny else [])]

    def fill(compiled: bool, contenders: Sequence[str]) -> None:
        for contender in contenders:
            words = [__file__, *common, "--contender", contender, *(["--compiled"] * compiled)]
            for row in lines_of(words, until, f"{contender}{', compiled' * compiled}"):
                table.add(row)

    fill(False, CONTENDERS)
    for row in lines_of([str(ROOT / "benchmarks/gpu_parts.py"), *common], until, "parts"):
        print(row["text"], flush=True)
        loop = row.get("loop", loop)
    # Last, since compiling takes longest; for the peers it takes minutes on a CPU.
    fill(True, CONTENDERS[:1] if options.tiny else CONTENDERS)
    print()
    return check_bars(table, loop) or options.tiny


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="after which it ends")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the code")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--compiled", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        sizes = TINY if options.tiny else Sizes()
        measure_contender(sizes, options.contender, options.compiled, options.device)
        return 0
    return 0 if run(options) else 1


if __name__ == "__main__":
    sys.exit(main())
