"""The suite's script: what it runs, what it skips, what it judges."""

import subprocess

import pytest

from benchmarks import suite, suite_systems
from benchmarks.suite_peer import share_of_rate
from benchmarks.suite_systems import Data, Job


def row(name, system, top1, *, seed=0, clips=60):
    return {"set": name, "system": system, "seed": seed, "top1": top1, "clips": clips}


@pytest.mark.parametrize(
    ("shares", "met"),
    [((0.9, 0.85), True), ((0.95, 0.59), False), ((0.84, 0.84), False), ((1.0, None), False)],
)
def test_the_bar(shares, met, capsys):
    rows = [row(f"set{i}", "ours", share) for i, share in enumerate(shares)]
    assert suite.judge(rows, ["ours"]) == met
    assert ("met" if met else "missed") in capsys.readouterr().out


def test_a_figure_is_the_mean_over_seeds_with_the_interval_of_one():
    rows = [row("a", "ours", 0.8), row("a", "ours", 1.0, seed=1)]
    share, low, high = suite.figure(rows)
    assert share == pytest.approx(0.9)
    assert (low, high) == pytest.approx(suite.wilson_interval(54, 60))


def test_real_clips_are_twice_as_good_in_one_of_two_figures(capsys):
    rows = [row("a", "ours", 0.2) | {"top5": 0.6}, row("a", "stock", 0.15) | {"top5": 0.3}]
    assert suite.judge_real(rows, ["ours", "stock"])
    rows[0]["top5"] = 0.5
    assert not suite.judge_real(rows, ["ours", "stock"])


def test_a_stopped_suite_goes_on_behind_its_rows(tmp_path, monkeypatch):
    ran = []

    def run_job(job, folder):
        assert not folder.exists()
        folder.mkdir(parents=True)
        ran.append(job.seed)
        if job.seed == 2 and len(ran) < 3:
            raise KeyboardInterrupt
        return {"key": job.key, "top1": 0.5, "training_sec": 1.0}

    monkeypatch.setattr(suite, "run_job", run_job)
    data = Data("a", tmp_path, tmp_path, tmp_path, ("x", "y"))
    jobs = [Job(data, "ours", seed, 60.0) for seed in (1, 2)]
    with pytest.raises(KeyboardInterrupt):
        suite.run_all(jobs, tmp_path)
    with (tmp_path / "suite.jsonl").open("a") as file:
        file.write('{"key": ["a", "ours", 2, 60.0, No\n')
    rows = suite.run_all(jobs, tmp_path)
    assert ran == [1, 2, 2]
    assert suite.rows_done(tmp_path / "suite.jsonl") == rows
    other_budget = [Job(data, "ours", 1, 120.0)]
    suite.run_all(other_budget, tmp_path)
    assert ran == [1, 2, 2, 1]


def test_real_data_is_read_from_its_lists(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train_list.txt").write_text("a b.avi 10\nc.avi 9\nd.avi 0\n")
    assert suite.real_data(tmp_path).classes == ("0", "9", "10")


@pytest.mark.parametrize(("text", "wanted"), [("90s", 90), ("10m", 600), ("1h", 3600), ("5", 5)])
def test_durations(text, wanted):
    assert suite.seconds(text) == wanted


def test_the_peers_rate_warms_up_and_falls_to_nothing():
    shares = [share_of_rate(step / 120) for step in range(121)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == pytest.approx(1.0, abs=0.02)
    assert shares.index(max(shares)) == 10
    assert shares[-1] == pytest.approx(0.0)
    assert all(0 < share <= 1 for share in shares[:-1])


def test_the_fixed_rules_are_those_of_a_commit(tmp_path):
    history = subprocess.run(
        ["git", "cat-file", "-e", suite_systems.RULES], cwd=suite_systems.ROOT, check=False
    )
    if history.returncode:
        with pytest.raises(SystemExit, match="clone the repository with its history"):
            suite_systems.tree_of_rules(tmp_path)
        return
    tree = suite_systems.tree_of_rules(tmp_path)
    assert suite_systems.tree_of_rules(tmp_path) == tree
    assert "time_budget" not in (tree / "config.yaml").read_text()
    assert (tree / "autotrain.py").is_file() and list(tmp_path.iterdir()) == [tree]


def test_the_fixed_rules_get_the_epochs_that_fit():
    said = "Plan\nepoch 1/79 step 3/15: loss 1\nepoch 2/79 step 15/15: loss 1\nepoch 2: validation"
    assert suite_systems.epochs_done(said) == 2.0
    assert suite_systems.epochs_done("Plan\n") == 0.0
    # Ten seconds of preparing, a first epoch of 20 s, then 10 s each.
    seen = [(12.0, 0.1), (30.0, 1.0), (35.0, 1.5), (60.0, 4.0)]
    assert suite_systems.fitting_epochs(seen, 130.0) == 11
    assert suite_systems.fitting_epochs(seen, 10.0) == 1
    assert suite_systems.fitting_epochs(seen[:2], 130.0) is None
