"""`autox-video doctor`: report what this machine has, what is missing, and how to fix it.

The report is printed even if packages are broken: heavy packages are imported one by one, and each
failure is reported in a sentence.
"""

import argparse
import importlib
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

from autox_video.core.console import say
from autox_video.core.errors import InstallError
from autox_video.core.wording import counted
from autox_video.machine import hardware
from autox_video.machine.installation import (
    IMPORT_FAILURES,
    check_installation,
    explain_import_error,
    installed_version,
    requirements,
)

HELP = "report what this machine has, what is missing, and how to fix it"

LEAST_DISK_GIB = 2.0
"""Free disk space that counts as enough; two checkpoints of the default backbone take 1.4 GiB."""

IMPORTED = (
    *("numpy", "yaml", "rich", "pydantic", "einops", "av"),
    *("torch", "torchvision", "timm", "cv2", "mmengine", "mmcv"),
)
"""Modules of the required packages, in the order of their dependencies."""

Row = tuple[str, str]
"""A checked item and its result."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments; this command takes none."""


def run(options: argparse.Namespace | None = None) -> int:
    """Print the report; return 0 if there is no problem to fix, else 2."""
    problems = check_installation()
    sections = {
        "Packages": describe_packages(),
        "Machine": describe_machine(problems),
        "Decoders": describe_decoders(problems),
    }
    problems = list(dict.fromkeys([*problems, *check_imports()]))
    for title, rows in sections.items():
        say(title)
        width = max(len(name) for name, _ in rows)
        for name, text in rows:
            say(f"  {name:<{width}}  {text}")
    if not problems:
        say("Everything that is required works.")
        return 0
    say(f"{counted(len(problems), 'problem')} to fix:")
    for problem in problems:
        say(f"  - {problem}")
    return 2


def describe_packages() -> list[Row]:
    """Return the versions of Python and the required packages, read from the package metadata."""
    installed = {dist.metadata.get("Name") or "" for dist in metadata.distributions()}
    opencv = sorted(name for name in installed if name.startswith("opencv-"))
    versions = ", ".join(f"{name} {installed_version(name)}" for name in opencv)
    return [
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        *((package, installed_version(package) or "not installed") for package in requirements()),
        ("opencv", versions or "not installed"),
    ]


def describe_machine(problems: list[str]) -> list[Row]:
    """Describe the CPU, memory, GPUs and disk; add a sentence to `problems` for each fault."""
    types = [t for t in ("amx_bf16", "avx512_bf16", "avx2") if t in hardware.cpu_flags()]
    free_gib = shutil.disk_usage(Path.cwd()).free / hardware.GIB
    if free_gib < LEAST_DISK_GIB:
        problems.append(
            f"Only {free_gib:.1f} GiB are free in {Path.cwd()}, but checkpoints need up to "
            f"{LEAST_DISK_GIB:g} GiB; free some space, or set work_dir to a folder on another disk."
        )
    return [
        ("CPU", hardware.cpu_name()),
        ("cores", f"{hardware.usable_cores()} usable"),
        ("fast dtypes", ", ".join(types) or "none of AMX, AVX512-BF16, AVX2"),
        ("memory", f"{hardware.usable_memory_gib():.1f} GiB usable"),
        *_describe_gpus(problems),
        ("disk", f"{free_gib:.1f} GiB free in {Path.cwd()}"),
    ]


def _describe_gpus(problems: list[str]) -> Iterator[Row]:
    torch, failure = _try_import("torch")
    if torch is None:
        problems.append(failure)
        yield "GPUs", "unknown, as torch cannot be imported"
    elif not torch.cuda.is_available():
        there = Path("/dev/nvidia0").exists()
        hint = "; there is one, but torch or the driver does not support it" if there else ""
        yield "GPUs", f"none that torch can use{hint}"
    else:
        for index in range(torch.cuda.device_count()):
            gpu, failure = torch.cuda.get_device_properties(index), _why_no_computing(torch, index)
            if failure:
                problems.append(
                    f"torch cannot compute on GPU {index} ({gpu.name}): install a torch built for "
                    "it and its driver (see https://pytorch.org), or set device: cpu."
                )
            size_gib, speed = gpu.total_memory / hardware.GIB, "fast" if gpu.major >= 8 else "slow"
            yield (
                f"GPU {index}",
                f"{gpu.name}, {size_gib:.1f} GiB, compute capability {gpu.major}.{gpu.minor}, "
                f"{speed} bfloat16{failure}",
            )


def _why_no_computing(torch: ModuleType, index: int) -> str:
    try:
        ones = torch.ones(8, 8, device=f"cuda:{index}")
        return "" if float((ones @ ones).sum()) == 512 else "; computes wrong numbers"
    except RuntimeError as error:
        return f"; fails: {str(error).splitlines()[0]}"


def describe_decoders(problems: list[str]) -> list[Row]:
    """Describe the video decoders; add a sentence to `problems` if the default decoder fails."""
    av, failure = _try_import("av")
    if av is None:
        problems.append(failure)
        rows = [("av", failure)]
    else:
        formats = av.codecs_available & {"h264", "hevc", "vp9", "av1", "mpeg4"}
        rows = [("av", f"FFmpeg {av.ffmpeg_version_info}, with {', '.join(sorted(formats))}")]
    for decoder in ("torchcodec", "decord"):
        failure = _try_import(decoder)[1]
        if not failure and decoder == "torchcodec":
            # torchcodec can be imported without its libraries, and our module for torchcodec needs
            # av.
            ours, failure = _try_import("autox_video.video.decoders.torchcodec")
            failure = ours.why_no_libraries() if ours else failure
        why = f"not usable (needed only for decoder={decoder}): {failure}"
        rows.append((decoder, why if failure else "usable"))
    return rows


def check_imports() -> Iterator[str]:
    """Import the required packages, and yield a sentence for each import that fails."""
    yield from filter(None, (_try_import(module)[1] for module in IMPORTED))
    try:
        importlib.import_module("autox_video.machine.mm_compat")
    except InstallError as error:
        yield from error.problems


def _try_import(module: str) -> tuple[ModuleType | None, str]:
    """Return the module and "", or None and a sentence that says why the import failed."""
    try:
        return importlib.import_module(module), ""
    except IMPORT_FAILURES as error:
        return None, explain_import_error(module, error)
