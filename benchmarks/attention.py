"""Claim: `attend` uses the faster of its two kernels for each device, dtype and purpose.

Both kernels compute the windows of Swin-B's four stages (and of the demo's first stage), forward
only and forward plus backward, in turns in one process. The table shows milliseconds, and the
kernel that `in_chunks` chooses. Plain matrix products on the whole batch are shown for comparison.

    python benchmarks/attention.py [--device cpu] [--rounds N] [--chunk-mib N]
"""

import argparse
import os
import sys
import time
from itertools import product
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SHAPES = {
    "B stage 1": (4, 64, 196, 4, 32),
    "B stage 2": (4, 16, 196, 8, 32),
    "B stage 3": (4, 4, 196, 16, 32),
    "B stage 3, 32 frames": (1, 8, 392, 16, 32),
    "nano stage 1": (16, 4, 196, 2, 24),
}
"""Clips, windows of a clip, tokens, heads, channels of a head."""


def kernels():
    """The two kernels, and plain products, as functions of qkv, bias and mask."""
    from autox_video.backbones.video_swin import attention

    def plain(qkv, bias, mask):
        query, key, value = (part.transpose(1, 2) for part in qkv.unbind(2))
        logits = (query * qkv.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        added = bias[None] if mask is None else (bias + mask).repeat(len(qkv) // len(mask), 1, 1, 1)
        return ((logits + added).softmax(-1) @ value).transpose(1, 2)

    return {
        "chunked": attention._Chunked.apply,
        "fused": attention._fused,
        "plain": plain,
    }


def milliseconds(options, shape, precision: str, *, training: bool, masked: bool):
    """Return the median time of each kernel, by name, and whether `in_chunks` chooses chunks."""
    import torch

    from autox_video.backbones.video_swin.attention import in_chunks

    clips, windows, tokens, heads, channels = shape
    like = {"dtype": getattr(torch, precision), "device": options.device}
    qkv = torch.randn(clips * windows, tokens, 3, heads, channels, **like, requires_grad=training)
    bias = torch.randn(heads, tokens, tokens, **like, requires_grad=training)
    mask = torch.zeros(windows, 1, tokens, tokens, **like) if masked else None
    grad = torch.randn(clips * windows, tokens, heads, channels, **like)

    def once(kernel) -> float:
        """Milliseconds of one run."""
        start = time.perf_counter()
        with torch.set_grad_enabled(training):
            output = kernel(qkv, bias, mask)
            if training:
                torch.autograd.grad(output, (qkv, bias), grad)
        if options.device != "cpu":
            torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - start)

    seconds = {name: [] for name in kernels()}
    for turn in range(options.rounds + 2):
        for name, kernel in kernels().items():
            taken = once(kernel)
            if turn > 1:
                seconds[name].append(taken)
    return {n: median(s) for n, s in seconds.items()}, in_chunks(qkv, training=training)


def main() -> int:
    """Parse, measure, print; return 1 if a chosen kernel is more than a tenth slower."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--chunk-mib", type=int, help="attention weights a core, to try others")
    options = parser.parse_args()
    os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="5000")  # as the commands do
    from autox_video.backbones.video_swin import attention
    from autox_video.machine.allocator import keep_freed_memory

    if options.chunk_mib:
        attention.CHUNK_BYTES = options.chunk_mib * 2**20
    if options.device == "cpu":
        keep_freed_memory()
    print(f"{'':50}{'chunked':>9}{'fused':>9}{'plain':>9}  taken")
    totals: dict[tuple[str, str], list[float]] = {}
    for precision, purpose in product(("float32", "bfloat16"), ("inference", "training")):
        for (name, shape), masked in product(SHAPES.items(), (False, True)):
            found, chunked = milliseconds(
                options, shape, precision, training=purpose == "training", masked=masked
            )
            label = f"{precision} {purpose}, {name}{', masked' * masked}"
            figures = "".join(f"{found[kernel]:9.1f}" for kernel in found)
            print(f"{label:50}{figures}  {'chunked' if chunked else 'fused'}", flush=True)
            taken, other = ("chunked", "fused") if chunked else ("fused", "chunked")
            total = totals.setdefault((precision, purpose), [0.0, 0.0])
            total[0] += found[taken]
            total[1] += found[other]
    for (precision, purpose), (taken, other) in totals.items():
        print(
            f"{precision} {purpose}: the chosen kernel takes {taken / other:.2f} times as long as "
            "the other"
        )
    return int(any(taken > 1.1 * other for taken, other in totals.values()))


if __name__ == "__main__":
    sys.exit(main())
