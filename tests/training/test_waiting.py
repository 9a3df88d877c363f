"""What a step does on a GPU, tried on torch's device without data, which cannot answer.

No step waits for its device, and with `deterministic: true` each can be done there.
"""

import contextlib
import re

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import DefaultScope
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.training.tiny import tiny_config

pytestmark = pytest.mark.slow

EVERYTHING = {"flip": 0.5, "recolour": 0.3, "erasing": 1.0, "mixup": 0.2, "cutmix": 1.0}


# Those of torch's list (torch.use_deterministic_algorithms) for which it raises an error on a GPU.
NEVER_TWICE_THE_SAME = re.compile(
    r"aten\.(_?adaptive_(avg|max)_pool[23]d_backward|(avg|max)_pool3d\w*_backward|upsample\w*_backward"
    r"|fractional_max_pool\w*_backward|(reflection|replication)_pad\w*_backward|grid_sampler\w*backward"
    r"|nll_loss2d|_?embedding_bag_backward|_ctc_loss_backward|histc|kthvalue|median|put|cumsum|bincount)"
)


class Recorded(TorchDispatchMode):
    """Collects copies from one device to another that wait, and what is never twice the same."""

    def __init__(self):
        super().__init__()
        self.waiting, self.random, self.all = [], [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = str(function)
        tensors = [each for each in tree_leaves((args, kwargs, result)) if torch.is_tensor(each)]
        if "copy" in name and len({each.device for each in tensors}) > 1:
            self.all += 1
            if not (kwargs or {}).get("non_blocking", args[2:3] == (True,)):
                self.waiting.append(name)
        if NEVER_TWICE_THE_SAME.match(name) and any(each.is_meta for each in tensors):
            self.random.append(name)
        return result


@pytest.fixture
def without_autocast(monkeypatch):
    """The device without data has no autocast; models only turn it off."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **keys: contextlib.nullcontext())


@pytest.mark.parametrize("head", ["ClipHead", "AttentiveClipHead"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("backbone", ["conv_nano", "swin_nano", "swin_tiny"])
def test_a_step_waits_for_nothing_and_can_be_deterministic(
    clips, tmp_path, without_autocast, backbone, precision, head
):
    config = tiny_config(clips, tmp_path, backbone=backbone, precision=precision, drop_path=0.2)
    if head == "AttentiveClipHead":
        config.model.cls_head.update(type=head, grid=(1, 2, 2))
    config.model.data_preprocessor.update(augment=EVERYTHING, num_classes=3)
    with DefaultScope.overwrite_default_scope("mmaction"):
        model = MODELS.build(config.model).to("meta")
    _, *view = config.train_dataloader.dataset.item_shape
    model.train()
    for recorded in (
        contextlib.nullcontext(),
        Recorded(),
    ):  # in the first step windows are laid out
        batch = {
            "inputs": torch.zeros(8, 1, *view, dtype=torch.uint8),
            "labels": torch.zeros(8, dtype=torch.int64),
            "seeds": list(range(8)),
        }
        with recorded:
            losses = model(**model.data_preprocessor(batch, training=True), mode="loss")
            model.parse_losses(losses)[0].backward()
    assert recorded.all >= 2
    assert not recorded.waiting
    assert not recorded.random
