import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from autox_video.cli.commands import doctor
from autox_video.core.errors import InstallError
from autox_video.machine.installation import requirements

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_here_everything_works(capsys):
    assert doctor.run() == 0
    report = capsys.readouterr().out
    assert report.endswith("Everything that is required works.\n")
    decoders = ("av", "torchcodec", "decord")
    for name in (*requirements(), "python", "opencv", "CPU", "memory", "disk", *decoders):
        assert f"\n  {name} " in report, name
    assert "FFmpeg" in report and "h264" in report


def test_problems_are_listed_once_and_end_with_2(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "check_installation", lambda: ["A is broken."])
    monkeypatch.setattr(doctor, "check_imports", lambda: iter(["A is broken.", "B is broken."]))
    assert doctor.run() == 2
    report = capsys.readouterr().out
    assert report.endswith("2 problems to fix:\n  - A is broken.\n  - B is broken.\n")


def test_a_full_disk_is_a_problem(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage(10, 9, 2**30))
    problems = []
    doctor.describe_machine(problems)
    assert len(problems) == 1 and problems[0].startswith(f"Only 1.0 GiB are free in {Path.cwd()}")


def test_an_install_error_of_mm_compat_is_reported(monkeypatch):
    def fail(name):
        if name == "autox_video.machine.mm_compat":
            raise InstallError("First.", "Second.")
        if name == "timm":
            raise ImportError("no")

    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    first, *others = doctor.check_imports()
    assert first.startswith("timm cannot be imported") and others == ["First.", "Second."]


def fake_torch(matmul):
    properties = SimpleNamespace(name="Fast GPU", total_memory=2**34, major=9, minor=0)
    cuda = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        get_device_properties=lambda index: properties,
    )
    return SimpleNamespace(cuda=cuda, ones=matmul)


def test_a_gpu_is_described_and_tried(monkeypatch):
    import torch

    gpu = fake_torch(lambda *size, device: torch.ones(*size))
    monkeypatch.setattr(doctor, "_try_import", lambda name: (gpu, ""))
    problems = []
    assert list(doctor._describe_gpus(problems)) == [
        ("GPU 0", "Fast GPU, 16.0 GiB, compute capability 9.0, fast bfloat16")
    ]
    assert problems == []


def test_a_gpu_that_cannot_compute_is_a_problem(monkeypatch):
    def fail(*size, device):
        raise RuntimeError("no kernel image is available\nmore")

    monkeypatch.setattr(doctor, "_try_import", lambda name: (fake_torch(fail), ""))
    problems = []
    ((_, text),) = doctor._describe_gpus(problems)
    assert text.endswith("fails: no kernel image is available")
    assert len(problems) == 1 and "torch cannot compute on GPU 0" in problems[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken", [("torch",), ("av", "rich"), ("numpy", "cv2", "mmengine", "decord")]
)
def test_the_command_never_ends_in_a_traceback(tmp_path, broken):
    for module in broken:
        (tmp_path / f"{module}.py").write_text(f"raise ImportError('no {module}')\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    code = "import sys; from autox_video.cli.main import main; sys.exit(main(['doctor']))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, "Traceback" in result.stderr) == (2, False), result.stderr
    listed = result.stdout.partition(" to fix:\n")[2]
    for module in set(broken) - {"decord"}:
        assert f"- {module} cannot be imported" in listed, result.stdout
    assert "decord cannot" not in listed
