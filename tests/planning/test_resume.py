"""The plan of a run that is resumed, and what may differ from the one that it began with."""

from dataclasses import replace

import pytest

from autox_video.config.load import settings_from_mapping
from autox_video.config.settings import Settings
from autox_video.planning.draft import Basis
from autox_video.planning.plan import FIELDS
from autox_video.planning.resume import compare, resume
from tests.planning.test_plan import CPU, GPU, STATS, SWIN_B, plan_for

TWO = replace(CPU, processes=2, local_processes=2)


def resumed(before, stats=STATS, hardware=CPU, pretrained=None, **keys):
    settings = settings_from_mapping({"data_root": "d", **keys}, "test")
    return resume(before, Basis(settings, stats, hardware, pretrained or before.weights))


def test_a_resumed_run_keeps_its_choices():
    before = plan_for()
    stats = replace(STATS, num_train=149, seconds_median=7.0)
    plan = resumed(before, stats, replace(GPU, device="cuda:0"), SWIN_B)
    assert compare(before, plan)[0] == []
    assert plan.device == "cuda:0"
    for name, field in FIELDS.items():
        assert field.anew or plan.choices[name] == before.choices[name], name


def test_the_same_run_has_no_differences():
    keys = {"video_length": 3, "epoch": 4, "augment": "strong", "flip": False}
    before = plan_for(pretrained=SWIN_B, **keys)
    assert resumed(before, **keys) == before
    assert compare(before, before) == ([], [])


@pytest.mark.parametrize(
    ("keys", "refused"),
    [
        ({"backbone": "swin_tiny"}, "backbone: conv_nano -> swin_tiny"),
        ({"clip_len": 4}, "clip_len: 16 -> 4"),
        ({"video_length": 4}, "frame_interval_sec: 0.125 -> 0.25"),
        ({"resolution": 96}, "resolution: 112 -> 96"),
        ({"decoder": "decord"}, "decoder: pyav -> decord"),
        ({"lr": 0.5}, "lr: 0.001 -> 0.5"),
        ({"seed": 3}, "seed: 0 -> 3"),
        ({"flip": False}, "flip: True -> False"),
        ({"augment": "strong"}, "augment: {'recolour': 0.4} -> {'rand_augment': 7"),
        ({"load_from": "x.pth"}, "pretrained: None -> checkpoints/b.pth"),
        ({"weight_decay": 0.1}, "weight_decay: 0.05 -> 0.1"),
        ({"label_smoothing": 0.1}, "label_smoothing: 0.0 -> 0.1"),
        ({"layer_decay": 0.8}, "layer_decay: 1.0 -> 0.8"),
        ({"warmup_epochs": 3}, "warmup_epochs: 1.0 -> 3.0"),
        ({"augment_strength": 0.5}, "augment_strength: 1.0 -> 0.5"),
    ],
)
def test_another_model_or_recipe_is_refused_with_the_difference(keys, refused):
    before = plan_for()
    weights = SWIN_B if "load_from" in keys else None
    found, _ = compare(before, resumed(before, pretrained=weights, **keys))
    assert any(text.startswith(refused) for text in found)


@pytest.mark.parametrize(
    ("keys", "hardware", "note"),
    [
        (
            {"epoch": 300},
            CPU,
            "epochs: 120 -> 300 (the learning rate schedule now ends",
        ),
        ({"epoch": 2}, CPU, "if that many epochs are done, training ends at once"),
        ({"videos_per_gpu": 4}, CPU, "batch_size: 16 -> 4 (lr stays 0.001;"),
        ({}, TWO, "processes: 1 -> 2 (the total batch size is 16, lr stays 0.001;"),
        ({"videos_per_gpu": 16}, TWO, "batch_size: 16 -> 32"),
        ({"precision": "bfloat16"}, CPU, "precision: float32 -> bfloat16"),
        ({}, GPU, "device: cpu -> cuda:0"),
        ({"gradient_checkpointing": True}, CPU, "only time and memory change"),
        ({"compile": True}, CPU, "compile: False -> True"),
        ({"evaluation": 7}, CPU, "evaluation: 2 -> 7"),
        ({"max_bad": 0.5}, CPU, "max_bad: 0.05 -> 0.5"),
        ({"checkpoint_minutes": 1}, CPU, "at most this much work can be lost"),
        ({"strategy": "fsdp"}, CPU, "strategy: ddp -> fsdp"),
        ({"deterministic": True}, CPU, "deterministic: False -> True"),
        ({"workers": 3}, CPU, None),
        ({"cache": "/frames"}, CPU, None),
    ],
)
def test_what_may_change_is_noted_with_what_it_means(keys, hardware, note):
    before = plan_for()
    plan = resumed(before, hardware=hardware, **keys)
    refused, notes = compare(before, plan)
    assert refused == []
    assert notes == [] if note is None else any(note in sentence for sentence in notes), notes
    assert plan.lr == before.lr


def test_frozen_stages_stay_as_the_run_began():
    keys = {"freeze": 2, "layer_decay": 0.7, "warmup_epochs": 1.5, "augment_strength": 0.5}
    before = plan_for(pretrained=SWIN_B, **keys)
    assert resumed(before, **keys) == before
    assert resumed(before).freeze == 2 and compare(before, resumed(before)) == ([], [])
    assert compare(before, resumed(before, freeze=3))[0] == ["freeze: 2 -> 3"]


@pytest.mark.parametrize("keys", [{"patience": 0}, {"epoch": 50}, {"time_budget": "1h"}])
def test_a_run_does_not_end_early_once_the_user_says_when(keys):
    before = plan_for()
    assert resumed(before).finish_loss == before.finish_loss > 0
    assert resumed(before, **keys).finish_loss == 0


def test_another_span_is_another_run():
    before = plan_for(video_length=8)
    refused, _ = compare(before, resumed(before, video_length=20))
    assert "frame_interval_sec: 0.5 -> 1.25" in refused


def test_epochs_that_a_budget_cut_stay_until_others_are_asked_for():
    keys = {"time_budget": 600, "epoch": 150}
    before = plan_for(**keys).settle("budget", "so many fit", epochs=40)
    before = before.with_evidence({"epochs": {"figures": {"asked": 150}}})
    assert resumed(before, **keys).epochs == 40
    assert resumed(before, time_budget=600).epochs == 40
    assert resumed(before, time_budget=600, epoch=160).epochs == 160
    assert resumed(before, time_budget=700, epoch=150).epochs == 150


def test_what_is_given_again_keeps_its_reason_and_its_evidence():
    before = plan_for(backbone="conv_nano")
    probed = replace(before.choices["backbone"], reason="probed", evidence={"figures": {"n": 1}})
    before = before.with_choices({"backbone": probed})
    assert resumed(before, backbone="conv_nano") == before


def test_the_batch_of_all_processes_stays_and_is_cut_as_memory_asks():
    before = plan_for()
    three = replace(CPU, processes=3, local_processes=3)
    assert resumed(before, hardware=three).batch_size == before.batch_size
    cut = resumed(before, hardware=replace(CPU, memory_gib=1.0))
    assert cut.batch_size == before.batch_size
    assert cut.accumulation > 1


def test_memory_is_reckoned_for_the_run_and_not_for_what_today_would_choose():
    small = replace(CPU, memory_gib=4.0)
    before, tempted = plan_for(hardware=small), plan_for(hardware=small, pretrained=SWIN_B)
    assert tempted.accumulation != before.accumulation
    assert resumed(before, hardware=small).accumulation == before.accumulation


def test_the_fields_name_keys_that_exist():
    assert {field.key for field in FIELDS.values()} - {None} <= Settings.model_fields.keys()
    assert all(field.change is not None for field in FIELDS.values() if field.anew)
