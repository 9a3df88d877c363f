"""dist_train.sh and dist_test.sh: what they refuse, and two machines that train together."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from autox_video import AutoXVideo
from autox_video.cli import torchrun
from autox_video.cli.main import main
from tests.datasets import REPOSITORY, TINY, colour_data, write_config

VARIABLES = ("NNODES", "NODE_RANK", "MASTER_ADDR", "RDZV_ENDPOINT", "RESTARTS", "OMP_NUM_THREADS")


def environment(**more):
    plain = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    return {**plain, "PYTHON": sys.executable, **more}


def script(name, *words, cwd, **more):
    return subprocess.run(
        [str(REPOSITORY / name), *words],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        ([], {}, "N: '' is not a number of processes"),
        (["my.yaml"], {}, "N: 'my.yaml' is not a number of processes"),
        (["0"], {}, "N: '0'"),
        (["2"], {"NNODES": "two"}, "NNODES: 'two'"),
        (["2"], {"NNODES": "1:4"}, "MASTER_ADDR: give the address of a machine"),
        (["2"], {"NNODES": "2", "MASTER_ADDR": "a", "NODE_RANK": "x"}, "NODE_RANK: 'x'"),
        (["2"], {"RESTARTS": "-1"}, "RESTARTS: '-1'"),
    ],
)
def test_mistakes_are_sentences(tmp_path, words, variables, said):
    done = script("dist_train.sh", *words, cwd=tmp_path, **variables)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert "Usage: dist_train.sh N [CONFIG] [key=value ...]" in done.stderr


@pytest.mark.slow
def test_a_mistake_of_all_processes_is_told_once(tmp_path):
    done = script("dist_test.sh", "2", "nowhere.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "nowhere.yaml" in done.stderr


def test_a_start_that_ran_out_of_memory_goes_on_instead_of_beginning_afresh(monkeypatch):
    given, codes = [], iter([75, 75, 0])

    def run(options):
        given.append(list(options.training_script_args))
        return next(codes)

    monkeypatch.setattr(torchrun, "_run", run)
    words = ["--standalone", "--nproc-per-node=2", "autotrain.py", "a.yaml", "--fresh", "epoch=2"]
    assert torchrun.main(words) == 0
    assert given == [words[3:], ["a.yaml", "epoch=2"], ["a.yaml", "epoch=2"]]


# Two machines with a cable between them, as far as the network can tell.
NAMESPACES = """
set -eu
ip link set lo up
unshare -n sleep 300 & other=$!
trap 'kill $other' EXIT
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add one type veth peer name two netns $other
ip addr add 10.77.0.1/24 dev one
ip link set one up
there() { nsenter -t $other -n "$@"; }
there ip link set lo up
there ip addr add 10.77.0.2/24 dev two
there ip link set two up
[ "$#" -gt 0 ] || exit 0
NODE_RANK=1 LOCAL_ADDR=10.77.0.2 GLOO_SOCKET_IFNAME=two there "$@" > two.log 2>&1 & two=$!
NODE_RANK=0 LOCAL_ADDR=10.77.0.1 GLOO_SOCKET_IFNAME=one "$@"
wait $two
"""
LOOPBACK = """
set -eu
export GLOO_SOCKET_IFNAME=lo
NODE_RANK=1 LOCAL_ADDR=127.0.0.1 "$@" > two.log 2>&1 & two=$!
NODE_RANK=0 LOCAL_ADDR=127.0.0.1 "$@"
wait $two
"""


def two_machines():
    """The start of a command that runs it on two machines, and the first one's address."""
    namespaces = ["unshare", "-rn", "bash", "-c", NAMESPACES, "bash"]
    tools = all(map(shutil.which, ("unshare", "ip", "nsenter")))
    if tools and subprocess.run(namespaces, capture_output=True, check=False).returncode == 0:
        return namespaces, "10.77.0.1"
    return ["bash", "-c", LOOPBACK, "bash"], "127.0.0.1"


@pytest.mark.slow
def test_two_machines_train_together(tmp_path):
    data = colour_data(tmp_path / "data", train=4, val=2, test=1)
    keys = {**data, **TINY, "epoch": 1, "evaluation": 1}
    write_config(tmp_path / "config.yaml", **keys, work_dir=str(tmp_path / "work"))
    start, address = two_machines()
    done = subprocess.run(
        [*start, str(REPOSITORY / "dist_train.sh"), "1"],
        cwd=tmp_path,
        env=environment(NNODES="2", MASTER_ADDR=address, MASTER_PORT="29431"),
        capture_output=True,
        text=True,
        timeout=150,
    )
    other = (tmp_path / "two.log").read_text()
    assert done.returncode == 0, (done.stderr, other)
    assert (done.stderr, other) == ("", "")
    events = [json.loads(line) for line in (tmp_path / "work" / "metrics.jsonl").open()]
    assert [e["iter"] for e in events if e["event"] == "train"] == [1, 2]
    assert [e["clips"] for e in events if e["event"] == "val"] == [6]
    plan = json.loads((tmp_path / "work" / "record.json").read_text())["choices"]
    assert plan["processes"] == {"value": 2, "reason": "1 on this machine", "source": "rule"}


@pytest.mark.parametrize(("restarts", "fresh"), [(None, True), ("0", True), ("2", False)])
def test_a_process_that_torchrun_starts_again_moves_no_run_aside(
    restarts, fresh, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    if restarts is not None:
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restarts)
    monkeypatch.setattr(AutoXVideo, "fit", lambda self, *, fresh: asked.append(fresh))
    write_config(tmp_path / "c.yaml", data_root="videos", device="cpu")
    assert main(["train", "--fresh", str(tmp_path / "c.yaml")]) == 0
    assert asked == [fresh]
