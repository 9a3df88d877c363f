"""Weights over clips → predictions."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmaction.models import Recognizer3D

from autox_video.core.errors import CheckpointError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.evaluation.predict import (
    Loading,
    build_model,
    for_testing,
    load_model,
    predict,
    read_config,
    record_of,
)
from autox_video.planning.plan import Plan
from autox_video.planning.record import RunRecord, TrainingData, load_stored, write_record
from autox_video.training.checkpoints.checkpoint import (
    RECORD_KEY,
    read_checkpoint,
    write_checkpoint,
)
from autox_video.training.checkpoints.model_record import model_record
from autox_video.training.config.build_config import model_config
from tests.datasets import colour_clip
from tests.planning.test_plan import plan_for
from tests.videos import write_text_video

OUT_OF_MEMORY = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory."),
    "cpu": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    "python": MemoryError(),
}
CLASSES = ("red", "green", "blue")


def tiny_plan(**changes) -> Plan:
    plan = plan_for(resolution=32, clip_len=2, workers=0, epoch=1, precision="float32")
    return replace(plan, num_classes=3, **changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A work dir with a model of random weights, and clips of several sizes, one unreadable."""
    root = tmp_path_factory.mktemp("predict")
    data = TrainingData(str(root), "none.csv", None, CLASSES, num_train=3)
    record = RunRecord(tiny_plan(test_clips=2), data)
    write_record(root, record)
    model = build_model(model_config(record))
    model.init_weights()
    write_checkpoint(root / "best.pth", {"state_dict": model.state_dict(), "meta": {}})
    names = []
    for i, size in enumerate([(36, 48), (48, 36), (40, 40), (33, 65), (36, 48)]):
        names.append(f"clip {i}.mp4")
        colour_clip(root / names[-1], ("red", "green", "blue")[i % 3], seed=i, size=size)
    write_text_video(root / "bad.mp4")
    return root, ClipTable((*names[:2], "bad.mp4", *names[2:]), (0, 1, 2, 2, 0, 1))


def run(trained, *, batch_size=2, workers=0, clips=None):
    root, listed = trained
    config = read_config(root / "best.pth")
    model = load_model(config, root / "best.pth", "cpu")
    return predict(
        model,
        config,
        clips or listed,
        data_root=root,
        loading=Loading(batch_size, workers, "cpu"),
    )


def test_one_prediction_per_clip_in_listed_order(trained):
    predictions = run(trained)
    assert [p.video for p in predictions] == list(trained[1].paths)
    assert [p.label for p in predictions] == list(trained[1].labels)
    assert [p.scores is None for p in predictions] == [False, False, True, False, False, False]
    assert "bad.mp4" in predictions[2].error
    for p in predictions:
        if p.scores is not None:
            assert sum(p.scores) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (6, 0), (4, 2)])
def test_scores_do_not_depend_on_batch_or_workers(trained, batch_size, workers):
    plain = run(trained)
    other = run(trained, batch_size=batch_size, workers=workers)
    for one, two in zip(plain, other, strict=True):
        if one.scores is not None:
            assert np.allclose(one.scores, two.scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpu", "cpu", "python"])
@pytest.mark.parametrize("fitting", [4, 1])
def test_where_memory_is_short_fewer_views_are_computed_at_a_time(
    trained, monkeypatch, kind, fitting, capsys
):
    plain = run(trained)
    asked = []
    step = Recognizer3D.test_step

    def short_of_memory(model, data):
        views = data["inputs"].shape[0] * data["inputs"].shape[1]
        asked.append(views)
        if views > fitting:
            raise OUT_OF_MEMORY[kind]
        return step(model, data)

    monkeypatch.setattr(Recognizer3D, "test_step", short_of_memory)
    fewer = run(trained)
    for one, two in zip(plain, fewer, strict=True):
        if one.scores is not None:
            assert np.allclose(one.scores, two.scores, rtol=0, atol=1e-5)
    # Two clips of six views, halved until they fit; that is remembered.
    tries = [12, 6, 3] if fitting == 4 else [12, 6, 3, 1]
    assert asked[: len(tries)] == tries
    assert max(asked[len(tries) :]) <= fitting
    assert "Out of memory with 12 views at a time" in capsys.readouterr().out


def test_no_memory_for_a_single_view_is_a_sentence(trained, monkeypatch):
    def no_memory(model, data):
        raise OUT_OF_MEMORY["cpu"]

    monkeypatch.setattr(Recognizer3D, "test_step", no_memory)
    with pytest.raises(ResourceError, match="one view of one clip"):
        run(trained)


def test_other_errors_are_not_taken_for_a_lack_of_memory(trained, monkeypatch):
    def defect(model, data):
        raise RuntimeError("a defect")

    monkeypatch.setattr(Recognizer3D, "test_step", defect)
    with pytest.raises(RuntimeError, match="a defect"):
        run(trained)


def test_a_clips_scores_do_not_depend_on_the_other_clips(trained):
    alone = run(trained, clips=ClipTable((trained[1].paths[4],), None))
    among = run(trained)[4]
    assert np.allclose(alone[0].scores, among.scores, rtol=0, atol=1e-5)
    assert alone[0].label is None


def test_nothing_readable_is_still_one_record_each(trained):
    predictions = run(trained, clips=ClipTable(("bad.mp4", "bad.mp4"), None))
    assert [p.scores for p in predictions] == [None, None]


def test_a_checkpoint_without_its_record_or_file_is_named(trained, tmp_path):
    shutil.copy(trained[0] / "best.pth", tmp_path / "alone.pth")
    with pytest.raises(CheckpointError, match="record.json"):
        read_config(tmp_path / "alone.pth")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_config(tmp_path / "best.pth")
    config = read_config(trained[0] / "best.pth")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_model(config, tmp_path / "best.pth", "cpu")


def test_weights_carry_their_record(trained, tmp_path):
    state = read_checkpoint(trained[0] / "best.pth")
    stored = load_stored(trained[0])
    stored["choices"]["seed"]["value"] = 7
    meta = {RECORD_KEY: model_record(stored)}
    write_checkpoint(tmp_path / "best.pth", {**state, "meta": meta})
    shutil.copy(trained[0] / "record.json", tmp_path)
    assert record_of(tmp_path / "best.pth").plan.seed == 7


def test_a_model_is_not_compiled_for_a_test(trained):
    record = record_of(trained[0] / "best.pth")
    record = for_testing(replace(record, plan=replace(record.plan, compile=True)))
    config = model_config(record)
    model = load_model(config, trained[0] / "best.pth", "cpu")
    assert not any(block.whole_batch for block in model.backbone.blocks())
