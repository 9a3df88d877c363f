"""The wheel, installed apart from the source tree, in an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.datasets import COLOURS, REPOSITORY, TINY, colour_clip

pytestmark = pytest.mark.slow
pytest.importorskip("setuptools", minversion="77")  # builds it, without a network


def pip(*words):
    command = [sys.executable, "-m", "pip", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder))
    source = tmp_path_factory.mktemp("source") / "tree"
    names = ("autox_video", "pyproject.toml", "setup.py", "README.md", "LICENSE")
    copy_tree(source, names)
    pip("wheel", *options, str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def copy_tree(target, names):
    """Copy what a build needs: it leaves folders in the tree that it builds."""
    target.mkdir()
    for name in names:
        path = REPOSITORY / name
        if path.is_dir():
            shutil.copytree(path, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, target / name)


def test_it_holds_what_an_installed_package_needs(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    files = ["autox_video/py.typed", "autox_video/backbones/weights/known_weights.csv"]
    assert {*files, "autox_video/__main__.py"} <= {*names}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith("tests") for name in names)


def test_a_folder_of_clips_is_trained_from_an_empty_folder(wheel, tmp_path):
    pip("install", "--no-deps", "--no-index", "--quiet", "--target", str(tmp_path / "p"), wheel)
    for colour in COLOURS:
        (tmp_path / "clips" / colour).mkdir(parents=True)
        for i in range(4):
            colour_clip(tmp_path / "clips" / colour / f"{i}.mp4", colour, seed=i)
    (tmp_path / "empty").mkdir()
    keys = [f"{key}={value}" for key, value in {**TINY, "epoch": 1}.items()]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "p"), "XDG_CACHE_HOME": str(tmp_path)}

    def run(*words):
        return subprocess.run(
            [sys.executable, str(tmp_path / "p" / "bin" / "autox-video"), *words],
            cwd=tmp_path / "empty", env=environment, capture_output=True, text=True,
        )  # fmt: skip

    done = run("train", "../clips", *keys)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "empty" / "work_dirs" / "clips" / "best.pth").is_file()
    done = run("test", "../clips", "workers=0", "device=cpu")
    assert done.returncode == 0, done.stderr
    done = run("train")
    assert done.returncode == 2
    assert "autox-video train demo" in done.stderr
    code = "import autox_video; print(autox_video.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert where.stdout.startswith(str(tmp_path / "p"))
