"""Backbones of other libraries in whole runs: train, be killed, resume, probe and test."""

import json
import os
import subprocess
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.backbones.libraries.tiny_recognisers import model_entry
from tests.backbones.libraries.tiny_transformers import FRAMES, PX, saved
from tests.datasets import REPOSITORY, TINY, colour_data, write_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return colour_data(tmp_path_factory.mktemp("data"), train=4, val=1, test=2)


def weights_of(backbone, folder):
    """A file as its library publishes it, with random weights."""
    torch.manual_seed(0)
    net = timm.create_model(backbone.removeprefix("timm:"), num_classes=7)
    path = folder / "model.safetensors"
    save_file(net.state_dict(), path)
    return path


def keys_of(backbone, data, **keys):
    start = {"backbone": backbone, "work_dir": "work", "test_results_path": "results.json"}
    return {**data, **TINY, **start, "videos_per_gpu": 4, **keys}


def runs_of(folder, **keys):
    """A folder with two runs of the same keys."""
    for name in ("whole", "killed"):
        (folder / name).mkdir(parents=True)
        write_config(folder / name / "config.yaml", **keys, evaluation=0)
    return folder


def checkpoint(run):
    return torch.load(run / "work" / "latest.pth", weights_only=True)


def test_killed_runs_resume_bit_for_bit(data, tmp_path):
    vit = weights_of("timm:test_vit", tmp_path)
    mae = saved(tmp_path / "videomae", "videomae")
    x3d = tmp_path / "x3d.py"
    x3d.write_text(f"model = {model_entry('x3d')!r}\n")
    families = {
        "timm": keys_of("timm:test_vit", data, resolution=64, load_from=str(vit), drop_path=0.1),
        "hf": keys_of(f"hf:{mae}", data, clip_len=FRAMES, resolution=PX, load_from="auto"),
        "torchvision": keys_of("torchvision:s3d", data, clip_len=8),
        "mmaction2": keys_of(f"mmaction2:{x3d}", data, clip_len=4),
    }
    folders = {name: runs_of(tmp_path / name, **keys) for name, keys in families.items()}
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "tests/kill_and_resume.py"), *folders.values()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert done.stdout.count("Resuming after epoch 1 of 2") == len(families)
    for name, folder in folders.items():
        whole, resumed = checkpoint(folder / "whole"), checkpoint(folder / "killed")
        state, other = whole["state_dict"], resumed["state_dict"]
        assert any(key.startswith("backbone.net.") for key in state), name
        assert state.keys() == other.keys(), name
        assert all(torch.equal(state[key], other[key]) for key in state), name
        assert whole["meta"]["iter"] == resumed["meta"]["iter"] == 6, name


def test_a_probe_is_fitted_and_tested(data, tmp_path, command_here):
    backbone = "timm:test_efficientnet"
    start = {"load_from": str(weights_of(backbone, tmp_path)), "resolution": 64}
    write_config(tmp_path / "config.yaml", **keys_of(backbone, data, **start, mode="probe"))
    done = command_here("autotrain.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tested = command_here("autotest.py", cwd=tmp_path)
    assert tested.returncode == 0, tested.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["metrics"]["top1"] > 0.5  # random features tell colours


def test_adapters_are_trained_and_tested_beside_a_probe_without_them(data, tmp_path, command_here):
    pytest.importorskip("peft")
    vit = weights_of("timm:test_vit", tmp_path)
    keys = {"load_from": str(vit), "resolution": 64, "epoch": 1, "lora": 4}
    write_config(tmp_path / "config.yaml", **keys_of("timm:test_vit", data, **keys))
    done = command_here("autotrain.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "LoRA adapters of rank 4" in done.stdout
    names = {}
    for file in ("latest.pth", "probe.pth"):
        state = torch.load(tmp_path / "work" / file, weights_only=True)["state_dict"]
        names[file] = [name for name in state if ".lora_" in name]
    assert names["latest.pth"] and not names["probe.pth"]
    tested = command_here("autotest.py", cwd=tmp_path)
    assert tested.returncode == 0, tested.stderr
