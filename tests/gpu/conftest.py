"""What holds on a GPU alone. Skipped without one; AUTOX_VIDEO_GPU_TESTS=cpu tries them on the CPU.

There they prove that the tests run, and nothing of a GPU; those that ask for `cuda` are left out.
"""

import os
from pathlib import Path

import pytest
import torch

from autox_video.machine.hardware import Hardware, detect, make_cublas_deterministic
from tests.training.conftest import clips  # noqa: F401 (a fixture)

HERE = Path(__file__).parent

make_cublas_deterministic()  # for those tests that need it, whichever runs first


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def hardware() -> Hardware:
    """The GPU to test on, as planning sees it."""
    asked = os.environ.get("AUTOX_VIDEO_GPU_TESTS") or "cuda"
    if asked != "cpu" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return detect(asked)


@pytest.fixture(scope="session")
def device(hardware) -> str:
    """Its name."""
    return hardware.device


@pytest.fixture
def cuda(device) -> str:
    """The same, for what a CPU cannot stand in for."""
    if device == "cpu":
        pytest.skip("needs a GPU: on a CPU it proves nothing")
    return device
