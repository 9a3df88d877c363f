"""The whole job in two processes that share this machine's CPU: as in one, whatever happens."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from autox_video import AutoXVideo
from tests.datasets import REPOSITORY, TINY, colour_data, command, write_config
from tests.videos import write_text_video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with clips, one of them unreadable, and a run of two processes."""
    folder = tmp_path_factory.mktemp("two")
    data = colour_data(folder / "data", train=5, val=2, test=3)
    write_text_video(folder / "data" / "videos" / "bad.mp4")
    listed = (folder / "data" / "test.txt").read_text().splitlines(keepends=True)
    listed.insert(2, "bad.mp4 1\n")
    (folder / "data" / "test.txt").write_text("".join(listed))
    write_config(
        folder / "config.yaml",
        **{**data, **TINY, "epoch": 2, "workers": 1, "ema": 0.9},
        work_dir=str(folder / "work"),
        test_results_path=str(folder / "results.json"),
    )
    done = command("autotrain.py", "gpus=2", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "shown.txt").write_text(done.stdout)
    return folder


@pytest.fixture
def one_thread(monkeypatch):
    """As many threads here as in each of two processes: convolutions round by how they share."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def losses(work):
    events = map(json.loads, (work / "metrics.jsonl").read_text().splitlines())
    return [(e["event"], e["iter"], e["loss"]) for e in events if "loss" in e]


def test_two_train_as_one_does_with_the_same_batch(folder):
    assert ", 2 processes" in (folder / "shown.txt").read_text()
    words = ["videos_per_gpu=8", f"work_dir={folder / 'one'}"]
    AutoXVideo().read_cfg(str(folder / "config.yaml"), words).fit()
    one, two = losses(folder / "one"), losses(folder / "work")
    assert [line[:2] for line in one] == [line[:2] for line in two]
    for (*_, loss), (*_, other) in zip(one, two, strict=True):
        assert loss == pytest.approx(other, abs=1e-5)
    files = {path.name for path in (folder / "work").iterdir()}
    assert files == {path.name for path in (folder / "one").iterdir()}


def test_each_with_a_part_of_the_model_they_train_as_with_all_of_it(folder, tmp_path, command_here):
    words = ["strategy=fsdp", f"work_dir={tmp_path / 'work'}"]
    done = command("autotrain.py", "gpus=2", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    one, two = losses(folder / "work"), losses(tmp_path / "work")
    for (*place, loss), (*other_place, other) in zip(one, two, strict=True):
        assert place == other_place
        assert loss == pytest.approx(other, abs=1e-5)
    whole, parts = (
        torch.load(work / "latest.pth", weights_only=True)
        for work in (folder / "work", tmp_path / "work")
    )
    for name, weight in whole["state_dict"].items():
        assert torch.allclose(weight, parts["state_dict"][name], atol=1e-5), name
    for number, moments in whole["optimizer"]["state"].items():
        other = parts["optimizer"]["state"][number]
        assert other["step"] == moments["step"]
        assert torch.allclose(moments["exp_avg"], other["exp_avg"], atol=1e-5), number
    done = command_here("autotrain.py", f"work_dir={tmp_path / 'work'}", "epoch=3", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Resuming after epoch 2 of 3." in done.stdout


def test_pretrained_weights_come_to_each_part_of_the_model(folder, tmp_path):
    """With a head for other classes, which each run starts anew, and all processes alike."""
    state = torch.load(folder / "work" / "best.pth", weights_only=True)["state_dict"]
    del state["cls_head.fc_cls.weight"], state["cls_head.fc_cls.bias"]
    torch.save({"state_dict": state}, tmp_path / "start.pth")
    works = [tmp_path / "one", tmp_path / "fsdp"]
    words = [f"load_from={tmp_path / 'start.pth'}", "epoch=1"]
    one = ["videos_per_gpu=8", f"work_dir={works[0]}"]
    AutoXVideo().read_cfg(str(folder / "config.yaml"), [*words, *one]).fit()
    two = ["gpus=2", "strategy=fsdp", f"work_dir={works[1]}"]
    done = command("autotrain.py", *words, *two, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "start.pth" in done.stdout
    for (*place, loss), (*other_place, other) in zip(*map(losses, works), strict=True):
        assert place == other_place
        assert loss == pytest.approx(other, abs=1e-5)


def test_two_test_as_one_does_byte_for_byte(folder, command_here, one_thread):
    alone = command_here("autotest.py", cwd=folder)
    assert alone.returncode == 0, alone.stderr
    before = (folder / "results.json").read_bytes()
    done = command("autotest.py", "gpus=2", cwd=folder)
    assert (done.returncode, done.stderr) == (0, alone.stderr)
    assert (folder / "results.json").read_bytes() == before
    reports = [shown.partition("Predict clips:")[0] for shown in (done.stdout, alone.stdout)]
    assert reports[0] == reports[1] and "Results: " in reports[0]
    records = json.loads(before)["predictions"]
    assert [r["status"] for r in records].index("unreadable") == 2
    assert len(records) == 10


class Started:
    """A run of two processes without end, in its first epoch."""

    def __init__(self, folder, work):
        self.errors = work.with_suffix(".err")
        words = ["gpus=2", "epoch=5000", "evaluation=0", f"work_dir={work}"]
        self.launcher = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "autotrain.py"), *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=self.errors.open("w"),
            text=True,
            start_new_session=True,
        )
        for line in self.launcher.stdout:
            if "clips/s" in line:
                break
        self.ranks = children(self.launcher.pid)
        self.everybody = [*self.ranks, *(pid for rank in self.ranks for pid in children(rank))]

    def end(self) -> int:
        """Wait until nobody is left; gives the exit code."""
        self.launcher.stdout.read()
        code = self.launcher.wait(30)
        end = time.monotonic() + 10
        while any(map(is_alive, self.everybody)):
            assert time.monotonic() < end
            time.sleep(0.02)
        return code

    @property
    def said(self) -> str:
        return self.errors.read_text()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_saves_and_one_process_goes_on(folder, tmp_path, command_here):
    run = Started(folder, tmp_path / "work")
    assert len(run.everybody) == 4  # each has a data worker
    os.killpg(run.launcher.pid, signal.SIGINT)
    assert run.end() == 130
    assert run.said.count("Stopped and saved. Run the same command again") == 1
    assert "Traceback" not in run.said
    meta = torch.load(tmp_path / "work" / "latest.pth", weights_only=True)["meta"]
    steps = meta["iter"]
    assert steps > 0
    epochs = meta["epoch"] + 1
    done = command_here(
        "autotrain.py", f"epoch={epochs}", "evaluation=0", "videos_per_gpu=8",
        f"work_dir={tmp_path / 'work'}", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    numbers = [number for event, number, _ in losses(tmp_path / "work") if event == "train"]
    assert numbers == list(range(1, 2 * epochs + 1))


def test_a_process_that_is_killed_brings_the_others_down(folder, tmp_path):
    run = Started(folder, tmp_path / "work")
    os.kill(run.ranks[0], signal.SIGKILL)
    begin = time.monotonic()
    assert run.end() == 1
    assert time.monotonic() - begin < 30
    *_, last = run.said.splitlines()
    assert last.startswith("Process 0 of 2 was killed by SIGKILL")
    assert run.said.count("Process ") == 1 and "Traceback" not in run.said


def test_nobody_stays_when_the_launcher_is_killed(folder, tmp_path):
    run = Started(folder, tmp_path / "work")
    run.launcher.kill()
    assert run.end() == -signal.SIGKILL
    assert (tmp_path / "work" / "latest.pth").is_file()
