"""Training, resuming and the real commands on a GPU."""

import json

import pytest
import torch

from autox_video.training import interrupt
from autox_video.training.run_training import train
from tests.datasets import TINY, colour_data, command, write_config
from tests.training.tiny import events, everything, stop_after, tiny_config, weights

PRECISIONS = ["float32", "bfloat16", "float16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with clips of three colours and their lists."""
    folder = tmp_path_factory.mktemp("colours")
    (folder / "keys.json").write_text(json.dumps(colour_data(folder / "data", train=6)))
    return folder


def run(folder, script, *words, **keys):
    """Run a command in a folder; gives what it said."""
    data = json.loads((folder / "keys.json").read_text())
    write_config(folder / "config.yaml", **{**data, **TINY, **keys})
    done = command(script, *words, cwd=folder, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("backbone", "precision"),
    [("swin_nano", "float32"), ("swin_nano", "bfloat16"), ("conv_nano", "float16")],
)
def test_the_commands_train_go_on_and_tell_colours_apart(folder, device, backbone, precision):
    name = f"{backbone} {precision}"
    keys = {"device": device, "backbone": backbone, "precision": precision, "lr": 0.003}
    keys |= {"work_dir": name, "test_results_path": f"{name}.json", "workers": 2}
    run(folder, "autotrain.py", **keys, epoch=14)
    assert "Resuming after epoch 14 of 16" in run(folder, "autotrain.py", **keys, epoch=16)
    run(folder, "autotest.py", **keys)
    results = json.loads((folder / f"{name}.json").read_text())
    assert results["metrics"]["top1"] >= 0.8
    on_gpu = [record["scores"] for record in results["predictions"]]
    run(folder, "autotest.py", **{**keys, "device": "cpu"})
    results = json.loads((folder / f"{name}.json").read_text())
    on_cpu = [record["scores"] for record in results["predictions"]]
    allowed = 1e-3 if precision == "float32" else 0.03
    assert torch.allclose(torch.tensor(on_gpu), torch.tensor(on_cpu), atol=allowed)


def test_a_probe_is_fitted_on_the_features_of_the_gpu(folder, device):
    keys = {"device": device, "mode": "probe", "work_dir": "probe", "backbone": "auto"}
    run(folder, "autotrain.py", **keys, test_results_path="probe.json")
    run(folder, "autotest.py", **keys, test_results_path="probe.json")
    assert json.loads((folder / "probe.json").read_text())["metrics"]["top1"] >= 0.8


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("backbone", ["conv_nano", "swin_nano"])
def test_deterministic_runs_give_the_same_bits_also_resumed(
    clips, tmp_path, hardware, backbone, precision, monkeypatch
):
    keys = {"backbone": backbone, "precision": precision, "deterministic": True, "epoch": 3}
    keys |= {"hardware": hardware, "augment": "strong", "ema": 0.9}
    found = []
    for name, stops in (("one", None), ("two", None), ("resumed", 4)):
        config = tiny_config(clips, tmp_path / name, **keys)
        if stops is not None:
            with monkeypatch.context() as patch:
                stop_after(patch, stops)
                with pytest.raises(interrupt.Stopped):
                    train(config)
        train(config)
        found.append(everything(tmp_path / name))
    torch.use_deterministic_algorithms(False)
    assert found[0] == found[1]
    assert found[0] == found[2]


def test_losses_are_those_of_the_cpu(clips, tmp_path, hardware):
    same = {"backbone": "swin_nano", "precision": "float32", "epoch": 2}
    for name, keys in (("gpu", {"hardware": hardware}), ("cpu", {})):
        train(tiny_config(clips, tmp_path / name, **same, **keys))
    losses = [[e["loss"] for e in events(tmp_path / name, "train")] for name in ("gpu", "cpu")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    gpu, cpu = (weights(tmp_path / name / "latest.pth") for name in ("gpu", "cpu"))
    assert all(torch.allclose(gpu[key].cpu(), cpu[key], atol=1e-3) for key in cpu)
