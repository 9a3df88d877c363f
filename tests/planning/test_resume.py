"""The plan of a run that goes on, and what may differ from the one that it began with."""

import json
from dataclasses import replace

import pytest

from autox_video.backbones.specs import Pretrained
from autox_video.config.load import settings_from_mapping
from autox_video.config.settings import Settings
from autox_video.planning.plan import choose
from autox_video.planning.resume import (
    DECIDED_ANEW,
    MAY_CHANGE,
    SETTLED_BY,
    continue_plan,
    differences,
    settings_to_go_on,
    weights_of_run,
)
from autox_video.planning.source import USER
from tests.planning.test_plan import CPU, GPU, STATS, SWIN_B, plan_for

TWO = replace(CPU, processes=2, local_processes=2)


def stored(plan):
    return json.loads(json.dumps({f: plan.choice(f)._asdict() for f in plan.reasons}))


def stored_before_sources(plan):
    """The same as it was written before choices had a source."""
    return {f: {k: c[k] for k in ("value", "reason")} for f, c in stored(plan).items()}


def gone_on_with(before, stats=STATS, hardware=CPU, pretrained=None, **keys):
    settings = settings_from_mapping({"data_root": "d", **keys}, "test")
    asked = settings_to_go_on(settings, stored(before), processes=hardware.processes)
    plan = choose(asked, stats, hardware, pretrained or weights_of_run(stored(before)))
    return continue_plan(plan, stored(before), settings)


def test_a_run_that_goes_on_keeps_its_choices():
    before = plan_for()
    other = replace(STATS, num_train=149, seconds_median=7.0)
    plan = gone_on_with(before, other, replace(GPU, device="cuda:0"), SWIN_B)
    found = differences(stored(before), plan)
    assert found.refused == ()
    assert plan.device == "cuda:0"
    for field in set(before.as_dict()) - {"reasons", *DECIDED_ANEW}:
        assert stored(plan)[field] == stored(before)[field], field


def test_the_same_run_has_no_differences():
    before = plan_for(pretrained=SWIN_B, video_length=3, epoch=4, augment="strong", flip=False)
    plan = gone_on_with(before, video_length=3, epoch=4, augment="strong", flip=False)
    assert stored(plan) == stored(before)
    assert differences(stored(before), plan) == differences(stored(before), before)
    assert differences(stored(before), before).notes == ()


@pytest.mark.parametrize(
    ("keys", "refused"),
    [
        ({"backbone": "swin_tiny"}, "backbone: conv_nano -> swin_tiny"),
        ({"clip_len": 4}, "clip_len: 16 -> 4"),
        ({"video_length": 4}, "frame_interval_sec: 0.125 -> 0.25"),
        ({"resolution": 96}, "resolution: 112 -> 96"),
        ({"decoder": "decord"}, "decoder: pyav -> decord"),
        ({"lr": 0.5}, " -> 0.5"),
        ({"repeats": 2}, "repeats: 1 -> 2"),
        ({"seed": 3}, "seed: 0 -> 3"),
        ({"flip": False}, "flip: True -> False"),
        ({"augment": "strong"}, "augment."),
        ({"load_from": "x.pth"}, "pretrained: None -> checkpoints/b.pth"),
    ],
)
def test_another_model_or_recipe_is_refused_with_the_difference(keys, refused):
    before = plan_for(stats=replace(STATS, class_names=("wave", "nod"), num_classes=2))
    other = SWIN_B if "load_from" in keys else None
    found = differences(stored(before), gone_on_with(before, pretrained=other, **keys))
    assert refused in "; ".join(found.refused)


@pytest.mark.parametrize(
    ("keys", "hardware", "note"),
    [
        ({"epoch": 300}, CPU, "epochs: 120 -> 300 (the learning rate falls over 300 epochs"),
        ({"epoch": 2}, CPU, "where as many are over, training ends at once"),
        ({"videos_per_gpu": 4}, CPU, "batch_size: 16 -> 4 (lr stays 0.001;"),
        ({}, TWO, "processes: 1 -> 2 (the batch of all together is 16, lr stays 0.001;"),
        ({"videos_per_gpu": 16}, TWO, "batch_size: 16 -> 32"),
        ({"precision": "bfloat16"}, CPU, "precision: float32 -> bfloat16"),
        ({}, GPU, "device: cpu -> cuda:0"),
        ({"gradient_checkpointing": True}, CPU, "only time and memory change"),
        ({"compile": True}, CPU, "compile: False -> True"),
        ({"evaluation": 7}, CPU, "evaluation: 2 -> 7"),
        ({"max_bad": 0.5}, CPU, "max_bad: 0.05 -> 0.5"),
        ({"checkpoint_minutes": 1}, CPU, "at most that much can be lost"),
        ({"strategy": "fsdp"}, CPU, "strategy: ddp -> fsdp"),
        ({"deterministic": True}, CPU, "deterministic: False -> True"),
        ({"workers": 3}, CPU, None),
        ({"cache": "/frames"}, CPU, None),
    ],
)
def test_what_may_change_is_noted_with_what_it_means(keys, hardware, note):
    before = plan_for()
    plan = gone_on_with(before, hardware=hardware, **keys)
    found = differences(stored(before), plan)
    assert found.refused == ()
    if note is None:
        assert found.notes == ()
    else:
        assert any(note in sentence for sentence in found.notes), found.notes
    assert plan.lr == before.lr


def test_another_span_is_another_run():
    before = plan_for(video_length=8)
    found = differences(stored(before), gone_on_with(before, video_length=20))
    assert "frame_interval_sec: 0.5 -> 1.25" in found.refused


def test_a_run_of_before_there_were_sources_goes_on():
    before = plan_for(clip_len=8, flip=True)
    old = stored_before_sources(before)
    for keys, mine in (({"clip_len": 8, "flip": True}, {"clip_len", "flip"}), ({}, set())):
        settings = settings_from_mapping({"data_root": "d", **keys}, "test")
        asked = settings_to_go_on(settings, old, processes=1)
        plan = continue_plan(choose(asked, STATS, CPU), old, settings)
        assert differences(old, plan).refused == ()
        assert {f for f, source in plan.sources.items() if source == USER} == mine


def test_a_span_that_was_cut_in_a_run_of_before_stays_cut():
    before = plan_for(replace(STATS, seconds_median=30.0))  # the rules' own 8 s
    old = stored_before_sources(before)
    settings = settings_from_mapping({"data_root": "d", "video_length": 20}, "test")
    asked = settings_to_go_on(settings, old, processes=1)
    plan = continue_plan(choose(asked, STATS, CPU), old, settings)
    assert plan.frame_interval_sec == before.frame_interval_sec == 0.5
    assert differences(old, plan).refused == ()


def test_the_batch_of_all_processes_stays_and_is_cut_as_memory_asks():
    before = plan_for()
    three = replace(CPU, processes=3, local_processes=3)
    assert gone_on_with(before, hardware=three).batch_size == before.batch_size
    small = replace(CPU, memory_gib=1.0)
    cut = gone_on_with(before, hardware=small)
    assert cut.batch_size == before.batch_size
    assert cut.accumulation > 1


def test_memory_is_reckoned_for_the_run_and_not_for_what_today_would_choose():
    before = plan_for(hardware=replace(CPU, memory_gib=4.0))
    after = gone_on_with(before, hardware=replace(CPU, memory_gib=4.0))
    tempted = plan_for(hardware=replace(CPU, memory_gib=4.0), pretrained=SWIN_B)
    assert tempted.accumulation != before.accumulation
    assert after.accumulation == before.accumulation


def test_the_weights_that_a_run_started_from():
    assert weights_of_run(stored(plan_for())) is None
    small = Pretrained("w.pth", "swin_tiny", "mine", (16, 7, 7))
    assert weights_of_run(stored(plan_for(pretrained=small))) == small


def test_the_tables_name_choices_and_keys_that_exist():
    fields = set(plan_for().as_dict())
    assert set(SETTLED_BY) <= fields
    assert set(SETTLED_BY.values()) <= set(Settings.model_fields)
    assert set(DECIDED_ANEW) <= set(MAY_CHANGE) <= fields
