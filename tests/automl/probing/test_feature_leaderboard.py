"""The feature leaderboard and `mode: probe`, through the functions that the commands call."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from autox_video.automl import leaderboard
from autox_video.automl.prepare import prepare
from autox_video.automl.probing import (
    attentive_probe,
    extract,
    feature_leaderboard,
    kept_probes,
)
from autox_video.backbones.weights import known_weights
from autox_video.backbones.weights.known_weights import KnownFile, find_pretrained
from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import CheckpointError, ConfigError, ResourceError
from autox_video.data.listing.written_list import read_list
from autox_video.evaluation.predict import Loading, build_model, load_model, predict, read_config
from autox_video.jobs.test import transform
from autox_video.jobs.train import fit
from autox_video.planning.record import RunRecord
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from autox_video.training.config.build_config import build_config
from tests.datasets import TINY, colour_data
from tests.videos import write_video

NAMES = ("sees_nothing.pth", "sees_colours.pth")
FROM = {"mode": "train", "backbone": "auto"}
"""Training that starts from weights, or that is compared with descriptors."""
LEARNS_NOTHING = {**FROM, "epoch": 1, "lr": 1e-9}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return colour_data(tmp_path_factory.mktemp("clips"), train=6, val=2, test=2)


@pytest.fixture
def keys(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(feature_leaderboard, "weight_folders", lambda: [tmp_path / "checkpoints"])
    monkeypatch.setattr(attentive_probe, "STEPS", 20)
    results = {"test_results_path": str(tmp_path / "results.json")}
    return {**data, **TINY, **results, "work_dir": str(tmp_path / "work"), "mode": "probe"}


def settings_of(keys, **changes):
    return settings_from_mapping({**keys, **changes}, "test")


def rows(keys):
    return {row.id: row for row in leaderboard.read_rows(Path(keys["work_dir"]))}


def test_a_probe_is_a_model_as_any_other(keys, capsys):
    best = fit(settings_of(keys))
    of_probe, out = rows(keys)["probe"], capsys.readouterr().out
    assert of_probe.scored_on == "cross-validation" and best["cross_validation"]["clips"] == 18
    assert f"Training is done. Best cross-validated top-1 {of_probe.score:.2f} (95%" in out
    assert f"validation {best['top1']:.2f}, only 6 clips" in out
    work = Path(keys["work_dir"])
    meta = read_checkpoint(work / "best.pth")["meta"]
    assert meta["metrics"] == best and best["epoch"] == 0
    assert (work / "best.safetensors").is_file() and not (work / "probe.pth").exists()
    with open(work / "leaderboard.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["kind"] for row in table} == {"probe"}
    assert all(json.loads(row["config"])["clips"] == 18 for row in table)
    found = transform(settings_of(keys))
    assert found["metrics"]["top1"] >= 0.8  # colours are seen by random features too
    assert json.loads(Path(keys["test_results_path"]).read_text())["metrics"] == found["metrics"]


@pytest.mark.parametrize("backbone", ["conv_nano", "descriptors"])
@pytest.mark.parametrize("pools", [("linear",), ("ordered",), ("attentive",)])
def test_the_model_computes_what_the_probe_computed(keys, monkeypatch, pools, backbone):
    kept, keys = {}, {**keys, "backbone": backbone}
    monkeypatch.setattr(feature_leaderboard, "_job", with_pools(feature_leaderboard._job, pools))
    monkeypatch.setattr(feature_leaderboard, "keep_probes", spy(kept_probes.keep_probes, kept))
    fit(settings_of(keys, flip=False))
    best, work = kept["best"], Path(keys["work_dir"])
    scored = best.candidate.scored
    config = read_config(work / "best.pth")
    config.test_pipeline[1].crop = "centre"
    config.test_item_shape = (1, *config.test_item_shape[1:])
    clips = read_list(work / "train.csv")
    said = predict(
        load_model(config, work / "best.pth", "cpu"),
        config,
        clips,
        data_root=keys["data_root"],
        loading=Loading(4, 0, "cpu"),
    )
    head = feature_leaderboard.crossval.fit_on_all(best.samples, scored.setting)
    expected = head.logits(best.samples.tokens[:, 0].float()).log_softmax(-1).numpy()
    found = np.log(np.maximum([p.scores for p in said], 1e-30))
    np.testing.assert_allclose(found[expected > -20], expected[expected > -20], atol=0.03)
    assert (found.argmax(1) == clips.labels).all()
    assert found.min() < -1  # it says more than that all are alike


def with_pools(make, pools):
    return lambda *args, **options: feature_leaderboard.replace(make(*args, **options), pools=pools)


def spy(keep, kept):
    def kept_too(job, best, others, run, **options):
        kept.update(best=best)
        return keep(job, best, others, run, **options)

    return kept_too


def test_going_on_with_a_probe_leaves_it_as_it_is(keys):
    best = fit(settings_of(keys))
    work = Path(keys["work_dir"])
    before = contents(work)
    assert fit(settings_of(keys)) == best
    assert contents(work) == before
    with pytest.raises(CheckpointError, match="resolution: 32 -> 64"):
        fit(settings_of(keys, resolution=64))


def test_within_a_time_budget_the_probe_is_tested(keys, capsys):
    keys = {**keys, "time_budget": "60s"}
    fit(settings_of(keys))
    results = Path(keys["test_results_path"])
    assert json.loads(results.read_text())["metrics"]["clips"] > 0
    results.unlink()
    capsys.readouterr()
    fit(settings_of(keys))
    assert results.is_file()
    fit(settings_of(keys))
    assert "tested already" in capsys.readouterr().out


def contents(folder):
    # train.log grows with every start.
    files = (path for path in folder.iterdir() if path.is_file() and path.name != "train.log")
    return {path.name: path.read_bytes() for path in files}


def test_training_where_a_probe_was_moves_it_aside(keys):
    fit(settings_of(keys))
    work = Path(keys["work_dir"])
    fit(settings_of(keys, mode="train", epoch=1))
    aside = next((work / "earlier").iterdir())
    assert {"best.pth", "leaderboard.csv"} <= {path.name for path in aside.iterdir()}
    with pytest.raises(CheckpointError, match="mode: train -> probe"):
        fit(settings_of(keys))


def weights_for(keys, folder):
    """Write two files of swin_nano's weights under known names; the second one sees colours."""
    folder.mkdir()
    settings = settings_of(keys, backbone="swin_nano", load_from="none")
    prepared = prepare(settings, resuming=False)
    data = prepared.data
    model = build_model(build_config(RunRecord(prepared.plan, data), keys["work_dir"]))
    torch.manual_seed(0)
    model.init_weights()
    patches = model.backbone.patch_embed.proj.weight.detach()
    for name, scale in zip(reversed(NAMES), (1.0, 0.0), strict=True):
        patches *= scale
        torch.save({"state_dict": model.state_dict()}, folder / name)
    return folder


@pytest.fixture
def known(monkeypatch):
    """The names of the two files are those of published weights."""
    files = [KnownFile("swin_nano", 50.0, 6, "none", "colours", f"/{name}") for name in NAMES]
    monkeypatch.setattr(known_weights, "KNOWN_FILES", tuple(files))


def test_the_best_probe_decides_which_weights_are_fine_tuned(known, keys, tmp_path, monkeypatch):
    folder = weights_for(keys, tmp_path / "checkpoints")
    monkeypatch.setattr("autox_video.automl.starting_weights.weight_folders", lambda: [folder])
    assert Path(find_pretrained([folder]).path).name == NAMES[0]  # what the rules take
    fit(settings_of(keys, mode="auto", backbone="swin_nano", load_from="auto", epoch=1))
    plan = json.loads(Path(keys["work_dir"], "record.json").read_text())["choices"]
    assert Path(plan["pretrained"]["value"]).name == NAMES[1]
    assert "the best of 2 candidates" in plan["pretrained"]["reason"]
    assert Path(NAMES[0]).stem in plan["pretrained"]["reason"]
    found = rows(keys)
    assert {row.kind for row in found.values()} == {"probe", "finetune"}
    assert len(found) == 6 and all(row.state == "done" for row in found.values())
    meta = read_checkpoint(Path(keys["work_dir"], "best.pth"))["meta"]
    scores = {found[name].score for name in ("probe", "finetune")}
    assert meta["metrics"]["top1"] == max(scores)


@pytest.mark.parametrize("pool", ["linear", "ordered"])
def test_a_probe_that_validates_better_is_kept(keys, tmp_path, monkeypatch, pool):
    monkeypatch.setattr(feature_leaderboard, "_job", with_pools(feature_leaderboard._job, (pool,)))
    weights = weights_for(keys, tmp_path / "weights") / NAMES[1]
    best = fit(settings_of(keys, **FROM, load_from=str(weights), epoch=1, lr=1e-9))
    found = rows(keys)
    assert found["probe"].score == 1.0 > found["finetune"].score
    assert best["epoch"] == 0 and best["top1"] == 1.0
    again = fit(settings_of(keys, **FROM, load_from=str(weights), epoch=1, lr=1e-9))
    assert again == best and rows(keys) == found
    assert transform(settings_of(keys))["metrics"]["top1"] == 1.0


@pytest.mark.parametrize("pool", ["linear", "ordered"])
def test_descriptors_that_validate_better_than_training_are_kept(keys, monkeypatch, pool):
    monkeypatch.setattr(feature_leaderboard, "_job", with_pools(feature_leaderboard._job, (pool,)))
    best = fit(settings_of(keys, **LEARNS_NOTHING))
    found, work = rows(keys), Path(keys["work_dir"])
    assert set(found) == {f"{pool}-descriptors-2x32", "probe", "finetune"}
    assert found["probe"].score == 1.0 > found["finetune"].score
    assert best["epoch"] == 0 and best["top1"] == 1.0
    choices = json.loads((work / "record.json").read_text())["choices"]
    assert choices["backbone"]["value"] == "conv_nano"
    assert "a probe on descriptors, top-1 " in choices["backbone"]["reason"]
    assert fit(settings_of(keys, **LEARNS_NOTHING)) == best and rows(keys) == found
    assert transform(settings_of(keys, **LEARNS_NOTHING))["metrics"]["top1"] == 1.0


def test_training_that_validates_as_well_is_kept(keys, monkeypatch):
    monkeypatch.setattr(
        feature_leaderboard.crossval, "measure", spoilt(feature_leaderboard.crossval.measure)
    )
    best = fit(settings_of(keys, **FROM, epoch=2))
    assert rows(keys)["probe"].config["validation_score"] == 0.0 and best["epoch"] > 0


def spoilt(measure):
    return lambda *args: {**measure(*args), "top1": 0.0}


def test_descriptors_are_a_candidate_where_no_other_backbone_is_named(keys):
    fit(settings_of(keys, backbone="auto"))
    assert {"linear-descriptors-2x32", "linear-conv_nano-random-2x32"} <= set(rows(keys))
    plan = json.loads(Path(keys["work_dir"], "record.json").read_text())["choices"]
    assert plan["backbone"]["value"] == "descriptors"  # random weights are only compared with
    assert "others: linear-conv_nano-random-2x32 " in plan["backbone"]["reason"]


def test_descriptors_alone(keys):
    keys = {**keys, "backbone": "descriptors", "mode": "auto"}
    best = fit(settings_of(keys))
    assert {row.backbone for row in rows(keys).values()} == {"descriptors"}
    before = contents(Path(keys["work_dir"]))
    assert fit(settings_of(keys)) == best and contents(Path(keys["work_dir"])) == before
    assert transform(settings_of(keys))["metrics"]["top1"] == 1.0
    with pytest.raises(ConfigError, match="`mode`: 'train' needs a backbone that can be trained"):
        settings_of(keys, mode="train")


def test_there_is_a_time_limit(keys, tmp_path, monkeypatch):
    monkeypatch.setitem(extract.CLIPS_AT_A_TIME, "cpu", 4)
    monkeypatch.setattr(feature_leaderboard, "SECONDS", 0.0)
    weights = weights_for(keys, tmp_path / "weights") / NAMES[1]
    best = fit(settings_of(keys, **FROM, load_from=str(weights), epoch=1))
    found = rows(keys)
    assert {row.kind: row.state for row in found.values()} == {
        "probe": "stopped",
        "finetune": "done",
    }
    assert best["epoch"] == 1 and not Path(keys["work_dir"], "probe.pth").exists()


def test_weights_that_are_damaged_are_left_out(known, keys, tmp_path, monkeypatch, capsys):
    folder = weights_for(keys, tmp_path / "checkpoints")
    monkeypatch.setattr("autox_video.automl.starting_weights.weight_folders", lambda: [folder])
    (folder / NAMES[0]).write_bytes(b"no weights")
    fit(settings_of(keys, backbone="swin_nano", load_from="auto"))
    assert "left out of the leaderboard" in capsys.readouterr().err
    states = {row.id: row.state for row in rows(keys).values()}
    assert states["linear-swin_nano-sees_nothing-2x32"] == "failed"
    assert states["linear-swin_nano-sees_colours-2x32"] == states["probe"] == "done"
    assert states["linear-swin_nano-random-2x32"] == "done"  # to compare with
    plan = json.loads(Path(keys["work_dir"], "record.json").read_text())["choices"]
    assert Path(plan["pretrained"]["value"]).name == NAMES[1]


def test_training_goes_on_without_descriptors_that_do_not_fit(keys, monkeypatch, capsys):
    def too_large(*_, **__):
        raise ResourceError(extract.NOTHING_FITS)

    monkeypatch.setattr(extract.Extractor, "extract", too_large)
    assert fit(settings_of(keys, **FROM, epoch=1))["epoch"] == 1
    assert "left out of the leaderboard" in capsys.readouterr().err
    with pytest.raises(ResourceError, match="memory for the features"):
        fit(settings_of(keys, backbone="descriptors", work_dir=keys["work_dir"] + "2"))


def test_one_checkpoint_that_is_damaged_is_an_error(keys, tmp_path):
    (tmp_path / "mine.pth").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"mine\.pth"):
        fit(settings_of(keys, backbone="auto", load_from=str(tmp_path / "mine.pth")))


def test_clips_of_several_classes_are_probed_too(data, keys, tmp_path):
    several = {}
    for split in ("train", "val", "test"):
        lines = Path(data[f"ann_file_{split}"]).read_text().splitlines()
        rows = [(line[:-2], f"{line[-1]};3" if line[-1] != "2" else "2") for line in lines]
        several[f"ann_file_{split}"] = str(tmp_path / f"{split}.csv")
        with open(several[f"ann_file_{split}"], "w", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *rows])
    best = fit(settings_of({**keys, **several}, multi_label=True))
    assert best["mAP"] > 0.6
    assert transform(settings_of({**keys, **several}))["metrics"]["mAP"] > 0.6


def sided_data(root, *, train=8):
    """Clips that are red on one side and blue on the other: the side is the class."""
    (root / "videos").mkdir(parents=True)
    keys = {"data_root": str(root / "videos")}
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", 2), ("test", 2)):
        lines = []
        for number in range(2 * count):
            frames = np.zeros((6, 36, 48, 3), dtype=np.int64) + rng.integers(0, 60, (6, 36, 48, 3))
            sides = slice(0, 24), slice(24, 48)
            for side, channel in zip(sides, (0, 2) if number % 2 else (2, 0), strict=True):
                frames[:, :, side, channel] += 150
            name = f"{split}{number}.mp4"
            write_video(root / "videos" / name, frames.astype(np.uint8), fps=12)
            lines.append(f"{name} {number % 2}\n")
        (root / f"{split}.txt").write_text("".join(lines))
        keys[f"ann_file_{split}"] = str(root / f"{split}.txt")
    return keys


@pytest.mark.parametrize("mode", ["probe", "train"])
def test_mirror_images_of_other_classes_are_found_out(keys, tmp_path, mode):
    sided = {**sided_data(tmp_path / "sided"), "backbone": "auto", "mode": mode, "epoch": 1}
    best = fit(settings_of({**keys, **sided}))
    flip = json.loads(Path(keys["work_dir"], "record.json").read_text())["choices"]["flip"]
    scores = {each["value"]: each["score"] for each in flip["alternatives"]}
    assert flip["value"] is False and "changes the class" in flip["reason"]
    assert scores[False] == 1.0 and scores[True] < 0.8
    assert best["top1"] == 1.0
    config = Config.fromfile(Path(keys["work_dir"]) / "config.py")
    assert config.model.data_preprocessor.augment.flip == 0.0


def test_mirror_images_of_the_same_classes_stay(keys):
    fit(settings_of(keys, **FROM, epoch=1))
    flip = json.loads(Path(keys["work_dir"], "record.json").read_text())["choices"]["flip"]
    assert flip["value"] is True and "probes with flips 1.0" in flip["reason"]
    fit(settings_of(keys, **FROM, epoch=1, flip=True, work_dir=keys["work_dir"] + "2"))
    given = json.loads(Path(keys["work_dir"] + "2", "record.json").read_text())["choices"]["flip"]
    assert given == {"value": True, "reason": "given in the config", "source": "user"}


def test_weights_whose_features_fit_badly_are_not_trained(known, keys, tmp_path, monkeypatch):
    """Descriptors tell the colours apart, features of dead weights tell nothing."""
    folder = weights_for(keys, tmp_path / "checkpoints")
    (folder / NAMES[1]).unlink()
    monkeypatch.setattr("autox_video.automl.starting_weights.weight_folders", lambda: [folder])
    fit(settings_of(keys, **FROM, load_from="auto", epoch=1, lr=1e-9))
    choices = json.loads(Path(keys["work_dir"], "record.json").read_text())["choices"]
    assert choices["backbone"]["value"] == "conv_nano" and choices["pretrained"]["value"] is None
    assert f"the features of {NAMES[0]} fit worse: top-1 " in choices["backbone"]["reason"]


def test_fetched_weights_that_cannot_be_used_do_not_stop_the_run(
    known, keys, tmp_path, monkeypatch, capsys
):
    cache = weights_for(keys, tmp_path / "cache")
    (cache / NAMES[1]).unlink()
    (cache / NAMES[0]).write_bytes(b"no weights")
    monkeypatch.setattr("autox_video.automl.starting_weights.weight_folders", lambda: [cache])
    best = fit(settings_of(keys, **FROM, load_from="auto", epoch=1))
    assert "left out of the leaderboard" in capsys.readouterr().err
    choices = json.loads(Path(keys["work_dir"], "record.json").read_text())["choices"]
    assert best is not None and choices["pretrained"]["value"] is None
