"""What holds for every test."""

import os
import signal

import pytest

import autox_video  # noqa: F401 (before mmaction2)

# As the commands do; before anything imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each core has a worker: more threads would only wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Started by nohup or in the background, the tests and their processes would be deaf to these.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep the user's cache of probed clips out of the tests, and the tests out of it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def tree(tmp_path):
    """Give a function that makes empty files and gives their folder."""

    def tree(*files):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        return tmp_path

    return tree
