import copy
import io

import pytest
import torch
import torch.nn.functional as F

from autox_video.backbones.video_swin import linear
from autox_video.backbones.video_swin.linear import Linear, packs

TYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def on_a_machine_that_packs():
    if not linear._has_onednn(torch.float32):
        pytest.skip("Here weights are not packed: no oneDNN for this CPU.")


def layer_and_input(dtype=torch.float32, *, bias: bool = True):
    torch.manual_seed(0)
    return Linear(24, 40, bias=bias).eval(), torch.randn(3, 5, 24).to(dtype)


def expected(layer, x):
    """In float64, from what the layer holds now."""
    bias = None if layer.bias is None else layer.bias.double()
    return F.linear(x.double(), layer.weight.to(x.dtype).double(), bias)


def close(got, wanted) -> bool:
    return torch.allclose(got.double(), wanted, atol=8 * torch.finfo(got.dtype).eps)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", TYPES)
def test_packed_weights_give_the_same(dtype, bias):
    layer, x = layer_and_input(dtype, bias=bias)
    if not linear._has_onednn(dtype):
        pytest.skip(f"Here weights are not packed in {dtype}.")
    with torch.inference_mode():
        got = layer(x)
    assert layer._packed is not None and got.dtype == dtype and got.shape == (3, 5, 40)
    assert close(got, expected(layer, x))
    with torch.no_grad():
        assert close(layer.by_packed(x, gelu=True), F.gelu(expected(layer, x)))


def test_with_gradients_nothing_is_packed():
    layer, x = layer_and_input()
    layer(x).sum().backward()
    assert layer._packed is None and layer.weight.grad is not None


def swapped(layer):
    layer.weight.data.mul_(2.0)  # as averages of weights are swapped in: seen by no counter
    layer.eval()


def stepped(layer):
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer.weight.grad, layer.bias.grad = (torch.ones_like(p) for p in layer.parameters())
    optimizer.step()


CHANGES = {
    "loaded": lambda layer: layer.load_state_dict(Linear(24, 40).state_dict()),
    "stepped": stepped,
    "bias alone": lambda layer: torch.nn.init.constant_(layer.bias, 3.0),
    "swapped": swapped,
    "replaced": lambda layer: setattr(layer, "weight", torch.nn.Parameter(torch.randn(40, 24))),
    "trained": lambda layer: layer.train(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_weights_are_packed_anew(name):
    layer, x = layer_and_input()
    with torch.no_grad():
        layer(x)
    CHANGES[name](layer)
    with torch.no_grad():
        assert close(layer(x), expected(layer, x))


def test_another_type_is_packed_anew():
    layer, x = layer_and_input()
    with torch.no_grad():
        for dtype in (torch.float32, torch.bfloat16, torch.float32):
            assert close(layer(x.to(dtype)), expected(layer, x.to(dtype)))


def test_layers_are_copied_and_saved_without_what_was_packed():
    layer, x = layer_and_input()
    with torch.no_grad():
        wanted = layer(x)
        copied = copy.deepcopy(layer)
        assert copied._packed is None and torch.equal(copied(x), wanted)
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        assert torch.equal(torch.load(file, weights_only=False)(x), wanted)


def test_training_lets_the_packed_weights_go():
    layer, x = layer_and_input()
    with torch.no_grad():
        layer(x)
    layer.train()
    assert layer._packed is None


def test_only_real_inputs_in_a_type_with_fast_products_are_packed_for():
    with torch.no_grad():
        assert packs(torch.zeros(1, 4))
        assert not packs(torch.zeros(0, 4))
        assert not packs(torch.zeros(1, 4, dtype=torch.float64))
        assert not packs(torch.zeros(1, 4, device="meta"))
    assert not packs(torch.zeros(1, 4))


@pytest.mark.filterwarnings("ignore")
def test_a_traced_layer_follows_its_weights():
    layer, x = layer_and_input()
    with torch.no_grad():
        traced = torch.jit.trace(layer, x)
        layer.weight.mul_(2.0)
        assert close(traced(x), expected(layer, x))
