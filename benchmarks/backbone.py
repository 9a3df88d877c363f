"""Claim: our Video Swin is the fastest, in inference and in training.

Peers: mmaction2's stock SwinTransformer3D and torchvision's swin3d, in float32 and with bfloat16
autocast, each with its defaults and, on a CPU, also with our allocator setting ("kept memory").
Every contender runs in its own process. The contenders of a row run one after another, round after
round, and medians are over all rounds. The share of peak is relative to a 2048-cubed matrix
product, measured in the same process with the same dtype.

    python benchmarks/backbone.py [--sizes base tiny] [--frames 8 32] [--rounds N]

Exits with 1 if a bar is missed (Swin-B, 8 frames, batch 4, CPU).
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SIDE = 224
DROP_PATH = 0.1
DIMS = {"tiny": (96, (2, 2, 6, 2)), "base": (128, (2, 2, 18, 2)), "nano": (32, (2, 2))}
NANO = {"embed_dims": 32, "depths": (2, 2), "num_heads": (1, 2)}
"""A tiny, unpublished size, to try out a benchmark."""


@dataclass(frozen=True)
class Case:
    """One measurement."""

    contender: str
    """`ours`, `mmaction2` or `torchvision`."""
    precision: str
    """`float32` or `bfloat16`."""
    kept_memory: bool
    """Whether freed memory is kept by the process (CPU only)."""
    compiled: bool
    size: str
    frames: int
    mode: str
    """`inference` or `training`."""
    batch: int
    device: str
    side: int = SIDE

    @property
    def name(self) -> str:
        """The contender and its settings as text."""
        extras = ", kept memory" * (self.kept_memory and self.contender != "ours")
        return f"{self.contender} {self.precision}{extras}{', compiled' * self.compiled}"


def macs_per_clip(size: str, frames: int, side: int = SIDE) -> float:
    """Multiply-accumulates of one clip's matrix products in the forward pass."""
    dim, depths = DIMS[size]
    steps, side = frames // 2, side // 4
    total = steps * side**2 * dim * 96
    for depth in depths:
        tokens, window = steps * side**2, min(steps, 8) * 49
        total += depth * tokens * (12 * dim**2 + 2 * window * dim)
        if side > 7:
            total += tokens // 4 * 8 * dim**2
        side, dim = side // 2, dim * 2
    return total


def build(case: Case):
    """The contender's model, features averaged over time and space: (B, 3, T, H, W) → (B, C)."""
    import torch

    if case.contender == "torchvision":
        model = _of_torchvision(case.size)
        model.head = torch.nn.Identity()
    else:
        arch = NANO if case.size == "nano" else case.size
        if case.contender == "ours":
            from autox_video.backbones.video_swin.model import VideoSwin

            options = {"precision": case.precision, "compile": case.compiled}
            backbone = VideoSwin(arch, drop_path_rate=DROP_PATH, **options)
        else:
            from mmaction.models.backbones.swin import SwinTransformer3D

            last = len(DIMS[case.size][1]) - 1
            options = {"drop_path_rate": DROP_PATH, "out_indices": (last,)}
            backbone = SwinTransformer3D(arch, pretrained2d=False, **options)
        model = torch.nn.Sequential(backbone, torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten())
    return torch.compile(model) if case.compiled and case.contender != "ours" else model


def _of_torchvision(size: str):
    from torchvision.models.video import SwinTransformer3d, swin3d_b, swin3d_t

    if size != "nano":
        return {"tiny": swin3d_t, "base": swin3d_b}[size](weights=None)
    dims, depths, heads = NANO.values()
    return SwinTransformer3d(
        [2, 4, 4], dims, list(depths), list(heads), [8, 7, 7], stochastic_depth_prob=DROP_PATH
    )


def measure(case: Case, budget_sec: float) -> dict:
    """Run one case in this process: seconds per step, peak memory and matrix products."""
    from autox_video.machine.allocator import keep_freed_memory

    if case.kept_memory and case.device == "cpu":
        keep_freed_memory()
    import torch

    torch.manual_seed(0)
    before = resident_bytes()
    model = build(case).to(case.device)
    clips = torch.randn(case.batch, 3, case.frames, case.side, case.side, device=case.device)
    step = (
        training_step(case, model, clips)
        if case.mode == "training"
        else inference(case, model, clips)
    )
    reset_peak(case.device)
    step()
    seconds, end = [], time.perf_counter() + budget_sec
    while len(seconds) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        synchronize(case.device)
        seconds.append(time.perf_counter() - start)
    memory = peak_bytes(case.device, before)
    return {"seconds": seconds, "bytes": memory, "peak": matmul_flops(case)}


def autocast(case: Case):
    """Return the context in which a peer computes with the case's dtype; ours does by itself."""
    import torch

    kind = torch.device(case.device).type
    peer = case.contender != "ours" and case.precision == "bfloat16"
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=peer)


def inference(case: Case, model, clips):
    """A function that computes the features of a batch."""
    import torch

    model.eval()

    def step() -> None:
        with torch.inference_mode(), autocast(case):
            model(clips)

    return step


def training_step(case: Case, model, clips):
    """A function that does forward, backward and an AdamW step."""
    import torch

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        """Forward, backward, update."""
        optimizer.zero_grad()
        with autocast(case):
            features = model(clips)
        features.float().square().mean().backward()
        optimizer.step()

    return step


def synchronize(device: str) -> None:
    """Wait for a GPU."""
    import torch

    if device != "cpu":
        torch.cuda.synchronize()


def matmul_flops(case: Case) -> float:
    """Floating-point operations a second of a 2048-cubed product in the case's dtype.

    On a CPU by oneDNN, as torch's own in float32 takes MKL, which is slower on some.
    """
    import torch

    dtype, n = getattr(torch, case.precision), 2048 if case.device == "cpu" else 8192
    a, b = (torch.randn(n, n, dtype=dtype, device=case.device) for _ in range(2))
    on_cpu = case.device == "cpu" and torch.backends.mkldnn.is_available()
    seconds = []
    for _ in range(10):
        synchronize(case.device)
        start = time.perf_counter()
        torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "") if on_cpu else a @ b
        synchronize(case.device)
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / median(seconds)


def resident_bytes() -> int:
    """Memory of this process, in bytes (Linux)."""
    return _status("VmRSS")


def reset_peak(device: str) -> None:
    """Reset the peak memory."""
    import torch

    if device == "cpu":
        Path("/proc/self/clear_refs").write_text("5")
    else:
        torch.cuda.reset_peak_memory_stats()


def peak_bytes(device: str, before: int) -> int:
    """Return the peak memory since `reset_peak`; on a CPU without the memory used before that."""
    import torch

    return _status("VmHWM") - before if device == "cpu" else torch.cuda.max_memory_allocated()


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def cases(options: argparse.Namespace, size: str, frames: int, mode: str) -> list[Case]:
    """The contenders of one row of the table."""
    keeping = (False, True) if options.device == "cpu" else (False,)
    chosen = [("ours", p, True, False) for p in ("float32", "bfloat16")]
    chosen += product(("mmaction2", "torchvision"), ("float32", "bfloat16"), keeping, (False,))
    if options.compile:
        chosen += [(name, "bfloat16", True, True) for name in ("ours", "torchvision")]
    batch = options.batch if frames == 8 else max(1, options.batch * 8 // frames)
    return [
        Case(*setting, size, frames, mode, batch, options.device)
        for setting in chosen
        if not options.only or setting[0] in options.only
    ]


def run(case: Case, budget_sec: float) -> dict:
    """Measure a case in its own process."""
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case)), "--seconds"]
    output = subprocess.run(
        [*command, str(budget_sec)], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return json.loads(output.stdout.splitlines()[-1])


def compare(options: argparse.Namespace, size: str, frames: int, mode: str) -> dict[str, dict]:
    """Measure one row's contenders in turns and print them."""
    found: dict[str, dict] = {}
    row = cases(options, size, frames, mode)
    for _ in range(options.rounds):
        for case in row:
            result = run(case, options.seconds)
            kept = found.setdefault(case.name, {"seconds": [], "bytes": 0, "peaks": []})
            kept["seconds"] += result["seconds"]
            kept["bytes"] = max(kept["bytes"], result["bytes"])
            kept["peaks"].append(result["peak"])
    flops = 2 * macs_per_clip(size, frames) * (3 if mode == "training" else 1)
    print(f"\nSwin-{size[0].upper()}, {frames}x{SIDE}x{SIDE}, batch {row[0].batch}, {mode}")
    print(f"{'':42}{'clips/s':>9}{'ours is':>9}{'GiB':>7}{'of peak':>9}")
    for case in row:
        kept = found[case.name]
        kept["rate"] = case.batch / median(kept["seconds"])
        kept["share"] = kept["rate"] * flops / median(kept["peaks"])
        best = found.get(f"ours {case.precision}")
        ratio = f"{best['rate'] / kept['rate']:.2f}x" if best else ""
        print(
            f"{case.name:42}{kept['rate']:9.2f}{ratio:>9}{kept['bytes'] / 2**30:7.2f}"
            f"{kept['share']:9.0%}",
            flush=True,
        )
    return found


def check_bars(found: dict[tuple, dict[str, dict]]) -> bool:
    """Print the bars of Swin-B at 8 frames with the measurements; return whether all are met."""
    good = True
    for mode, ours, peer, figure, bar in (
        ("inference", "ours bfloat16", "mmaction2 float32", "rate", 5.0),
        ("inference", "ours bfloat16", "mmaction2 bfloat16", "rate", 2.8),
        ("inference", "ours bfloat16", "torchvision bfloat16", "rate", 2.8),
        ("inference", "ours float32", "mmaction2 float32", "rate", 1.5),
        ("training", "ours bfloat16", "mmaction2 float32", "rate", 3.0),
        ("training", "ours bfloat16", "mmaction2 bfloat16", "rate", 1.7),
        ("training", "ours float32", "mmaction2 float32", "rate", 1.2),
        ("training", "ours bfloat16", "mmaction2 float32", "bytes", 0.6),
    ):
        row = found.get(("base", 8, mode))
        if not row or ours not in row or peer not in row:
            continue
        ratio = row[ours][figure] / row[peer][figure]
        met = ratio <= bar if figure == "bytes" else ratio >= bar
        good = good and met
        sign = "<=" if figure == "bytes" else ">="
        word = "memory" if figure == "bytes" else "speed"
        print(
            f"{mode}, {word}, {ours} to {peer}: {ratio:.2f} "
            f"({sign} {bar}: {'met' if met else 'missed'})"
        )
    return good


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["base", "tiny"], choices=["base", "tiny"])
    parser.add_argument("--frames", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--modes", nargs="+", default=["inference", "training"])
    parser.add_argument("--only", nargs="+", help="contenders")
    parser.add_argument("--batch", type=int, default=4, help="at 8 frames")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10, help="per case and round")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="compiled contenders as well")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(Case(**json.loads(options.case)), options.seconds)))
        return 0
    found = {
        (size, frames, mode): compare(options, size, frames, mode)
        for size, frames, mode in product(options.sizes, options.frames, options.modes)
    }
    print()
    return 0 if check_bars(found) else 1


if __name__ == "__main__":
    sys.exit(main())
