"""LoRA adapters: what trains, what a published file loads, and what is merged."""

import sys

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from autox_video.backbones.libraries.timm_images import TimmImages
from autox_video.backbones.lora import (
    is_adapter,
    layers_for_adapters,
    merged,
    pattern_of,
    published_name,
)
from autox_video.backbones.weights.loading import load_pretrained
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import CheckpointError, InstallError
from tests.backbones.weights.weight_files import recogniser_of

pytest.importorskip("peft")
VIT = "timm:test_vit"


def recogniser(rank=4, num_classes=5):
    lora = {"rank": rank, "layers": [*BACKBONES[VIT].linears]} if rank else None
    return recogniser_of(VIT, num_classes, lora=lora)


def features_of(backbone):
    torch.manual_seed(2)
    with torch.no_grad():
        return backbone.eval()(torch.randn(2, 3, 2, 160, 160))


def moved(model):
    """Give the adapters random values, as after training."""
    for name, tensor in model.state_dict().items():
        if is_adapter(name):
            nn.init.normal_(tensor, std=0.1)
    return model


@pytest.fixture
def published(tmp_path):
    torch.manual_seed(3)
    net = timm.create_model("test_vit", num_classes=7)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_the_spec_counts_the_parameters_of_the_adapters():
    spec = BACKBONES[VIT]
    count = sum(t.numel() for n, t in recogniser(rank=4).state_dict().items() if is_adapter(n))
    assert count == round(1e6 * spec.adapter_millions(4)) == 4 * sum(spec.linears.values())
    assert spec.adapter_millions(0) == 0


def test_the_adapters_and_the_head_are_all_that_trains():
    model = recogniser()
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    heads = [name for name in trained if name.startswith("cls_head.")]
    assert len(heads) == 2 and all(map(is_adapter, set(trained) - {*heads}))


def test_frozen_stages_have_frozen_adapters():
    layers = [*BACKBONES[VIT].linears]
    backbone = TimmImages("test_vit", frozen_stages=2, lora={"rank": 2, "layers": layers})
    first, *later = backbone.stage_modules()[1:]
    assert not any(p.requires_grad for part in first for p in part.parameters())
    assert any(p.requires_grad for part in later[0] for p in part.parameters())


def test_a_published_file_is_loaded_whole_under_adapters(published):
    plain, adapted = recogniser(rank=0), recogniser()
    reports = [load_pretrained(model, published) for model in (plain, adapted)]
    assert reports[0].loaded == reports[1].loaded == len(plain.backbone.net.state_dict())
    assert reports[0].missing == reports[1].missing
    assert torch.equal(features_of(plain.backbone), features_of(adapted.backbone))


def test_a_file_of_another_model_is_refused_under_adapters(tmp_path):
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="are not in the file"):
        load_pretrained(recogniser(), tmp_path / "model.safetensors")


@pytest.mark.parametrize("rank", [0, 2])
def test_trained_adapters_are_merged_into_the_next_model(tmp_path, rank):
    trained = moved(recogniser())
    torch.save({"state_dict": trained.state_dict(), "meta": {}}, tmp_path / "best.pth")
    model = recogniser(rank=rank)
    report = load_pretrained(model, tmp_path / "best.pth")
    assert not any(map(is_adapter, report.missing))
    found, expected = features_of(model.backbone), features_of(trained.backbone)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_merging_adds_the_product_of_an_adapter():
    state = {"a.base_layer.weight": torch.eye(2), "a.base_layer.bias": torch.ones(2)}
    state["a.lora_A.default.weight"] = torch.tensor([[1.0, 2.0]])
    state["a.lora_B.default.weight"] = torch.tensor([[3.0], [0.5]])
    state["b.weight"] = torch.zeros(1)
    result = merged(state)
    assert result.keys() == {"a.weight", "a.bias", "b.weight"}
    assert result["a.weight"].tolist() == [[4.0, 6.0], [0.5, 2.0]]
    plain = {name: state[name] for name in ("b.weight", "a.base_layer.bias")}
    assert merged(plain).keys() == {"b.weight", "a.bias"}


def test_names():
    assert pattern_of("blocks.11.attn.qkv") == "blocks.*.attn.qkv"
    assert published_name("net.fc1.base_layer.weight") == "net.fc1.weight"
    assert published_name("net.fc1.weight") == "net.fc1.weight"


class Attention(nn.Module):
    """Reads the weight of one layer, calls another."""

    def __init__(self):
        super().__init__()
        self.read, self.called = nn.Linear(4, 4), nn.Linear(4, 8)

    def forward(self, x):
        return self.called(nn.functional.linear(x, self.read.weight))


@pytest.mark.parametrize(("width", "found"), [(1, {"*.called": 12}), (500, {})])
def test_only_called_layers_of_a_large_enough_share_are_adapted(width, found):
    net = nn.Sequential(Attention(), nn.Linear(8, width))
    with layers_for_adapters(net, iter([net[0]])) as linears:
        net(torch.randn(2, 4))
    assert linears == found


def test_bfloat16_is_close():
    layers = [*BACKBONES[VIT].linears]
    outputs = []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        backbone = TimmImages("test_vit", lora={"rank": 2, "layers": layers}, precision=precision)
        outputs.append(features_of(moved(backbone)))
    full, low = outputs
    assert low.dtype == torch.float32
    assert 0 < (low - full).norm() < 0.05 * full.norm()


def test_without_peft_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InstallError, match="pip install peft"):
        recogniser()
