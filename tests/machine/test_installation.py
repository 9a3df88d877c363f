import re
import shutil
import sys
from pathlib import Path

import pytest

from autox_video.machine import installation
from autox_video.machine.installation import (
    check_installation,
    explain_import_error,
    find_conflicts,
    find_missing,
    installed_version,
    requirements,
)

NEEDED = requirements()


def lowest(specifier: str) -> str:
    """The lowest version that a specifier such as `<6,>=5.24` allows."""
    bound = re.search(r"[>=]=([\w.]+)", specifier)
    return bound[1] if bound else "1.0"


def install(folder: Path, package: str, version: str, *needs: str) -> None:
    """Metadata of a package that is not there."""
    metadata = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    (metadata / "METADATA").write_text("\n".join([*lines, ""]))


@pytest.fixture
def only(tmp_path, monkeypatch):
    """An environment with this project, and nothing else but what `install` makes."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    needs = [f"{package}{specifier}" for package, specifier in NEEDED.items()]
    install(tmp_path, "autox-video", "0.1.0", *needs, 's3fs>=2024.6; extra == "s3"')
    return tmp_path


@pytest.fixture
def complete(only):
    for package, specifier in NEEDED.items():
        install(only, package, lowest(specifier))
    return only


def test_what_is_needed_is_what_the_project_declares(only):
    assert NEEDED["torch"].startswith(">=") and NEEDED["mmaction2"] == "==1.2.0"
    assert requirements() == NEEDED


def test_a_project_that_is_not_installed_is_one_problem(complete):
    shutil.rmtree(complete / "autox_video-0.1.0.dist-info")
    (problem,) = check_installation()
    assert problem.startswith("autox-video itself is not installed: run `pip install -e .`")


def test_this_environment_is_complete():
    assert check_installation() == []


def test_a_complete_environment_has_no_problem(complete):
    assert check_installation() == []


@pytest.mark.parametrize(
    ("twin", "fork"),
    [
        ("mmcv", "onedl-mmcv"),
        ("mmcv-full", "onedl-mmcv"),
        ("mmcv-lite", "onedl-mmcv"),
        ("mmengine", "onedl-mmengine"),
        ("mmengine-lite", "onedl-mmengine"),
    ],
)
def test_a_twin_of_a_fork_is_a_conflict(complete, twin, fork):
    install(complete, twin, "2.1.0")
    (problem,) = check_installation()
    assert problem.startswith(f"The package {twin} 2.1.0 conflicts with {fork}")
    assert f"`pip uninstall -y {twin} {fork}` and then `pip install {fork}`" in problem


def test_a_twin_alone_is_one_problem_not_two(only):
    for package, specifier in NEEDED.items():
        if package != "onedl-mmcv":
            install(only, package, lowest(specifier))
    install(only, "mmcv", "2.1.0")
    assert len(check_installation()) == 1


@pytest.mark.parametrize(
    ("package", "version", "wrong"),
    [
        ("torch", "2.5.1+cu124", True),
        ("torch", "2.6.0+cu124", False),
        ("torch", "2.15.0", False),
        ("torch", "3.0.0a0+git12", False),
        ("mmaction2", "0.24.1", True),
        ("mmaction2", "1.3.0", True),
        ("av", "9.2.0", True),
    ],
)
def test_packages_of_a_wrong_version(only, package, version, wrong):
    install(only, package, version)
    problems = find_conflicts()
    assert bool(problems) == wrong
    if wrong:
        needed = f"{package}{NEEDED[package]}"
        assert problems[0].startswith(
            f"The package {package} {version} is installed, but {needed} is required: "
        )
        assert "pip install --upgrade" in problems[0]


def test_missing_packages_that_are_needed_are_all_named(only):
    problems = find_missing()
    assert len(problems) == len(NEEDED) - 1
    assert not any("decord" in problem for problem in problems)
    assert (
        'The package onedl-mmcv is not installed: run `pip install "onedl-mmcv>=2.3.6"`.'
        in problems
    )


def test_metadata_without_a_version_is_no_crash(only):
    (only / "torch-2.6.dist-info").mkdir()
    (only / "torch-2.6.dist-info" / "METADATA").write_text("Name: torch\n")
    assert installed_version("torch") == "unknown"
    assert len(find_conflicts()) == 1


LIBGL = "libGL.so.1: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("module", "error", "parts"),
    [
        ("cv2", ImportError(LIBGL), ["cv2 needs the system library libGL.so.1", "install libgl1`"]),
        ("mmcv", ImportError(LIBGL.replace("GL.so.1", "gthread-2.0.so.0")), ["libglib2.0-0"]),
        (
            "torchvision",
            RuntimeError("operator torchvision::nms does not exist"),
            ["are broken or incompatible", "--force-reinstall torch torchvision"],
        ),
        (
            "torch",
            OSError("libcudart.so.13: cannot open shared object file: No such file"),
            ["torch cannot be imported", "libcudart.so.13"],
        ),
        (
            "mmcv",
            ModuleNotFoundError("No module named 'mmcv'", name="mmcv"),
            ["The package mmcv is not installed", "pip install onedl-mmcv`"],
        ),
        (
            "mmaction",
            ModuleNotFoundError("No module named 'yaml'", name="yaml"),
            ["yaml, which mmaction needs,", "pip install pyyaml`"],
        ),
        (
            "mmaction.models",
            ModuleNotFoundError(
                "No module named 'mmaction.models.new'", name="mmaction.models.new"
            ),
            ["mmaction.models.new is missing", "--no-deps mmaction2==1.2.0`"],
        ),
        (
            "cv2",
            ImportError("numpy.core.multiarray failed to import"),
            ["built for a different version of NumPy", "numpy opencv-contrib-python`"],
        ),
        (
            "scipy",
            ValueError("numpy.dtype size changed, may indicate binary incompatibility"),
            ["scipy was built for a different version of NumPy", "numpy scipy`"],
        ),
        (
            "mmengine",
            AttributeError("module 'x' has no attribute 'y'\nand more"),
            ["mmengine cannot be imported (AttributeError: module 'x' has no", "onedl-mmengine`"],
        ),
        ("mmcv", AssertionError(), ["mmcv cannot be imported (AssertionError: AssertionError)"]),
    ],
)
def test_import_errors_become_one_sentence(module, error, parts):
    sentence = explain_import_error(module, error)
    assert all(part in sentence for part in parts), sentence
    assert "\n" not in sentence and sentence.endswith(".")


def test_beside_an_installed_package_nothing_is_ours(tmp_path, monkeypatch):
    assert installation.source_tree() == Path(__file__).parents[2]
    package = tmp_path / "site-packages" / "autox_video"
    (package.parent / "checkpoints").mkdir(parents=True)
    monkeypatch.setattr(installation, "__file__", str(package / "machine" / "installation.py"))
    assert installation.source_tree() is None
