"""Ctrl-C and SIGTERM."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from autox_video.training.interrupt import Stopped, graceful_stop
from tests.datasets import REPOSITORY

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("signum", CODES)
def test_a_signal_asks_for_a_stop_and_code_says_when(signum, capsys):
    before = signal.getsignal(signum)
    with pytest.raises(Stopped), graceful_stop() as request:
        assert request.signum is None
        os.kill(os.getpid(), signum)
        wait_for(lambda: request.signum)
        assert request.signum == signum
        os.kill(os.getpid(), signum)  # at once: the same one, sent by two
        time.sleep(0.05)
        raise Stopped(request.signum)
    assert Stopped(signum).exit_code == CODES[signum]
    assert signal.getsignal(signum) is before
    assert capsys.readouterr().err.count("Stopping") == 1


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_signal_after_the_last_look_goes_to_who_hears_of_it_next():
    with pytest.raises(KeyboardInterrupt), graceful_stop() as request:
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: request.signum)


def test_not_even_the_end_of_a_trial_swallows_it():
    with pytest.raises(KeyboardInterrupt), graceful_stop() as request:
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: request.signum)
        raise ValueError("the trial is pruned")


def test_a_request_that_was_answered_is_not_made_again():
    with pytest.raises(Stopped), graceful_stop() as request:
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: request.signum)
        raise Stopped(request.signum)
    with graceful_stop() as request:
        assert request.signum is None


@pytest.mark.slow
def test_no_signal_falls_between_two_blocks(tmp_path):
    """Many blocks, one after the other, and signals all the time: each is heard by somebody."""
    code = (
        "import os, signal, sys, time, threading\n"
        "from autox_video.training import interrupt\n"
        "heard, sent = 0, 0\n"
        "def outside(signum, frame):\n"
        "    global heard\n"
        "    heard += 1\n"
        "signal.signal(signal.SIGTERM, outside)\n"
        "interrupt.remark = lambda sentence: None\n"
        "def send():\n"
        "    global sent\n"
        "    while sent < 300:\n"
        "        before = heard\n"
        "        sent += 1\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        while heard == before: time.sleep(0)\n"
        "sender = threading.Thread(target=send, daemon=True)\n"
        "sender.start()\n"
        "end = time.monotonic() + 20\n"
        "while sender.is_alive() and time.monotonic() < end:\n"
        "    with interrupt.graceful_stop(): pass\n"
        "print(sent, sender.is_alive())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "300 False\n"


def test_a_hang_up_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with graceful_stop() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
            assert request.signum is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_it_does_nothing():
    def work():
        with graceful_stop() as request:
            done.append(request.signum)

    done = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [None]


BLOCKED = (
    "import sys, time\n"
    "from autox_video.training.interrupt import graceful_stop\n"
    "with graceful_stop({}):\n"
    "    print('ready', flush=True)\n"
    "    import ctypes; libc = ctypes.CDLL(None)\n"
    "    while True: libc.sleep(1000)\n"
)


def blocked(give_up_sec):
    """A process whose main thread sits in C, where Python's own handlers do not run."""
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKED.format(give_up_sec)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    return process


@pytest.mark.slow
def test_who_waits_for_others_gives_up_in_time():
    process = blocked(0.5)
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=10)
    assert process.returncode == 143
    assert "did not end within 0.5 s" in complaints


@pytest.mark.slow
def test_a_second_signal_leaves_at_once():
    process = blocked(None)
    process.send_signal(signal.SIGINT)
    time.sleep(0.8)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
