"""What may be wrong with a work dir, through the real commands: a sentence, or the run goes on."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from autox_video.run.lock import locked
from autox_video.run.work_dir import LOCK
from tests.cli.test_main import refused
from tests.datasets import REPOSITORY, TINY, colour_data, command, write_config
from tests.faults.runs import without_coverage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a config, and a run of one epoch in `work`."""
    folder = tmp_path_factory.mktemp("one")
    data = colour_data(folder / "data", train=2, val=1, test=1)
    keys = {**data, **TINY, "epoch": 1, "work_dir": "work"}
    write_config(folder / "config.yaml", **keys)
    done = command("autotrain.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert LOCK not in os.listdir(folder / "work")
    return folder


def test_a_second_run_in_the_folder_is_refused(folder, command_here):
    before = (folder / "work" / "latest.pth").read_bytes()
    with locked(folder / "work"):
        sentence = refused(command_here("autotrain.py", "--fresh", cwd=folder))
    assert f"is in use: process {os.getpid()} on " in sentence
    assert (folder / "work" / "latest.pth").read_bytes() == before


def test_a_run_that_moved_goes_on_in_spite_of_damage(folder, command_here):
    moved = folder / "elsewhere" / "moved"
    moved.parent.mkdir()
    shutil.copytree(folder / "work", moved)
    (moved / "record.json").write_bytes(b"")
    (moved / "config.py").write_text("raise SystemExit(99)")
    (moved / "train.csv").write_bytes((moved / "train.csv").read_bytes()[:-3])
    (moved / ".latest.pth.abcd1234.autox-part").write_bytes(b"half")
    (moved / LOCK).write_text("?")
    done = command_here("autotrain.py", "epoch=2", f"work_dir={moved}", cwd=folder)
    assert done.returncode == 0, done.stderr
    for said in (
        "record.json: missing or damaged; restored from latest.pth",
        "train.csv: was missing or damaged, and was restored",
        "Resuming with epochs: 1 -> 2",
        "Resuming after epoch 1 of 2",
    ):
        assert said in done.stdout + done.stderr
    assert (moved / "train.csv").read_bytes() == (folder / "work" / "train.csv").read_bytes()
    assert json.loads((moved / "record.json").read_text())["choices"]["epochs"]["value"] == 2
    assert not (moved / ".latest.pth.abcd1234.autox-part").exists()
    assert not (moved / LOCK).exists()


def test_a_work_dir_that_is_a_file_or_cannot_be_written(folder, tmp_path, command_here):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "work", "/proc/work"):
        sentence = refused(command_here("autotrain.py", f"work_dir={place}", cwd=folder))
        assert f"work_dir: {place} cannot be written" in sentence
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_at_the_start(folder, tmp_path):
    """Files of no byte stand for it."""
    words = f"{sys.executable} {REPOSITORY / 'autotrain.py'} work_dir={tmp_path / 'work'}"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 0; exec {words}"],
        cwd=folder,
        env=without_coverage(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "(File too large)" in refused(done)


def test_a_damaged_division_is_a_sentence(folder, tmp_path, command_here):
    """Of clips that lie in class folders."""
    for colour in ("red", "green"):
        (tmp_path / "videos" / colour).mkdir(parents=True)
        for number in range(3):
            source = folder / "data" / "videos" / f"train {colour} {number % 2}.mp4"
            shutil.copy(source, tmp_path / "videos" / colour / f"{number}.mp4")
    write_config(tmp_path / "config.yaml", data_root="videos", work_dir="work", **TINY)
    (tmp_path / "work" / "split").mkdir(parents=True)
    for content in (b"", b"path,la", bytes(30), b"path,label\n\xff\xfe\n"):
        for name in ("train", "val", "test"):
            (tmp_path / "work" / "split" / f"{name}.csv").write_bytes(content)
        sentence = refused(command_here("autotrain.py", cwd=tmp_path))
        assert "split/train.csv: the list " in sentence
        assert "delete work/split to split the clips anew" in sentence
