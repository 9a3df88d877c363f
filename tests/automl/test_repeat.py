"""The choices of an earlier run, repeated on other clips or another machine."""

from dataclasses import replace

import pytest

from autox_video.automl.repeat import data_keys, keys_of_plan, with_plan
from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import CheckpointError, ConfigError
from autox_video.planning.draft import Basis
from autox_video.planning.plan import FIELDS, choose
from autox_video.planning.record import RunRecord, TrainingData, write_record, write_stored
from tests.planning.test_plan import CPU, GPU, STATS, SWIN_B, plan_for

CLASSES = tuple(f"class {n}" for n in range(25))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "old"


def stored(folder, plan, **sources):
    """Write the record of a run with this plan."""
    folder.mkdir()
    data = TrainingData("/clips", "t", "v", CLASSES, 10, fingerprint="f", sources=sources)
    write_record(folder, RunRecord(plan, data, None, {"train": {}, "val": {}}))


def repeated(folder, *, stats=STATS, hardware=CPU, pretrained=None, **keys):
    """The plan of a run that repeats the one in a folder, and the notes."""
    values = keys_of_plan({"data_root": "d", "from_plan": str(folder), **keys})
    basis = Basis(settings_from_mapping(values, "test"), stats, hardware, pretrained)
    basis, notes = with_plan(basis)
    return choose(basis), notes


def values_of(plan):
    return {name: getattr(plan, name) for name in FIELDS}


KEYS = {
    "epoch": 7, "lr": 0.003, "augment": "strong", "clip_len": 10, "video_length": 1.7, "seed": 5,
    "drop_path": 0.2, "ema": 0.9, "patience": 3, "evaluation": 3, "videos_per_gpu": 6,
    "class_balance": True, "flip": False, "resolution": 96, "progressive": True, "max_bad": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("keys", [{}, KEYS, {"backbone": "swin_tiny"}])
@pytest.mark.parametrize("hardware", [CPU, GPU])
def test_the_same_clips_and_machine_give_the_same_plan(folder, keys, hardware):
    before = plan_for(hardware=hardware, **keys)
    stored(folder, before)
    plan, notes = repeated(folder, hardware=hardware)
    assert (values_of(plan), notes) == (values_of(before), [])
    assert plan.is_given("lr") and plan.choices["lr"].reason == f"as in {folder}"


def test_what_a_search_found_is_repeated_though_it_has_no_key(folder, tmp_path):
    weights = replace(SWIN_B, path=str(tmp_path / "b.pth"))
    (tmp_path / "b.pth").touch()
    before = plan_for(pretrained=weights, clip_len=16).settle(
        "search", "tried", smallest_crop=0.4, backbone_lr_mult=0.3, weight_decay=0.2
    )
    stored(folder, before)
    plan, _ = repeated(folder, pretrained=weights)
    assert values_of(plan) == values_of(before)


def test_the_users_keys_take_precedence(folder):
    before = plan_for(**KEYS)
    stored(folder, before)
    plan, _ = repeated(folder, epoch=40, lr=0.5, seed=1, clip_len=20)
    assert (plan.epochs, plan.lr, plan.seed, plan.clip_len) == (40, 0.5, 1, 20)
    assert plan.frame_interval_sec * 20 == pytest.approx(1.7)
    assert (plan.warmup_epochs, plan.flat_epochs) == (1.0, 20.0)
    assert (plan.drop_path, plan.resolution) == (0.2, 96)


@pytest.mark.parametrize("keys", [{"patience": 0}, {"epoch": 50}, {"time_budget": "1h"}])
def test_a_repetition_does_not_end_early_once_the_user_says_when(folder, keys):
    stored(folder, plan_for())
    assert repeated(folder)[0].finish_loss == plan_for().finish_loss > 0
    assert repeated(folder, **keys)[0].finish_loss == 0


def test_other_clips_keep_their_own_classes_and_views(folder):
    stored(folder, plan_for(**KEYS))
    longer = replace(STATS, num_classes=3, seconds_median=4.0, num_train=500)
    plan, notes = repeated(folder, stats=longer)
    assert (plan.num_classes, plan.test_clips, notes) == (3, 3, [])
    assert plan.frame_interval_sec * plan.clip_len == pytest.approx(1.7)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"hardware": GPU}, {}, "used a GPU; this machine has none"),
        ({"hardware": GPU}, {}, "precision: bfloat16 is not repeated"),
        (
            {},
            {"stats": replace(STATS, num_train=9)},
            "The batch size of the repeated run, 16, exceeds",
        ),
        (
            {"videos_per_gpu": 5},
            {"hardware": replace(CPU, processes=2, local_processes=2)},
            "not a multiple of 2 processes: it is now 6",
        ),
        (
            {"class_balance": True},
            {"stats": replace(STATS, task="multi_label")},
            "class_balance is not repeated",
        ),
        ({"time_budget": "45m"}, {}, "the limit of the repeated run, 45 min 00 s, does not apply"),
    ],
)
def test_what_cannot_be_repeated_is_said(folder, before, now, said):
    stored(folder, plan_for(**before))
    plan, notes = repeated(folder, **now)
    assert any(said in note for note in notes), notes
    assert plan.time_budget_sec is None
    assert plan.precision == "float32"


def test_what_the_user_gives_needs_no_note(folder):
    stored(folder, plan_for(hardware=GPU, time_budget=600))
    small = replace(STATS, num_train=9)
    plan, notes = repeated(
        folder, stats=small, precision="bfloat16", videos_per_gpu=4, time_budget=60
    )
    assert (plan.precision, plan.batch_size, plan.time_budget_sec) == ("bfloat16", 4, 60)
    assert len(notes) == 1 and "this machine has none" in notes[0]


def test_without_clips_those_of_the_run_are_taken(folder):
    stored(folder, plan_for(), ann_file_train="/lists/train.csv", task="single_label")
    keys = keys_of_plan({"from_plan": str(folder / "record.json"), "epoch": 3})
    assert keys == {
        "from_plan": str(folder / "record.json"),
        "data_root": "/clips",
        "ann_file_train": "/lists/train.csv",
        "task": "single_label",
        "seed": 0,
        "backbone": "conv_nano",
        "load_from": "none",
        "epoch": 3,
    }
    assert "ann_file_train" not in keys_of_plan({"from_plan": str(folder), "data_root": "d"})


def test_the_keys_of_the_clips_are_kept_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"data_root": "d", "ann_file_train": "t.csv", "num_class": 3, "lr": 0.1}
    kept = data_keys(settings_from_mapping(given, "test"))
    assert kept == {"ann_file_train": str(tmp_path / "t.csv"), "num_class": 3}


def test_weights_that_are_gone_are_named_unless_others_are_given(folder):
    stored(folder, plan_for(pretrained=SWIN_B))
    with pytest.raises(ConfigError, match=r"from checkpoints/b.pth, which no longer exists"):
        keys_of_plan({"from_plan": str(folder)})
    assert keys_of_plan({"from_plan": str(folder), "load_from": "w.pth"})["load_from"] == "w.pth"
    assert "load_from" not in keys_of_plan({"from_plan": str(folder), "backbone": "conv_nano"})


def test_what_is_no_record_gets_a_sentence(folder):
    with pytest.raises(CheckpointError, match=r"old does not exist; give the work dir of a run"):
        keys_of_plan({"from_plan": str(folder)})
    folder.mkdir()
    with pytest.raises(CheckpointError, match=r"record.json does not exist; give"):
        keys_of_plan({"from_plan": str(folder)})
    (folder / "record.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"record.json is damaged, or is not"):
        keys_of_plan({"from_plan": str(folder)})
    write_stored(folder, {"schema": 1})
    with pytest.raises(CheckpointError, match=r"written by another version"):
        keys_of_plan({"from_plan": str(folder)})
