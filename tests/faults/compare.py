"""Comparing a run with the reference run, to which nothing happened."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.faults.runs import Life, MissedError, Run, read_checkpoint

TIMINGS = ("clips_per_sec", "data_wait")
"""Fields of an event in metrics.jsonl that may differ between two equal runs."""


def differences(run: Run, reference: Run, *, results: bool = False) -> list[str]:
    """Return sentences about differences; none if the runs are equal bit for bit.

    It compares weights, optimizer and position in latest.pth, weights in best.pth and
    best.safetensors, steps and evaluations in metrics.jsonl, and, where `results` is set,
    results.json.
    """
    found = [
        *_checkpoint(run, reference, "latest.pth", ("state_dict", "optimizer")),
        *_checkpoint(run, reference, "best.pth", ("state_dict",)),
        *_bytes(run, reference, "work/best.safetensors"),
        *_events(run, reference),
    ]
    if results:
        found += _results(run, reference)
    return found


def unusual(life: Life, runs: Sequence[Run]) -> str:
    """Return the output of a start without lines of undamaged runs, up to numbers and folders."""
    usual = {
        _plain(line, run)
        for run in runs
        for shown in run.folder.glob("said_*.txt")
        for line in shown.read_text(errors="replace").splitlines()
    }
    lines = life.said().splitlines()
    return "\n".join(line for line in lines if _plain(line, life.run) not in usual)


def _plain(line: str, run: Run) -> str:
    """Return a line without the parts that differ between runs."""
    return re.sub(r"\d+", "#", line.replace(str(run.folder), ""))


def weights_of(sentence: str) -> bool:
    """Return whether one of these sentences is about a checkpoint, not about metrics.jsonl."""
    return not sentence.startswith("metrics.jsonl")


def equal(left: Any, right: Any) -> bool:
    """Return whether two values of a checkpoint, including nested tensors, have the same bits."""
    import torch

    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        if (left.shape, left.dtype) != (right.shape, right.dtype):
            return False
        # As bytes: a NaN is equal to itself then, and 0.0 is not equal to -0.0.
        parts = (t.contiguous().reshape(-1).view(torch.uint8) for t in (left, right))
        return torch.equal(*parts)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[k], right[k]) for k in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


def _checkpoint(run: Run, reference: Run, name: str, parts: tuple[str, ...]) -> Iterator[str]:
    try:
        mine, wanted = (read_checkpoint(r.work / name) for r in (run, reference))
    except (FileNotFoundError, IsADirectoryError, MissedError) as error:
        yield f"{name} cannot be compared: {error}"
        return
    for part in parts:
        if not equal(mine[part], wanted[part]):
            yield f"{name}: {part} is not that of the reference, bit for bit"
    if mine["meta"].get("iter") != wanted["meta"].get("iter"):
        yield f"{name}: step {mine['meta'].get('iter')}, not {wanted['meta'].get('iter')}"


def _bytes(run: Run, reference: Run, name: str) -> Iterator[str]:
    if (reference.folder / name).exists():
        mine = run.folder / name
        if not mine.is_file() or mine.read_bytes() != (reference.folder / name).read_bytes():
            yield f"{name} is not the reference's, byte for byte"


def _events(run: Run, reference: Run) -> Iterator[str]:
    for kind, key in (("train", "iter"), ("val", "epoch")):
        mine, wanted = (
            [{k: v for k, v in event.items() if k not in TIMINGS} for event in r.events(kind)]
            for r in (run, reference)
        )
        counts = [Counter(event[key] for event in events) for events in (mine, wanted)]
        if extra := sorted((counts[0] - counts[1]).elements()):
            yield f"metrics.jsonl: {kind} events at {key} {extra} are too many"
        if missing := sorted((counts[1] - counts[0]).elements()):
            yield f"metrics.jsonl: {kind} events at {key} {missing} are missing"
        if not extra and not missing and mine != wanted:
            other = [a[key] for a, b in zip(mine, wanted, strict=True) if a != b]
            yield f"metrics.jsonl: {kind} events at {key} {other[:5]} have other figures or order"


def _results(run: Run, reference: Run) -> Iterator[str]:
    mine, wanted = (r.folder / "results.json" for r in (run, reference))
    if not mine.exists():
        yield "results.json is missing"
    elif mine.read_bytes() != wanted.read_bytes():
        contents = [json.loads(path.read_text()) for path in (mine, wanted)]
        keys = [key for key in contents[1] if contents[0].get(key) != contents[1][key]]
        yield f"results.json: other {', '.join(keys) or 'bytes'}"
