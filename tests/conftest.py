"""What holds for every test."""

import os
import signal
import subprocess
import tempfile
from itertools import islice

import pytest

import autox_video  # noqa: F401 (before mmaction2)

# As the commands do; before anything imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each core has a worker: more threads would only wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Of the package, the first process that a test starts leaves the compiled files to the others.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# No test waits for a network that is not there: weights come from servers of the tests.
os.environ["HF_HUB_OFFLINE"] = "1"
# The user's cache of the hub stays out of the tests.
os.environ["HF_HOME"] = os.path.join(tempfile.gettempdir(), "no-hub-cache")
# readline, which pytest imports, sets it for child processes: their lines would be wrapped.
os.environ.pop("COLUMNS", None)
os.unsetenv("COLUMNS")

# Started by nohup or in the background, the tests and their processes would be deaf to these.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Start the slow files first in every process, so that no long test is left for the end."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow_files = sorted({item.path for item in items if item.get_closest_marker("slow")})
    fast = iter([item for item in items if item.path not in set(slow_files)])
    ordered = []
    for number in range(count):
        # pytest-xdist gives each process an equal, contiguous part of the list to begin with.
        end = len(items) * (number + 1) // count
        files = set(slow_files[number::count])
        ordered += [item for item in items if item.path in files]
        ordered += islice(fast, max(end - len(ordered), 0))
    items[:] = [*ordered, *fast]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep the user's cache of probed clips out of the tests, and the tests out of it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)


@pytest.fixture
def command_here(monkeypatch, capfd):
    """Give a function that does what `datasets.command` does, but in the process of the tests.

    Where the start of Python is not what is tested, this saves its five seconds.
    """
    from autox_video.cli.main import main

    def command_here(script, *words, cwd):
        monkeypatch.chdir(cwd)
        capfd.readouterr()
        code = main([script.removeprefix("auto").removesuffix(".py"), *map(str, words)])
        shown, complaints = capfd.readouterr()
        return subprocess.CompletedProcess([script, *words], code, shown, complaints)

    return command_here


@pytest.fixture
def tree(tmp_path):
    """Give a function that makes empty files and gives their folder."""

    def tree(*files):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        return tmp_path

    return tree
