"""Ctrl-C and SIGTERM."""

import os
import signal
import subprocess
import sys
import time

import pytest

from autox_video.engine.interrupt import (
    Stopped,
    graceful_stop,
    stop_if_requested,
    stop_requested,
)
from tests.datasets import REPOSITORY


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_a_stop_and_code_says_when(signum, capsys):
    before = signal.getsignal(signum)
    with graceful_stop():
        stop_if_requested()
        assert stop_requested() is None
        os.kill(os.getpid(), signum)
        assert stop_requested() == signum
        with pytest.raises(Stopped) as stop:
            stop_if_requested()
    assert stop.value.exit_code == 128 + signum
    assert signal.getsignal(signum) is before
    assert "Stopping" in capsys.readouterr().err


def test_a_new_run_starts_without_an_old_request():
    with graceful_stop():
        os.kill(os.getpid(), signal.SIGINT)
    with graceful_stop():
        assert stop_requested() is None


def test_a_second_signal_leaves_at_once():
    code = (
        "import time\n"
        "from autox_video.engine.interrupt import graceful_stop\n"
        "with graceful_stop():\n"
        "    print('ready', flush=True)\n"
        "    for _ in range(600): time.sleep(0.1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
