"""Ensembles of trained weights and probes, through the functions that the commands call."""

import json
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest
import torch

from autox_video.automl import leaderboard
from autox_video.automl.ensembles.ensembling import (
    Chosen,
    assemble,
    choose_ensemble,
    outputs_of_file,
    read_choice,
    write_choice,
)
from autox_video.automl.ensembles.unseen_outputs import UNSEEN, Unseen, read_unseen, stored
from autox_video.core.errors import CheckpointError
from autox_video.data.listing.written_list import read_list
from autox_video.jobs.test import transform
from autox_video.jobs.train import fit
from autox_video.planning.record import read_record
from autox_video.training.checkpoints.checkpoint import (
    read_checkpoint,
    read_meta,
    write_checkpoint,
)
from tests.automl.search.test_crossvalidation import settings_of
from tests.datasets import TINY, colour_data

pytestmark = pytest.mark.slow

FILES = ("probe.pth", "probe-2.pth")
KEYS = {"backbone": "auto", "epoch": 1, "lr": 1e-9, "search": "off"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return {**colour_data(tmp_path_factory.mktemp("clips"), train=4, val=8, test=2), **TINY}


@pytest.fixture(scope="module")
def run(keys, tmp_path_factory):
    """A finished run without an ensemble, in which the probe has won."""
    folder = tmp_path_factory.mktemp("run")
    assert fit(settings_of(keys, folder, **KEYS, ensemble="off"))["epoch"] == 0
    assert (folder / "trained.pth").is_file()
    return folder


@pytest.fixture(scope="module")
def whole(keys, run, tmp_path_factory):
    """The same run, finished again with two probes that know different clips."""
    run = copytree(run, tmp_path_factory.mktemp("whole") / "run")
    labels = np.array(read_list(run / "val.csv").labels)
    known = np.arange(len(labels)) % 2 == 0
    outputs = [outputs_for(labels, each) for each in (known, ~known)]
    state = read_checkpoint(run / "probe.pth")
    state[UNSEEN].pop("train")
    for name, one in zip(FILES, outputs, strict=True):
        state[UNSEEN]["val"]["outputs"] = torch.from_numpy(one.astype(np.float32))[None]
        write_checkpoint(run / name, state)
        state["meta"]["origin"] = "second"
        state["state_dict"]["cls_head.fc_cls.weight"] *= 0.5
    leaderboard.put_row(run, leaderboard.Row("second", "probe", "descriptors", 2, 32, cost_sec=1.0))
    return run, fit(settings_of(keys, run, **KEYS)), outputs, labels


def outputs_for(labels, known):
    """Log probabilities that are right for the known clips, and guess the others wrongly."""
    odds = np.ones((len(labels), 3))
    odds[np.arange(len(labels)), np.where(known, labels, (labels + 1) % 3)] += 0.1
    odds[known] **= 20
    return np.log(odds / odds.sum(1, keepdims=True))


def test_a_probe_keeps_its_outputs_for_unseen_clips(run):
    state = read_checkpoint(run / "probe.pth")
    for name, clips in (("train", 12), ("val", 24)):
        found = read_unseen(state, name)
        assert found.positions.tolist() == list(range(clips))
        assert found.outputs.shape[1:] == (clips, 3)
        np.testing.assert_allclose(np.exp(found.outputs).sum(-1), 1.0, rtol=1e-4)
    labels = np.array(read_list(run / "val.csv").labels)
    top1 = (read_unseen(state, "val").outputs[0].argmax(1) == labels).mean()
    assert top1 == pytest.approx(state["meta"]["metrics"]["top1"])


def test_the_better_ensemble_is_kept(whole):
    work, best, outputs, labels = whole
    assert [(each.argmax(1) == labels).mean() for each in outputs] == [0.5, 0.5]
    assert best["top1"] == 1.0 and best["epoch"] == 0 and best["models"] == 2
    chosen = content_of(work)
    assert set(chosen.files) == set(FILES) and chosen.shares == (0.5, 0.5)
    softened = [
        one / t - np.logaddexp.reduce(one / t, axis=1, keepdims=True)
        for one, t in zip(outputs, in_order(chosen, chosen.temperatures), strict=True)
    ]
    mean = np.mean(np.exp(softened), axis=0)
    assert best["loss"] == pytest.approx(-np.log(mean[np.arange(len(labels)), labels]).mean())
    row = leaderboard.find_row(work, "ensemble")
    assert row.kind == "ensemble" and row.score == pytest.approx(best["top1"])
    assert row.config["members"] == {"probe": 0.5, "second": 0.5} and row.cost_sec > 1.0
    assert not (work / "trained.pth").exists()


def content_of(work):
    content = json.loads((work / "ensemble.json").read_text())
    return Chosen(*map(tuple, list(content.values())[:3]), content["figures"])


def in_order(chosen, values):
    return [values[chosen.files.index(name)] for name in FILES]


def test_a_test_averages_the_models(whole, keys):
    """Each model alone and the ensemble predict the same clips."""
    work, chosen = whole[0], content_of(whole[0])
    assert read_choice(work) is None  # it has been assembled
    settings = settings_of(keys, work, **KEYS, test_results_path=str(work / "results.json"))
    found = scores_of(transform(settings))
    state = read_checkpoint(work / "best.pth")
    (other,) = state.pop("members")
    alone = {}
    for name, weights, record in (
        (chosen.files[0], state["state_dict"], state["meta"]["record"]),
        (chosen.files[1], other["state_dict"], other["record"]),
    ):
        path = work / f"alone-{name}"
        meta = {"metrics": {}, "identity": {}, "record": record}
        write_checkpoint(path, {"schema": state["schema"], "state_dict": weights, "meta": meta})
        alone[name] = scores_of(transform(settings, str(path)))
    temperature = state["meta"]["metrics"]["temperature"]
    mean = 0
    for name, share, t in zip(chosen.files, chosen.shares, chosen.temperatures, strict=True):
        softened = alone[name] ** (1 / t)
        mean = mean + share * softened / softened.sum(1, keepdims=True)
    mean = mean ** (1 / temperature)
    np.testing.assert_allclose(found, mean / mean.sum(1, keepdims=True), atol=2e-4)


def scores_of(content):
    return np.array([clip["scores"] for clip in content["predictions"]])


def test_going_on_leaves_the_ensemble_as_it_is(whole, keys):
    work, best = whole[:2]
    before = (work / "best.pth").read_bytes()
    assert fit(settings_of(keys, work, **KEYS)) == best
    assert (work / "best.pth").read_bytes() == before


def test_without_complements_a_single_model_is_kept(keys, tmp_path):
    best = fit(settings_of(keys, tmp_path, **KEYS))
    assert "models" not in best and leaderboard.find_row(tmp_path, "ensemble") is None
    assert not (tmp_path / "ensemble.json").exists()


def test_outputs_of_a_file_are_those_of_its_evaluation(keys, tmp_path):
    best = fit(settings_of(keys, tmp_path, **{**KEYS, "lr": "auto"}, load_from="none"))
    labels = np.array(read_list(tmp_path / "val.csv").labels)
    file = tmp_path / ("best.pth" if best["epoch"] else "trained.pth")
    meta = read_meta(file)["metrics"]
    found = outputs_of_file(read_record(tmp_path), file)
    assert found.positions.tolist() == list(range(24)) and found.outputs.shape == (1, 24, 3)
    assert (found.outputs[0].argmax(1) == labels).mean() == pytest.approx(meta["top1"])
    loss = -found.outputs[0][np.arange(24), labels].mean()
    assert loss == pytest.approx(meta["loss"], abs=1e-4)


def known(labels, right):
    """Outputs that are right for the given clips only."""
    return Unseen(np.arange(len(labels)), outputs_for(labels, right)[None])


def test_an_ensemble_of_probes_does_not_replace_better_trained_weights(run, tmp_path):
    """Out of fold, only the probes have outputs; the trained weights are better than both."""
    work = tmp_path / "run"
    copytree(run, work)
    record = replace_lists(read_record(work), work)
    lists = {name: np.array(read_list(work / f"{name}.csv").labels) for name in ("train", "val")}
    for number, file in enumerate(FILES):
        state = read_checkpoint(run / "probe.pth")
        halves = {name: np.arange(len(each)) % 2 == number for name, each in lists.items()}
        unseen = {name: known(lists[name], half) for name, half in halves.items()}
        write_checkpoint(work / file, state | stored(unseen))
    groups = np.arange(sum(map(len, lists.values())))
    perfect = known(lists["val"], np.ones(24, dtype=bool))
    assert choose_ensemble(record, work, {"val": perfect}, groups) is None
    useless = known(lists["val"], np.zeros(24, dtype=bool))
    chosen = choose_ensemble(record, work, {"val": useless}, groups)
    assert set(chosen.files) == set(FILES)


def replace_lists(record, work):
    lists = {"train_list": str(work / "train.csv"), "val_list": str(work / "val.csv")}
    return replace(record, data=replace(record.data, **lists))


def test_a_choice_outlives_a_stop_after_the_refit(whole, keys, tmp_path):
    """The best weights have been refit, so that only the stored choice can be assembled."""
    work = tmp_path / "run"
    copytree(whole[0], work)
    probe = read_checkpoint(work / "probe.pth")
    probe["meta"]["all_clips"] = True
    write_checkpoint(work / "best.pth", probe)
    (work / "best.safetensors").unlink()
    chosen = content_of(whole[0])
    assert read_choice(work) == chosen
    write_choice(work, None)
    assert read_choice(work) is None
    write_choice(work, chosen)
    assert fit(settings_of(keys, work, **KEYS))["models"] == 2
    assert len(read_checkpoint(work / "best.pth")["members"]) == 1
    with pytest.raises(CheckpointError):
        assemble(read_record(work), work, replace(chosen, files=("gone.pth",) * 2), all_clips=True)
