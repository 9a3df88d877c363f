"""What the specs say of the backbones, and a backbone that a user's module adds."""

import contextlib
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import DefaultScope

from autox_video.backbones.weights.loading import identify_file, load_pretrained
from autox_video.config.choices import BACKBONES
from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import ConfigError
from tests.backbones.weights.weight_files import recogniser_of, weights_file
from tests.planning.test_plan import GPU, STATS, plan_for
from tests.training.tiny import tiny_config

TOY = {"custom_imports": ["tests.backbones.toy_backbone"], "backbone": "toy"}


@pytest.fixture(scope="module")
def toy():
    """The spec of a backbone that is not of this project."""
    settings_from_mapping({"data_root": "d", **TOY}, "test")
    yield BACKBONES["toy"]
    del BACKBONES._items["toy"]


@pytest.mark.parametrize("name", list(BACKBONES))
def test_a_spec_says_what_its_backbone_is(name, monkeypatch):
    # The device without data has no autocast; models only turn it off.
    monkeypatch.setattr(torch, "autocast", lambda *args, **keys: contextlib.nullcontext())
    spec = BACKBONES[name]
    import_module(spec.module)
    with torch.device("meta"):
        model = MODELS.build(dict(spec.config))
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(spec.parameters_millions, rel=0.05)
    assert spec.learns == (millions > 0)
    assert spec.window_size == spec.config.get("window_size")
    if spec.learns:
        clip = torch.zeros(1, 3, 4, 64, 64, device="meta")
        assert model(clip).shape[1] == spec.channels
        assert list(model.blocks())
        assert len(model.stage_modules()) == spec.stages


def test_names_that_nothing_has_are_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="swin_tiny"):
        settings_from_mapping({"data_root": "d", "backbone": "swin_tini"}, "test")


def test_a_plan_follows_the_spec_of_a_users_backbone(toy):
    plan = plan_for(**TOY)
    assert (plan.backbone, plan.resolution, plan.drop_path) == ("toy", 64, 0.0)
    assert plan.lr == pytest.approx(1e-2)
    assert plan_for(replace(STATS, num_train=10**6), GPU).backbone != "toy"  # only if it is named
    assert plan.freeze == 0
    with pytest.raises(ConfigError, match="freeze: toy has no stages"):
        plan_for(**TOY, freeze=1)


def test_a_users_backbone_is_built_from_the_config_and_learns(toy, tmp_path):
    config = tiny_config(tmp_path, tmp_path, **TOY, gradient_checkpointing=True)
    assert toy.module in config.custom_imports.imports
    assert config.model.backbone.to_dict()["with_cp"] is True
    assert "window_size" not in config.model.backbone
    assert config.model.data_preprocessor.mean[0] == 120
    with DefaultScope.overwrite_default_scope("mmaction"):
        model = MODELS.build(config.model).train()
    _, *view = config.train_dataloader.dataset.item_shape
    clips = torch.randint(0, 256, (2, 1, *view), dtype=torch.uint8)
    batch = {"inputs": clips, "labels": torch.tensor([0, 2]), "seeds": [0, 1]}
    losses = model(**model.data_preprocessor(batch, training=True), mode="loss")
    model.parse_losses(losses)[0].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_weights_of_a_users_backbone_are_known_and_loaded(toy, tmp_path):
    path = weights_file(tmp_path / "w" / "mine.pth", "toy")
    assert identify_file(path).backbone == "toy"
    model = recogniser_of("toy", num_classes=3)
    report = load_pretrained(model, path)
    assert (report.backbone, report.loaded) == ("toy", 6)
    weight = torch.load(path)["state_dict"]["backbone.patches.weight"]
    assert torch.equal(model.backbone.patches.weight, weight)
