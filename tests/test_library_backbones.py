"""Backbones of other libraries through the real commands: train, resume, probe and test."""

import json
import signal

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.datasets import TINY, colour_data, command, write_config
from tests.test_whole_run import start, wait_for_epoch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return colour_data(tmp_path_factory.mktemp("data"), train=6, val=2, test=2)


def weights_of(backbone, folder):
    """A file as its library publishes it, with random weights."""
    torch.manual_seed(0)
    net = timm.create_model(backbone.removeprefix("timm:"), num_classes=7)
    path = folder / "model.safetensors"
    save_file(net.state_dict(), path)
    return path


def keys_of(backbone, data, folder):
    work = {"work_dir": str(folder / "work"), "test_results_path": str(folder / "results.json")}
    start = {"backbone": backbone, "load_from": str(weights_of(backbone, folder))}
    return {**data, **TINY, **start, **work, "resolution": 64, "videos_per_gpu": 4}


def test_a_killed_run_resumes_bit_for_bit(data, tmp_path):
    weights = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        keys = {**keys_of("timm:test_vit", data, folder), "epoch": 3, "drop_path": 0.1}
        write_config(folder / "config.yaml", **keys, checkpoint_minutes=0.0001)
        if name == "killed":
            process = start(folder)
            wait_for_epoch(folder, process, 1)
            process.send_signal(signal.SIGKILL)
            process.wait()
        done = command("autotrain.py", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert ("Resum" in done.stdout) == (name == "killed")
        weights.append(torch.load(folder / "work" / "latest.pth", weights_only=True)["state_dict"])
    one, other = weights
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(name.startswith("backbone.net.") for name in one)


def test_a_probe_is_fitted_and_tested(data, tmp_path):
    keys = keys_of("timm:test_efficientnet", data, tmp_path)
    write_config(tmp_path / "config.yaml", **keys, mode="probe")
    done = command("autotrain.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    tested = command("autotest.py", cwd=tmp_path)
    assert tested.returncode == 0, tested.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["metrics"]["top1"] > 0.5  # random features tell colours
