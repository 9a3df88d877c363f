"""Rules for memory: LoRA, gradient checkpointing, and the disk space of checkpoints."""

from dataclasses import replace

import pytest

from autox_video.backbones.spec import BackboneSpec
from autox_video.backbones.weights.known_weights import Pretrained
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import ConfigError
from autox_video.planning.choice import RULE, USER
from autox_video.planning.compute import LORA_RANK
from tests.planning.test_plan import GPU, STATS, SWIN_B, plan_for

SMALL_GPU = replace(GPU, gpu_memory_gib=16.0)
KEYS = {"clip_len": 8, "resolution": 224}
LARGE, SMALL, CONV = "large_vit", "small_vit", "conv_net"


@pytest.fixture(autouse=True)
def backbones(monkeypatch):
    """A transformer of 1000 M parameters, one of 90 M, and a net without linear layers."""
    linears = {"blocks.*.mlp.fc1": 100_000, "blocks.*.mlp.fc2": 150_000}
    sizes = {LARGE: (1000, 4.0, linears), SMALL: (90, 40.0, linears), CONV: (1000, 4.0, {})}
    for name, (millions, gib, layers) in sizes.items():
        spec = BackboneSpec(
            module="none",
            config={"type": name},
            channels=8,
            parameters_millions=millions,
            gib_per_clip=gib,
            gmacs_per_clip=1.0,
            resolution=224,
            stages=4,
            linears=layers,
            is_library=True,
        )
        monkeypatch.setitem(BACKBONES._items, name, spec)


def plan_of(backbone, hardware=SMALL_GPU, **keys):
    return plan_for(STATS, hardware, Pretrained("w.pth", backbone, "mine"), **KEYS, **keys)


@pytest.mark.parametrize(
    ("backbone", "memory_gib", "rank"),
    [
        # 1000 M parameters: 14.9 GiB; a clip in bfloat16 with checkpointing: 0.77 GiB
        (LARGE, 80.0, 0),
        (LARGE, 26.2, 0),
        (LARGE, 26.1, LORA_RANK),
        (LARGE, 16.0, LORA_RANK),
        (SMALL, 2.0, 0),
        (CONV, 16.0, 0),
        ("swin_base", 1.0, 0),
    ],
)
def test_lora_is_used_for_a_large_transformer_that_does_not_fit_otherwise(
    backbone, memory_gib, rank
):
    plan = plan_of(backbone, replace(GPU, gpu_memory_gib=memory_gib))
    assert (plan.lora, plan.choices["lora"].source) == (rank, RULE)
    assert plan.backbone_lr_mult == (1.0 if rank else 0.1)


def test_the_reason_has_the_figures():
    reason = plan_of(LARGE).choices["lora"].reason
    assert "1000 M parameters takes 14.9 GiB" in reason
    assert "even with gradient checkpointing, but 9.6 GiB" in reason


def test_without_gradient_checkpointing_less_fits():
    hardware = replace(GPU, gpu_memory_gib=26.5)  # a clip takes 2.2 GiB without it
    assert plan_of(LARGE, hardware).lora == 0
    assert plan_of(LARGE, hardware, gradient_checkpointing=False).lora == LORA_RANK
    assert plan_of(LARGE, hardware, gradient_checkpointing=True).lora == 0


def test_with_lora_the_memory_holds_more_clips():
    plan, full = plan_of(LARGE), plan_of(LARGE, lora="off")
    # 16 GiB * 0.6 = 9.6 GiB, less 3.8 GiB for the model, make 2 clips of 2.2 GiB, or 7 of 0.77.
    assert plan.gradient_checkpointing and "only 2 clips" in _reason(plan, "gradient_checkpointing")
    assert plan.choices["accumulation"].reason == "about 7 clips fit in memory at once"
    assert "only 0 clips" in _reason(full, "gradient_checkpointing")
    assert full.choices["lora"].source == USER


def _reason(plan, name):
    return plan.choices[name].reason


def test_checkpoints_hold_the_moments_of_the_adapters_only():
    # Nine files of weights, 4 bytes each; three of them with 12 bytes per trained parameter.
    adapters = 16 * 250_000
    expected = (9 * 4 * (1e9 + adapters) + 3 * 12 * adapters) / 2**30
    assert plan_of(LARGE).disk_gib == pytest.approx(expected, abs=1e-3)
    assert plan_of(LARGE, lora="off").disk_gib == pytest.approx(72e9 / 2**30, abs=1e-3)


def test_what_the_user_asks_for_is_taken():
    plan = plan_of(SMALL, lora=8)
    assert (plan.lora, plan.choices["lora"].source) == (8, USER)
    assert plan_of(LARGE, lora="off").lora == 0
    assert plan_of(LARGE, mode="probe", lora=8).lora == 0
    assert plan_of(LARGE, freeze="all").lora == 0


@pytest.mark.parametrize(
    ("pretrained", "keys", "what"),
    [
        (SWIN_B, {}, "needs a library's backbone .* swin_base cannot have adapters"),
        (Pretrained("w.pth", CONV, "mine"), {}, "conv_net cannot have adapters"),
        (None, {}, "conv_nano cannot have adapters"),
        (None, {"backbone": LARGE}, "needs pretrained weights, and none were found"),
        (Pretrained("w.pth", LARGE, "mine"), {"freeze": 4}, "freeze: 4 fixes all stages"),
    ],
)
def test_impossible_adapters_are_refused(pretrained, keys, what):
    with pytest.raises(ConfigError, match=f"lora: 8 .*{what}"):
        plan_for(STATS, GPU, pretrained, lora=8, **KEYS, **keys)
