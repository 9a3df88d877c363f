import pytest
import torch
from mmaction.engine.optimizers import SwinOptimWrapperConstructor
from torch import nn

from autox_video.backbones.video_conv.model import VideoConv
from autox_video.backbones.video_swin.model import VideoSwin
from autox_video.training.optimizer import ClipOptimWrapper, ParamGroupConstructor

SMALL_SWIN = {"embed_dims": 8, "depths": (1, 2), "num_heads": (1, 2)}
RULES = {"norm": {"decay_mult": 0.0}, "backbone": {"lr_mult": 0.1}}


def wrapper_of(model, *, loss_scale=False, max_grad_norm=1e9, lr=0.1):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return ClipOptimWrapper(optimizer, loss_scale=loss_scale, max_grad_norm=max_grad_norm)


def linear(value=0.5):
    model = nn.Linear(3, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def test_a_scaled_loss_gives_the_same_step():
    x, steps = torch.tensor([[1.0, 2.0, -1.0]]), []
    for loss_scale in (False, True):
        model = linear()
        wrapper_of(model, loss_scale=loss_scale).update_params(model(x).square().sum())
        steps.append(model.weight.detach())
    assert torch.allclose(*steps)
    assert torch.allclose(steps[0], 0.5 - 0.1 * 2 * x)


def test_gradients_are_clipped_after_scaling_them_back():
    for loss_scale in (False, True):
        model = linear(0.0)
        wrapper = wrapper_of(model, loss_scale=loss_scale, max_grad_norm=5.0, lr=1.0)
        wrapper.update_params((model(torch.tensor([[30.0, 40.0, 0.0]]))).sum())
        assert torch.allclose(model.weight, -torch.tensor([[3.0, 4.0, 0.0]]), atol=1e-4)


def test_an_overflow_costs_the_step_and_halves_the_scale():
    model = linear()
    wrapper = wrapper_of(model, loss_scale=True)
    scale = wrapper.scaler.get_scale()
    wrapper.update_params(model(torch.tensor([[1e38, 0.0, 0.0]])).sum())
    assert torch.equal(model.weight, torch.full((1, 3), 0.5))
    assert wrapper.scaler.get_scale() == scale / 2
    wrapper.update_params(model(torch.ones(1, 3)).sum())
    assert torch.allclose(model.weight, torch.full((1, 3), 0.4))


def test_the_scale_is_saved_and_restored():
    model = linear()
    wrapper = wrapper_of(model, loss_scale=True)
    wrapper.update_params(model(torch.tensor([[1e38, 0.0, 0.0]])).sum())
    fresh = wrapper_of(linear(), loss_scale=True)
    fresh.load_state_dict(wrapper.state_dict())
    assert fresh.scaler.get_scale() == wrapper.scaler.get_scale() == 2.0**15


def test_a_run_may_go_on_in_another_number_type():
    plain, scaled = wrapper_of(linear()), wrapper_of(linear(), loss_scale=True)
    scaled.load_state_dict(plain.state_dict())
    assert scaled.scaler.get_scale() == 2.0**16
    plain.load_state_dict(wrapper_of(linear(), loss_scale=True).state_dict())


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_number_that_is_not_finite_never_reaches_the_weights(name, bad, where):
    model = linear()
    wrapper = wrapper_of(model)
    if name == "AdamW":
        adam = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.0, fused=True)
        wrapper = ClipOptimWrapper(adam, loss_scale=False, max_grad_norm=1.0)
    for step, spoiled in enumerate([False, True, True, False, True]):
        before = model.weight.detach().clone()
        loss = model(torch.ones(1, 3)).square().sum()
        wrapper.backward(loss)
        if spoiled and where == "gradient":
            model.weight.grad[0, 1] = bad
        wrapper.step(loss=loss * bad if spoiled and where == "loss" else loss)
        wrapper.zero_grad()
        assert torch.equal(before, model.weight) is spoiled, step
    assert wrapper.bad_steps.tolist() == [1, 3]
    again = wrapper_of(linear())
    again.load_counters(wrapper.state_dict())
    assert again.bad_steps.tolist() == [0, 3]


class Recogniser(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict({"norm1": nn.LayerNorm(2), "fc": nn.Linear(2, 2)})
        self.cls_head = nn.Linear(2, 2)
        self.backbone["fc"].bias.requires_grad_(False)


def test_groups_treat_every_parameter_as_mmaction2s_constructor_does():
    config = {"type": "ClipOptimWrapper", "loss_scale": False, "max_grad_norm": 1.0}
    adam = {"type": "AdamW", "lr": 0.02, "weight_decay": 0.05, "fused": True}
    model = Recogniser()
    ours = ParamGroupConstructor({**config, "optimizer": adam}, RULES)(model)
    stock_config = {"type": "OptimWrapper", "optimizer": {**adam, "fused": False}}
    stock = SwinOptimWrapperConstructor(stock_config, RULES)(model)
    treated = [
        {
            parameter: (round(group["lr"], 12), round(group["weight_decay"], 12))
            for group in wrapper.optimizer.param_groups
            for parameter in group["params"]
            if parameter.requires_grad
        }
        for wrapper in (ours, stock)
    ]
    assert treated[0] == treated[1]
    assert len(ours.optimizer.param_groups) == 3
    assert ours.optimizer.param_groups[-1]["lr"] == 0.02  # the head's: what the user is shown


def rates(model, **rules):
    wrapper = {"type": "ClipOptimWrapper", "loss_scale": False, "max_grad_norm": 1.0}
    sgd = {"type": "SGD", "lr": 1.0, "weight_decay": 0.0}
    groups = ParamGroupConstructor({**wrapper, "optimizer": sgd}, rules)(
        model
    ).optimizer.param_groups
    found = {p: group["lr"] for group in groups for p in group["params"]}
    return {name: found[p] for name, p in model.named_parameters() if p in found}


@pytest.mark.parametrize(
    ("backbone", "first", "between", "last", "blocks"),
    [
        (VideoConv((8, 8, 16), (1, 2)), "stem.conv", "stages.1.0", "stages.1.2.time", 3),
        (VideoSwin(SMALL_SWIN), "patch_embed.proj", "layers.0.downsample.norm", "norm1", 3),
    ],
)
def test_the_first_layers_learn_least(backbone, first, between, last, blocks):
    model = nn.ModuleDict({"backbone": backbone, "cls_head": nn.Linear(2, 2)})
    found = rates(model, layer_decay=0.5, backbone={"lr_mult": 0.1})
    assert found["cls_head.weight"] == 1.0
    assert found[f"backbone.{last}.weight"] == pytest.approx(0.1)
    assert found[f"backbone.{between}.weight"] == pytest.approx(0.1 * 0.5 ** (blocks - 1))
    assert found[f"backbone.{first}.weight"] == pytest.approx(0.1 * 0.5**blocks)
    assert set(rates(model).values()) == {1.0}


def test_frozen_stages_are_in_no_group_and_the_rates_of_the_others_stay():
    backbones = (VideoSwin(SMALL_SWIN, frozen_stages=frozen) for frozen in (0, 1))
    models = [nn.ModuleDict({"backbone": b, "cls_head": nn.Linear(2, 2)}) for b in backbones]
    whole, frozen = (rates(model, layer_decay=0.5) for model in models)
    assert frozen == {name: rate for name, rate in whole.items() if name in frozen}
    first = ("backbone.patch_embed", "backbone.layers.0")
    assert whole.keys() - frozen.keys() == {name for name in whole if name.startswith(first)}
