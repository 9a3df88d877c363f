"""How a command ends when a signal comes at a bad moment."""

import signal
import subprocess
import sys

import pytest

from tests.datasets import REPOSITORY


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_python_tidies_up_leaves_without_a_traceback(signum):
    """As torch does, which takes a moment at the end to let go of its operators."""
    code = (
        "import atexit, os, time\n"
        f"atexit.register(lambda: (os.kill(os.getpid(), {int(signum)}), time.sleep(5)))\n"
        "from autox_video.cli.main import main\n"
        "raise SystemExit(main(['train', 'none.yaml']))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 128 + signum
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_a_library_takes_for_an_error_is_still_a_stop(signum):
    """As a schema does that is built while a library is imported."""
    code = (
        "import os\n"
        "from autox_video.cli import main\n"
        "from autox_video.cli.commands import test\n"
        "def command(options):\n"
        "    try:\n"
        f"        os.kill(os.getpid(), {int(signum)})\n"
        "        while True: pass\n"
        "    except BaseException as error:\n"
        "        raise ValueError('no schema') from error\n"
        "test.run = command\n"
        "raise SystemExit(main.main(['test']))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 128 + signum
    assert done.stderr == "Stopped. Run the same command again to resume.\n"
