"""Several processes started by one command: exit codes, signals, and nobody left behind."""

import math
import os
import signal
import subprocess
import sys
import time

import pytest

from autox_video.core.errors import ConfigError, ResourceError
from autox_video.distributed import launch
from autox_video.distributed.launch import ProcessGroup, as_exit_code, process_count
from tests.datasets import REPOSITORY

# A process of a group: writes its pid to a file of its own, then does what its rank is told.
START = """
import os, signal, sys, time
rank = int(os.environ["RANK"])
def leave(signum, frame):
    open(f"signals{rank}", "a").write(f"{signum} ")
    sys.exit({10: 143}.get(signum, 128 + signum))
for signum in (1, 2, 10, 15):
    signal.signal(signum, leave)
with open(f".pid{rank}", "w") as file:
    file.write(str(os.getpid()))
os.replace(f".pid{rank}", f"pid{rank}")  # nothing is left that would swallow the end
"""
WAIT = "time.sleep(60)\n"


def group(body: str, count: int = 2) -> ProcessGroup:
    return ProcessGroup(count, [sys.executable, "-c", START + body])


def wanted(gpus="auto", device="auto", *, only_probes=False) -> int:
    return process_count(gpus, device, only_probes=only_probes)


def wait_for(*paths) -> None:
    end = time.monotonic() + 20
    while not all(path.exists() and path.stat().st_size for path in paths):
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "gpus", "count"),
    [
        ({}, 0, 1),
        ({}, 1, 1),
        ({}, 4, 4),
        ({"gpus": 2}, 4, 2),
        ({"gpus": 3}, 0, 3),
        ({"device": "cpu"}, 4, 1),
        ({"device": "cpu", "gpus": 2}, 4, 2),
        ({"device": "cuda"}, 4, 4),
        ({"device": "cuda:1"}, 4, 1),
        ({"device": "cuda:1", "gpus": 1}, 4, 1),
        ({"gpus": (0, 2)}, 4, 2),
        ({"gpus": (3,)}, 4, 1),
        ({"gpus": (0, 2), "only_probes": True}, 4, 1),
        ({"device": "cuda", "gpus": 2}, 0, 1),  # which then says that there is none
    ],
)
def test_how_many_are_started(given, gpus, count, monkeypatch):
    monkeypatch.setattr(launch, "count_gpus", lambda: gpus)
    assert wanted(**given) == count


def test_gpus_that_are_not_there_and_a_contradiction(monkeypatch):
    monkeypatch.setattr(launch, "count_gpus", lambda: 2)
    with pytest.raises(ResourceError, match="gpus: 3 requested, but PyTorch finds 2"):
        wanted(gpus=3)
    with pytest.raises(ConfigError, match="gpus: 2 contradicts device: cuda:1"):
        wanted(gpus=2, device="cuda:1")


@pytest.mark.parametrize(("gpus", "seen"), [(2, "0 to 1"), (0, "none")])
def test_numbers_of_gpus_that_are_not_there(monkeypatch, gpus, seen):
    monkeypatch.setattr(launch, "count_gpus", lambda: gpus)
    with pytest.raises(ResourceError, match=f"no GPU 2 .*; PyTorch finds {seen}"):
        wanted(gpus=(2, 3))


def test_numbers_of_gpus_are_not_for_other_launchers(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES=0,2 for torchrun"):
        wanted(gpus=(0, 2))
    monkeypatch.setenv(launch.LAUNCHER, "1")
    assert wanted(gpus=(0, 2)) == 1


@pytest.mark.parametrize(
    ("before", "gpus", "seen"),
    [
        (None, (0, 2), "0,2"),
        ("", (1,), "1"),
        ("4,5,6", (0, 2), "4,6"),
        ("GPU-a,GPU-b", (1, 0), None),
    ],
)
def test_the_processes_see_the_gpus_of_these_numbers_alone(monkeypatch, folder, before, gpus, seen):
    monkeypatch.delenv(launch.VISIBLE, raising=False)
    if before is not None:
        monkeypatch.setenv(launch.VISIBLE, before)
    body = START + "open(f'seen{rank}', 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])"
    monkeypatch.setattr(launch, "command_of", lambda words: [sys.executable, "-c", body])
    assert launch.launch(2, ["train"], gpus) == 0
    expected = seen or "GPU-b,GPU-a"
    assert [(folder / f"seen{rank}").read_text() for rank in range(2)] == [expected] * 2


def test_none_are_started_by_one_that_was_started(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert wanted(gpus=2, device="cpu") == 1


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("", 0, ""),
        ("sys.exit(2)", 2, ""),
        ("sys.exit(2 if rank == 1 else 76)", 2, ""),
        ("sys.exit(1 if rank == 1 else 76)", 1, "Process 1 of 2 failed; its error is above."),
        ("sys.exit(76)", 1, "The connection between the processes was lost."),
        (
            "rank and os.write(int(os.environ['AUTOX_VIDEO_REASON_FD']), b'1 lost 0.\\n')\n"
            "sys.exit(76)",
            1,
            "1 lost 0.\n",
        ),
        (
            "os.write(int(os.environ['AUTOX_VIDEO_REASON_FD']), b'lost.\\n')\n"
            "sys.exit(2 if rank else 76)",
            2,
            "",
        ),
        (
            "os.kill(os.getpid(), 9) if rank == 1 else sys.exit(76)",
            1,
            "1 of 2 was killed by SIGKILL",
        ),
        (
            "os.kill(os.getpid(), 11) if rank == 0 else sys.exit(76)",
            1,
            "0 of 2 was killed by SIGSEG",
        ),
    ],
)
def test_the_code_is_that_of_the_one_that_failed(body, code, said, capfd):
    assert group(body).run() == code
    shown = capfd.readouterr()
    assert said in shown.err if said else shown.err == ""


def test_one_that_fails_ends_the_others(monkeypatch, folder, capfd):
    monkeypatch.setattr(launch, "LEAVING_SEC", 0.5)
    begin = time.monotonic()
    assert group("rank == 1 and os.kill(os.getpid(), 9)\n" + WAIT).run() == 1
    assert 0.5 < time.monotonic() - begin < 5
    assert not is_alive(int((folder / "pid0").read_text()))
    assert "Process 1 of 2 was killed by SIGKILL" in capfd.readouterr().err


def test_only_the_first_prints_and_none_reads(capfd):
    assert group("print('rank', rank, sys.stdin.read() == '')").run() == 0
    assert capfd.readouterr().out == "rank 0 True\n"


def test_all_are_started_again_when_memory_ran_out(monkeypatch, folder, capfd):
    monkeypatch.setattr(launch, "LEAVING_SEC", 0.1)
    body = """
if rank == 1:
    while not os.path.exists("done"):
        time.sleep(0.01)
    sys.exit()
open("tries", "a").write("x")
if len(open("tries").read()) < 3:
    sys.exit(75)
open("done", "w").close()
"""
    command = [sys.executable, "-c", START + body]
    monkeypatch.setattr(launch, "command_of", lambda words: command)
    assert launch.launch(2, ["train"]) == 0
    assert (folder / "tries").read_text() == "xxx"
    monkeypatch.setattr(launch, "STARTS_AT_MOST", 2)
    for name in ("tries", "done"):
        (folder / name).unlink()
    assert launch.launch(2, ["train"]) == 2
    assert "Out of memory after 2 attempts" in capfd.readouterr().err


def test_a_job_that_was_asked_to_stop_is_not_started_again(folder):
    body = """
open("tries", "a").write("x")
signal.signal(15, lambda *_: sys.exit(75))
open(f"on{rank}", "w").write("x")
"""
    process = started(body + WAIT, run="launch.launch(2, [])")
    wait_for(folder / "on0", folder / "on1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert (folder / "tries").read_text() == "xx"


LAUNCHER = (
    "import sys; from autox_video.distributed import launch; launch.AT_ONCE_SEC = 0.5; "
    "launch.command_of = lambda words: [sys.executable, '-c', {program!r}]; "
    "sys.exit({run})"
)


def started(body: str, run: str = "launch.ProcessGroup(2, launch.command_of([])).run()"):
    """A launcher in a process group of its own, as a shell would start it."""
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER.format(program=START + body, run=run)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    return process


@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGUSR1, 143)],
)
def test_a_signal_to_the_whole_group_reaches_each_process_once(folder, signum, code):
    process = started(WAIT)
    wait_for(folder / "pid0", folder / "pid1")
    os.killpg(process.pid, signum)
    process.send_signal(signum)  # as `timeout` does
    assert process.wait(10) == code
    assert process.stderr.read() == ""
    for rank in (0, 1):
        assert (folder / f"signals{rank}").read_text() == f"{int(signum)} "


def test_a_second_signal_does_not_wait_for_those_that_do_not_listen(folder):
    process = started("for s in (1, 2, 10, 15): signal.signal(s, signal.SIG_IGN)\n" + WAIT)
    wait_for(folder / "pid0", folder / "pid1")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 130
    assert time.monotonic() - begin < 10


def test_nobody_is_left_when_the_launcher_is_killed(folder):
    follow = (
        "sys.path.insert(0, os.environ['PYTHONPATH'])\n"
        "from autox_video.distributed import processes\n"
    )
    process = started(
        follow + "processes.follow_launcher()\nopen(f'on{rank}', 'w').write('x')\n" + WAIT
    )
    wait_for(folder / "on0", folder / "on1")
    process.kill()
    process.wait()
    end = time.monotonic() + 5
    pids = [int((folder / f"pid{rank}").read_text()) for rank in (0, 1)]
    while any(map(is_alive, pids)):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (folder / "signals0").read_text() == "15 "


@pytest.mark.parametrize(("returncode", "code"), [(0, 0), (75, 75), (-2, 130), (-15, 143), (-9, 1)])
def test_what_an_end_means(returncode, code):
    assert as_exit_code(returncode) == code


@pytest.mark.parametrize(
    ("ended", "signals", "until"),
    [
        ([], [], math.inf),
        ([(0, 5.0)], [(2, 6.0)], math.inf),
        ([(1, 5.0), (76, 6.0)], [], 5.0 + launch.LEAVING_SEC),
        ([(143, 5.0), (130, 6.0)], [], 5.0 + launch.SAVING_SEC),
        ([(143, 5.0), (1, 6.0)], [], 6.0 + launch.LEAVING_SEC),
        ([(1, 5.0)], [(2, 6.0), (2, 7.0)], 7.0 + launch.AT_ONCE_SEC),
    ],
)
def test_how_long_the_others_may_go_on(ended, signals, until):
    assert launch.deadline(ended, signals) == until
