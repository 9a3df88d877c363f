"""What the commands print: short, and no wider than the terminal."""

import os
import subprocess
import sys

import pytest

from autox_video import AutoXVideo
from tests.datasets import REPOSITORY, TINY, colour_data, write_config
from tests.terminal import lines_of, on_terminal

pytestmark = pytest.mark.slow

SUMMARY = ("Clips ", "Model ", "Input ", "Training ", "Time ", "Choices ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a config of tiny clips, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("printed")
    data = colour_data(folder / "data", train=4, val=2, test=2)
    (folder / "data" / "videos" / "train red 0.mp4").write_bytes(b"")
    keys = {name: os.path.relpath(path, folder) for name, path in data.items()}
    write_config(folder / "config.yaml", **keys, **TINY, work_dir="work")
    return folder


def words(script, *options):
    return [sys.executable, str(REPOSITORY / script), *options]


def in_pipe(folder, *options):
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        words("autotrain.py", *options), cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done


def before_training(lines):
    return lines[: next(i for i, line in enumerate(lines) if line.startswith("epoch 1/"))]


def test_a_run_in_a_pipe(folder):
    done = in_pipe(folder, "work_dir=piped")
    lines = done.stdout.splitlines()
    first = before_training(lines)
    assert [line for line in first if line.startswith(SUMMARY)] == first and len(first) <= 8
    assert max(map(len, lines + done.stderr.splitlines())) <= 80
    (skipped,) = [" ".join(done.stderr.split())]
    assert skipped.startswith("1 clip cannot be read (skipped)") and "unreadable.csv" in skipped
    assert "Weights: piped/best.pth" in lines
    assert "Test it:" in lines[-1] and lines[-1].endswith("autotest.py work_dir=piped")
    log = (folder / "piped" / "train.log").read_text()
    for line in (*first, "│ weight_decay", "Weights: piped/best.pth", "(skipped), such as"):
        assert log.count(line) == 1, line


def test_a_run_on_a_terminal(folder):
    code, text = on_terminal(words("autotrain.py", "work_dir=drawn"), cwd=folder)
    assert code == 0, text
    lines = lines_of(text)
    assert max(map(len, lines)) <= 80
    printed = [line for line in lines if line.startswith(SUMMARY)][: len(SUMMARY)]
    assert [line.split()[0] for line in printed] == [name.strip() for name in SUMMARY]
    # How often the live line is drawn depends on the machine.
    assert any("epoch " in line for line in lines), lines


def test_nothing_is_printed_where_nothing_is_wanted(folder, command_here):
    done = command_here("autotrain.py", "work_dir=silent", "verbose=false", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Weights: silent/best.pth" in (folder / "silent" / "train.log").read_text()


def test_a_plan_shows_every_choice_within_the_terminal(folder, command_here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "")
    done = command_here("autotrain.py", "--plan", "work_dir=planned", cwd=folder)
    lines = done.stdout.splitlines()
    assert any("weight_decay" in line for line in lines) and "Predicted time: " in done.stdout
    assert max(len(line) for line in lines if "│" in line) <= 80
    code, text = on_terminal(words("autotrain.py", "--plan", "work_dir=planned"), cwd=folder)
    assert code == 0 and max(map(len, lines_of(text))) <= 80


def test_a_test_and_a_leaderboard(folder, command_here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert command_here("autotrain.py", "work_dir=tested", cwd=folder).returncode == 0
    done = command_here("autotest.py", "work_dir=tested", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:1] == ["top-1"] and " of 6" in line for line in lines)
    assert "Results: tested/results.json (6 clips)" in lines
    assert "top-5" not in done.stdout
    assert (folder / "tested" / "mistakes.csv").read_text().startswith("path,start,end,label")
    assert any(line.startswith("All models:") for line in lines)
    for name in ("leaderboard", "check"):
        done = command_here(name, "work_dir=tested", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert 0 < max(map(len, done.stdout.splitlines())) <= 80, name


def test_a_reader_who_has_seen_enough(folder):
    script = f"{sys.executable} {REPOSITORY / 'autotrain.py'} work_dir=read | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert done.stdout.count("\n") == 1 and (folder / "read" / "best.pth").exists()


def test_python_can_be_silent(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    model = AutoXVideo().read_cfg("config.yaml")
    model.fit(work_dir="python", verbose=False)
    model.transform(verbose=False)
    shown, complaints = capfd.readouterr()
    assert shown == ""
    assert len(complaints.splitlines()) == 1  # the clip that cannot be read
