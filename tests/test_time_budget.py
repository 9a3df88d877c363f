"""Whole runs with a time budget, through the real commands."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.datasets import REPOSITORY, TINY, colour_data, command, write_config

ALLOWED_SEC = 30.0  # beyond the budget, where 5% of it are less
BUDGET_SEC = 14.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data and a config that leaves the epochs open."""
    folder = tmp_path_factory.mktemp("budget")
    keys = {**colour_data(folder / "data", train=8, val=2, test=2), **TINY}
    del keys["epoch"]
    write_config(folder / "config.yaml", **keys, work_dir="work", test_results_path="r.json")
    return folder


def plan_of(work):
    return json.loads((work / "plan.json").read_text())


def events(work, kind):
    lines = (work / "metrics.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == kind]


def used_sec(work):
    return json.loads((work / "budget.json").read_text())["used_sec"]


def test_the_plan_alone_is_shown_and_written_and_nothing_else(folder):
    words = ["--plan", "time_budget=1h", "work_dir=planned"]
    done = command("autotrain.py", "config.yaml", *words, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Predicted time: " in done.stdout and "The bottleneck is " in done.stdout
    assert {p.name for p in (folder / "planned").iterdir()} == {"plan.json", ".plan.json.copy"}
    stored = plan_of(folder / "planned")
    assert stored["prediction"]["total_sec"] < 3600
    assert stored["choices"]["time_budget_sec"]["value"] == 3600
    assert stored["choices"]["epochs"]["figures"]["epochs_that_fit"] > 1
    assert len(stored["choices"]["backbone"]["alternatives"]) == 5
    measured = stored["choices"]["time_budget_sec"]["figures"]["measuring_sec"]
    assert measured < 0.05 * 3600
    # It blocks nothing: another run takes the folder.
    done = command("autotrain.py", "work_dir=planned", "epoch=1", "seed=5", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = command("autotrain.py", "--plan", "--fresh", "work_dir=planned", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "holds a run: its plan.json stays as it is" in done.stdout
    assert plan_of(folder / "planned")["choices"]["seed"]["value"] == 5
    assert not (folder / "planned" / "earlier").exists()


def test_a_run_ends_in_time_with_its_best_weights_tested(folder):
    began = time.monotonic()
    done = command("autotrain.py", f"time_budget={BUDGET_SEC:g}s", cwd=folder)
    took_sec = time.monotonic() - began
    assert (done.returncode, done.stderr) == (0, "")
    assert took_sec < BUDGET_SEC + ALLOWED_SEC
    work = folder / "work"
    assert used_sec(work) <= took_sec
    results = json.loads((folder / "r.json").read_text())
    assert results["checkpoint"].endswith("best.pth")
    assert results["metrics"]["clips"] == 6
    assert events(work, "train")[-1]["lr"] == pytest.approx(0.0, abs=1e-6)
    again = command("autotrain.py", f"time_budget={BUDGET_SEC:g}s", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "were tested before" in again.stdout


@pytest.mark.parametrize("phase", ["preparing", "training"])
def test_a_killed_run_counts_what_it_has_used(folder, phase):
    words = [f"time_budget={BUDGET_SEC:g}", f"work_dir={phase}", f"test_results_path={phase}.json"]
    work = folder / phase
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "autotrain.py"), *words, "checkpoint_minutes=0.001"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    sign = work / ("latest.pth" if phase == "training" else "budget.json")
    while not sign.exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before_sec = used_sec(work)
    assert before_sec > 0
    began = time.monotonic()
    done = command("autotrain.py", *words, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < BUDGET_SEC - before_sec + ALLOWED_SEC
    assert used_sec(work) > before_sec
    assert json.loads((folder / f"{phase}.json").read_text())["metrics"]["clips"] == 6
    steps = [e["iter"] for e in events(work, "train")]
    assert steps == list(range(1, len(steps) + 1))


def test_two_processes_keep_to_the_same_time(folder):
    words = ["gpus=2", f"time_budget={BUDGET_SEC:g}", "work_dir=two", "test_results_path=two.json"]
    began = time.monotonic()
    done = command("autotrain.py", *words, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < BUDGET_SEC + ALLOWED_SEC
    assert json.loads((folder / "two.json").read_text())["metrics"]["clips"] == 6


def test_a_budget_that_is_none_is_a_sentence(folder):
    done = command("autotrain.py", "time_budget=soon", cwd=folder)
    assert done.returncode == 2
    assert "key `time_budget`: 'soon' is not allowed; give a duration" in done.stderr
