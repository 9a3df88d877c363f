"""Who a process is, and what several tell each other over gloo."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from autox_video.cli.main import main
from autox_video.core.errors import ConfigError
from autox_video.distributed import processes
from autox_video.distributed.launch import ProcessGroup
from autox_video.distributed.processes import Processes, current
from tests.datasets import REPOSITORY

VARIABLES = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "GLOO_SOCKET_IFNAME"),
)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


@pytest.mark.parametrize(
    ("variables", "who"),
    [
        ({}, Processes()),
        (
            {"RANK": "5", "WORLD_SIZE": "6", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
            (5, 6, 1, 2),
        ),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (1, 2, 0, 2)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, (0, 1, 0, 1)),  # a batch script
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, (0, 1, 0, 1)),
    ],
)
def test_who_this_is(variables, who, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert current() == (who if isinstance(who, Processes) else Processes(*who))


@pytest.mark.parametrize(
    "variables",
    [
        {"RANK": "one", "WORLD_SIZE": "2"},
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "3"},
        {"SLURM_STEP_NUM_TASKS": "5", "SLURM_PROCID": "4"},
    ],
)
def test_an_environment_that_cannot_be(variables, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="environment|srun has started 5"):
        current()


@pytest.mark.parametrize(("rank", "sentences"), [("0", 1), ("1", 0)])
def test_what_is_wrong_in_all_processes_is_told_by_one(rank, sentences, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", rank)
    Path("c.yaml").write_text("data_root: videos\ndevice: cpu\n")
    assert main(["train", "c.yaml"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == sentences and all("srun has started 2" in line for line in said)


def test_alone_everything_is_immediate():
    assert processes.join() == Processes()
    assert processes.broadcast(3) == 3
    assert processes.all_gather(3) == [3]
    assert processes.all_reduce_max([1, 2]) == [1, 2]
    assert processes.run_on_rank_zero(lambda: 4) == 4
    assert processes.may_complain()
    processes.leave()


TALK = """
import json, os, sys
from autox_video.distributed import processes
from autox_video.core.errors import ListingError
me = processes.join()
said = {
    "shared": processes.broadcast({"a": 1} if me.is_main else None),
    "gathered": processes.all_gather(me.rank * 10),
    "largest": processes.all_reduce_max([me.rank, 5 - me.rank]),
    "made": processes.run_on_rank_zero(lambda: me.rank + 7),
    "complain": processes.may_complain(),
}
def fail():
    raise ListingError("a clip", "another")
try:
    processes.run_on_rank_zero(fail)
except ListingError as error:
    said["error"] = error.problems
json.dump(said, open(f"said{me.rank}", "w"))
print("library noise")
processes.leave()
"""


def read(folder, name):
    return json.loads((folder / name).read_text())


def check_talk(folder):
    said = [read(folder, f"said{rank}") for rank in (0, 1)]
    assert sorted(s.pop("complain") for s in said) == [False, True]
    assert said[0] == said[1]
    # What fails in the main one fails in all, who may then go on together.
    assert said[0].pop("error") == ["a clip", "another"]
    assert said[0] == {"shared": {"a": 1}, "gathered": [0, 10], "largest": [1, 5], "made": 7}


@pytest.mark.slow
def test_two_talk_and_nothing_is_seen_of_it(tmp_path, capfd):
    assert ProcessGroup(2, [sys.executable, "-c", TALK]).run() == 0
    check_talk(tmp_path)
    assert capfd.readouterr() == ("library noise\n", "")


FAIL = """
import os, sys
os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as `join` does before torch is there
import torch.distributed
from autox_video.cli.commands import check
from autox_video.cli.main import main
from autox_video.distributed import processes
from autox_video.core.errors import ListingError

def run(how):
    me = processes.join()
    def make():
        if how == "mistake":
            raise ListingError("there is no clip")
        if how == "stop":
            os.kill(os.getpid(), 15)
        return 1
    processes.run_on_rank_zero(make)
    if how == "all":
        raise ListingError("everybody sees that there is no clip")
    if how == "one" and me.rank == 1:
        raise RuntimeError("a defect of the second")
    if how == "words" and me.rank == 1:
        raise RuntimeError("there is no NCCL in this gloo, said the TCPStore: Broken pipe")
    if how == "network":
        raise torch.distributed.DistBackendError("NCCL error:\\nDuplicate GPU detected")
    if how == "killed" and me.rank == 1:
        os.kill(os.getpid(), 9)
    if how == "both":
        1 / 0
    processes.all_gather(1)
    return 0

def start(how, rank, port):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), AUTOX_VIDEO_LAUNCHER="")
    append = os.O_CREAT | os.O_APPEND | os.O_WRONLY
    os.environ["AUTOX_VIDEO_REASON_FD"] = str(os.open(f"{how}.why", append))
    os.environ["AUTOX_VIDEO_LAUNCHER"] = str(os.getppid())
    os.dup2(os.open(f"{how}.err", append), 2)
    if how == "torchrun":
        del os.environ["AUTOX_VIDEO_LAUNCHER"]
        how = "network"
    check.run = lambda options: run(how)
    try:
        code = main(["check"])
    except SystemExit as leave:
        code = leave.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # as Python does at its end
        code = 1
    os._exit(code)

def free_port():
    import socket
    with socket.create_server(("127.0.0.1", 0)) as place:
        return place.getsockname()[1]

CASES = ("mistake", "stop", "all", "one", "killed", "both", "words", "network", "torchrun")
for how in CASES:
    port = free_port()
    pids = []
    for rank in (0, 1):
        pids.append(os.fork())
        if pids[-1] == 0:
            start(how, rank, port)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    print(how, *codes, flush=True)
"""


@pytest.mark.slow
def test_one_failure_is_told_once(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FAIL], capture_output=True, text=True, timeout=90, check=True
    )
    codes = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert codes == {
        "mistake": ["2", "2"],
        "stop": ["143", "143"],
        "all": ["2", "2"],
        "one": ["76", "1"],
        "killed": ["76", "-9"],
        "both": ["1", "1"],
        "words": ["76", "1"],
        "network": ["76", "76"],
        "torchrun": ["1", "1"],
    }
    said = {how: (tmp_path / f"{how}.err").read_text() for how in codes}
    assert said["mistake"] == "there is no clip\n"
    assert said["stop"] == "Stopped. Run the same command again to resume.\n"
    assert said["all"] == "everybody sees that there is no clip\n"
    assert said["killed"] == ""  # the launcher says it
    for how, error in (
        ("one", "RuntimeError: a defect of"),
        ("both", "ZeroDivisionError"),
        ("words", "RuntimeError: there is no NCCL"),
    ):
        assert said[how].count("Traceback") == said[how].count(error) == 1
    # Nobody has failed by itself: the launcher is given a reason, or it is told.
    why = {how: (tmp_path / f"{how}.why").read_text().splitlines() for how in codes}
    assert said["network"] == "" and len(why["network"]) == 2
    assert why["torchrun"] == [] and len(said["torchrun"].splitlines()) == 1
    for line in (*why["network"], said["torchrun"]):
        assert "of 2 lost the connection to the others (DistBackendError: NCCL error" in line
        assert "Duplicate GPU detected" in line
