import os
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from autox_video.machine.installation import requirements

ROOT = Path(__file__).parents[2]
REPORT = """
from autox_video.core.errors import AutoXVideoError
try:
    from autox_video.machine import mm_compat
except AutoXVideoError as error:
    print(type(error).__name__)
    print(error)
"""


def python(code: str, *first_on_path: Path) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter that finds modules and metadata in some folders first."""
    path = os.pathsep.join(map(str, (*first_on_path, ROOT)))
    return subprocess.run(
        [sys.executable, "-W", "default", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


def fake(folder: Path, module: str, statement: str) -> Path:
    """A module that only runs `statement`, and empty ones for what is imported before it."""
    order = ("torch", "torchvision", "cv2", "mmengine", "mmcv")
    if module in order:
        for earlier in order[: order.index(module)]:
            (folder / f"{earlier}.py").touch()
    (folder / f"{module}.py").write_text(statement + "\n")
    return folder


@pytest.mark.slow
def test_mmaction_works_after_it_without_a_word_and_mmcv_keeps_its_version():
    result = python(
        "from importlib.metadata import version\n"
        "from autox_video.machine import mm_compat\n"
        "import mmcv, mmaction, mmaction.models, mmaction.datasets, mmaction.evaluation\n"
        "assert mmcv.__version__ == version('onedl-mmcv')\n"
        "import sys\n"
        "assert not {'transformers', 'scipy.stats'} & sys.modules.keys()\n"
        "from mmaction.datasets.transforms.pose_transforms import get_mode\n"
        "assert get_mode([1, 2, 2])[0].tolist() == [2]\n"
        "assert sys.modules['scipy.stats'].mode([1, 1, 2]).mode == 1\n"
        "from transformers import AutoConfig\n"
        "from autox_video.core.errors import InstallError\n"
        "from mmaction.models.localizers import DRN\n"
        "try:\n    DRN(vocab_size=3)\nexcept InstallError as error:\n    print(error)\n"
        "from autox_video.backbones.video_swin.model import VideoSwin\n"
        "VideoSwin({'embed_dims': 12, 'depths': [1], 'num_heads': [2]})\n"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("The DRN localizer is missing from the mmaction2 1.2.0 package")
    silenced = [s for s in ("MultiScaleDeformable", "torch.meshgrid") if s in result.stderr]
    assert silenced == []


@pytest.mark.slow
def test_mmaction_is_mended_for_whoever_imports_it():
    result = python(
        "import sys, autox_video\n"
        "from importlib.util import find_spec\n"
        "assert find_spec('mmaction').submodule_search_locations\n"
        "assert not {'torch', 'mmcv', 'mmengine'} & sys.modules.keys()\n"
        "from mmaction.registry import MODELS\n"
        "import mmaction.models, mmaction\n"
        "assert mmaction is sys.modules['mmaction']\n"
        "assert type(mmaction.__spec__.loader).__module__ != 'autox_video.machine.mm_import'\n"
        "print(MODELS.get('SwinTransformer3D').__name__)\n"
    )
    assert (result.returncode, result.stdout) == (0, "SwinTransformer3D\n"), result.stderr


@pytest.mark.parametrize("name", ["mmaction", "mmcv.transforms", "mmengine.runner"])
def test_where_it_cannot_be_mended_importing_it_says_why(tmp_path, name):
    statement = "raise ModuleNotFoundError('No module named mmengine', name='mmengine')"
    tried = f"try:\n    import {name}\nexcept ImportError as error:\n    print(error)"
    result = python(f"import autox_video\n{tried}", fake(tmp_path, "mmengine", statement))
    assert "pip install onedl-mmengine" in result.stdout, result.stderr


def test_a_second_import_fails_with_the_same_sentence(tmp_path):
    statement = "raise ModuleNotFoundError('No module named mmengine', name='mmengine')"
    result = python(REPORT * 2, fake(tmp_path, "mmengine", statement))
    lines = result.stdout.splitlines()
    assert lines[0] == "InstallError" and "pip install onedl-mmengine" in lines[1], result.stderr
    assert lines[:2] == lines[2:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "statement", "part"),
    [
        (
            "cv2",
            "raise ImportError('libGL.so.1: cannot open shared object file: No such file')",
            "cv2 needs the system library libGL.so.1, which is not installed: run `apt-get install",
        ),
        (
            "torchvision",
            "raise RuntimeError('operator torchvision::nms does not exist')",
            "are broken or incompatible (operator torchvision::nms does not exist)",
        ),
        (
            "torch",
            "raise OSError('libcudart.so.13: cannot open shared object file')",
            "torch cannot be imported",
        ),
        (
            "importlib_metadata",
            "raise ModuleNotFoundError('No module named importlib_metadata', "
            "name='importlib_metadata')",
            "The package importlib_metadata, which mmaction.utils.dependency needs, is not "
            "installed: run `pip install importlib_metadata`.",
        ),
        (
            "mmcv",
            "raise ImportError('numpy.core.multiarray failed to import')",
            "mmcv was built for a different version of NumPy",
        ),
    ],
)
def test_what_fails_at_import_is_one_sentence(tmp_path, module, statement, part):
    result = python(REPORT, fake(tmp_path, module, statement))
    name, *sentences = result.stdout.splitlines()
    assert name == "InstallError" and len(sentences) == 1, result.stderr
    assert part in sentences[0]


@pytest.mark.parametrize(
    ("package", "version", "part"),
    [
        ("mmcv", "2.1.0", "The package mmcv 2.1.0 conflicts with onedl-mmcv"),
        ("mmengine", "0.10.4", "The package mmengine 0.10.4 conflicts with"),
        ("torch", "2.5.1", f"torch 2.5.1 is installed, but torch{requirements()['torch']} is"),
    ],
)
def test_conflicts_are_found_before_anything_heavy_is_imported(tmp_path, package, version, part):
    metadata = tmp_path / f"{package}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    )
    result = python(f"{REPORT}\nimport sys\nprint('torch' in sys.modules)", tmp_path)
    assert result.stdout.splitlines()[0] == "InstallError", result.stderr
    assert part in result.stdout.splitlines()[1]
    assert result.stdout.splitlines()[-1] == "False"


@pytest.fixture(scope="module")
def without_mm_compat() -> str:
    """What is said on stderr where mmaction is imported without our help."""
    return python(
        "import torch, mmcv.cnn.bricks.transformer\n"
        "torch.meshgrid(torch.arange(2), torch.arange(2))\n"
        "import mmaction\n"
    ).stderr


class TestUpstreamDefects:
    """Each fails when the defect is gone: then its workaround in mm_compat can be deleted."""

    mmaction_folder = Path(find_spec("mmaction").origin).parent

    def test_mmaction_still_refuses_the_fork_of_mmcv(self, without_mm_compat):
        assert "AssertionError: MMCV==" in without_mm_compat

    def test_drn_is_still_missing(self):
        localizers = self.mmaction_folder / "models" / "localizers"
        assert "from .drn.drn import DRN" in (localizers / "__init__.py").read_text()
        assert not (localizers / "drn").exists()

    def test_pose_transforms_still_import_scipy_stats(self):
        source = (self.mmaction_folder / "datasets/transforms/pose_transforms.py").read_text()
        assert "from scipy.stats import mode" in source

    def test_importlib_metadata_is_still_imported_and_not_declared(self):
        source = (self.mmaction_folder / "utils" / "dependency.py").read_text()
        assert "from importlib_metadata import" in source
        assert not any(r.startswith("importlib") for r in metadata.requires("mmaction2"))

    @pytest.mark.parametrize(
        "warning",
        ["Fail to import ``MultiScaleDeformableAttention``", "torch.meshgrid: in an upcoming"],
    )
    def test_the_warnings_that_are_silenced_are_still_given(self, without_mm_compat, warning):
        assert warning in without_mm_compat
