"""LoRA in training: only adapters and head learn, runs resume as they were, files are merged."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from autox_video.backbones.lora import is_adapter, published_name
from autox_video.backbones.weights.known_weights import Pretrained
from autox_video.backbones.weights.loading import load_pretrained
from autox_video.evaluation.predict import build_model, load_model
from autox_video.planning.resume import compare
from autox_video.training import interrupt
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from autox_video.training.config.build_config import build_config, model_config
from autox_video.training.run_training import train
from tests.planning.test_plan import plan_for
from tests.planning.test_resume import resumed
from tests.training.tiny import everything, same, stop_after, tiny_config, tiny_record, weights

pytest.importorskip("peft")
VIT = "timm:test_vit"
RECIPE = {"epoch": 2, "ema": 0.5, "lr": 0.01, "layer_decay": 0.8, "drop_path": 0.1}


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model("test_vit", num_classes=7).state_dict(), path)
    return Pretrained(str(path), VIT, "mine")


@pytest.fixture(scope="module")
def keys(vit):
    return {"pretrained": vit, "lora": 4, **RECIPE}


@pytest.fixture(scope="module")
def whole(clips, keys, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("whole")
    train(tiny_config(clips, work_dir, **keys))
    return work_dir


def test_the_plan_arrives_and_stays(clips, keys):
    record = tiny_record(clips, **keys)
    config = build_config(record, "work")
    assert config.model.backbone.lora.rank == 4
    assert "blocks.*.attn.qkv" in config.model.backbone.lora.layers
    assert config.optim_wrapper.paramwise_cfg.backbone.lr_mult == 1.0
    assert "lora" not in tiny_config(clips, "work", **{**keys, "lora": "off"}).model.backbone
    before = plan_for(pretrained=keys["pretrained"], lora=4)
    assert resumed(before).lora == 4 and compare(before, resumed(before)) == ([], [])
    assert compare(before, resumed(before, lora=8))[0] == ["lora: 4 -> 8"]


@pytest.mark.slow
def test_only_the_adapters_and_the_head_learn(whole, keys):
    published = load_file(keys["pretrained"].path)
    state = read_checkpoint(whole / "latest.pth")
    best, trained = weights(whole / "best.pth"), set()
    for name, weight in state["state_dict"].items():
        if is_adapter(name) or name.startswith("cls_head."):
            trained.add(name)
            assert weight.any(), name
        else:
            before = published[published_name(name).removeprefix("backbone.net.")]
            assert torch.equal(weight, before) and torch.equal(best[name], before), name
    assert len(state["optimizer"]["state"]) == len(trained)
    assert state["hooks"]["WeightEMA"]["average"].keys() == trained
    groups = state["optimizer"]["param_groups"]
    rates = sorted({group["initial_lr"] for group in groups}, reverse=True)
    assert rates == pytest.approx([0.01 * 0.8**above for above in range(len(rates))])
    assert len(rates) == len(timm.create_model("test_vit").blocks)


@pytest.mark.slow
def test_a_stopped_run_is_the_run_that_was_not(clips, keys, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(interrupt.Stopped):
            train(tiny_config(clips, tmp_path, **keys))
    train(tiny_config(clips, tmp_path, **keys))
    assert everything(tmp_path) == everything(whole)
    assert same(weights(tmp_path / "best.pth"), weights(whole / "best.pth"))


@pytest.mark.slow
def test_the_best_weights_are_tested_and_start_another_run_merged(clips, keys, whole):
    torch.manual_seed(1)
    x = torch.randn(2, 3, 2, 32, 32)
    tested = load_model(model_config(tiny_record(clips, **keys)), whole / "best.pth", "cpu")
    assert any(is_adapter(name) for name, _ in tested.named_parameters())
    plain = build_model(model_config(tiny_record(clips, **{**keys, "lora": "off"}))).eval()
    report = load_pretrained(plain, whole / "best.pth", head_rows=(0, 1, 2))
    assert (report.missing, report.classes_kept) == ((), 3)
    with torch.no_grad():
        found, expected = (model.cls_head(model.backbone(x)) for model in (plain, tested))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_gradient_checkpointing_and_bfloat16_train_the_same_adapters(clips, keys, tmp_path):
    options = {"gradient_checkpointing": True, "precision": "bfloat16", "epoch": 1}
    train(tiny_config(clips, tmp_path, **{**keys, **options}))
    state = weights(tmp_path / "latest.pth")
    assert all(t.any() and t.isfinite().all() for n, t in state.items() if is_adapter(n))
