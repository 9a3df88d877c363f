"""What is worth fetching, as a table of cases."""

import pytest

from autox_video.backbones.weights import wanted as rule
from autox_video.backbones.weights.known_weights import KNOWN_FILES, known_by_name
from autox_video.backbones.weights.wanted import fetch_limit_sec, wanted


def names(device="cpu", time_budget_sec=None, noncommercial=False, backbone=None):
    return [known.name for known in wanted(device, time_budget_sec, noncommercial, backbone)]


def test_every_name_of_the_rule_is_known_and_for_commercial_use():
    for name in (*rule.ON_CPU, *rule.ON_GPU):
        assert not known_by_name(name).noncommercial


def test_a_cpu_gets_small_weights_and_a_gpu_large_ones():
    assert names("cpu") == list(rule.ON_CPU)
    assert names("cuda") == list(rule.ON_GPU)
    largest = max(known_by_name(name).size_mib for name in rule.ON_CPU)
    assert largest < known_by_name(rule.ON_GPU[0]).size_mib


@pytest.mark.parametrize(
    ("budget_sec", "largest_mib"), [(60, 60), (300, 300), (600, 600), (3600, 3600), (None, 10**6)]
)
def test_a_short_budget_gets_what_comes_in_a_tenth_of_it(budget_sec, largest_mib):
    for device in ("cpu", "cuda"):
        found = wanted(device, budget_sec, False, None)
        assert all(known.size_mib <= largest_mib for known in found)
        everything = wanted(device, None, False, None)
        assert found == [known for known in everything if known.size_mib <= largest_mib]
    assert fetch_limit_sec(budget_sec) == (None if budget_sec is None else budget_sec / 10)


def test_a_backbone_that_is_given_gets_its_own_weights_on_any_device():
    of_tiny = [known.name for known in KNOWN_FILES if known.backbone == "swin_tiny"]
    assert names(backbone="swin_tiny") == names("cuda", backbone="swin_tiny") == of_tiny
    assert names(backbone="descriptors") == names(backbone="conv_nano") == []


def test_only_the_key_allows_weights_not_for_commercial_use():
    backbone = known_by_name("eupe_tiny").backbone
    assert names(backbone=backbone) == []
    assert names(backbone=backbone, noncommercial=True) == ["eupe_tiny"]


def test_what_a_package_has_is_not_fetched_and_unknown_families_are_skipped(monkeypatch):
    assert names(backbone="timm:tf_efficientnet_lite0") == []
    monkeypatch.setattr(rule, "BACKBONES", ("swin_base",))
    assert names("cuda") == ["swin_base-k600"]
    assert names("cpu") == []
