"""What this machine has."""

import math
import os
import subprocess
import sys

import pytest
import torch

from autox_video.core.errors import ResourceError
from autox_video.machine import hardware
from autox_video.machine.container_limits import GroupLimits


def test_detect_describes_this_machine():
    here = hardware.detect("cpu")
    assert here.device == "cpu"
    assert here.gpu_memory_gib is None
    assert 1 <= here.cores <= os.cpu_count()
    assert 0.1 < here.memory_gib < 100_000


@pytest.mark.parametrize("asked", ["cuda", "cuda:0", "cuda:3"])
def test_a_gpu_that_is_not_there_is_an_error(asked, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="PyTorch finds no CUDA GPU"):
        hardware.detect(asked)


@pytest.mark.parametrize(
    ("asked", "gpus", "chosen"),
    [("auto", 0, "cpu"), ("auto", 2, "cuda:0"), ("cpu", 2, "cpu"), ("cuda", 2, "cuda:0")]
    + [("cuda:1", 2, "cuda:1")],
)
def test_which_device_is_chosen(asked, gpus, chosen):
    assert hardware._choose_device(asked, gpus) == chosen


def test_a_container_limits_cores_and_memory(monkeypatch):
    limits = GroupLimits(cores=1.5, memory_bytes=hardware.GIB / 8)
    monkeypatch.setattr(hardware, "group_limits", lambda: limits)
    assert hardware.usable_cores() == 1
    assert hardware.usable_memory_gib() == 1 / 8
    monkeypatch.setattr(hardware, "group_limits", lambda: limits._replace(cores=0.2))
    assert hardware.usable_cores() == 1


def test_no_container_limit(monkeypatch):
    limits = GroupLimits(math.inf, math.inf)
    monkeypatch.setattr(hardware, "group_limits", lambda: limits)
    assert hardware.usable_cores() == len(os.sched_getaffinity(0))
    assert hardware.usable_memory_gib() > 1 / 8


def test_a_limit_on_the_address_space_holds():
    program = (
        "import resource\n"
        "from autox_video.machine.hardware import usable_memory_gib\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\n"
        "print(usable_memory_gib())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert float(done.stdout) <= 0.5, done.stderr


def test_a_compiler_is_found_on_the_path_or_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert not hardware.has_compiler()
    (tmp_path / "mycc").write_text("#!/bin/sh\n")
    (tmp_path / "mycc").chmod(0o755)
    monkeypatch.setenv("CC", "mycc")
    assert hardware.has_compiler()
