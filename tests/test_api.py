"""The Python API, with the seed system's arguments."""

import json
import shutil
from pathlib import Path

import pytest

import autox_video
from autox_video import AutoXVideo, AutoXVideoError
from autox_video.core.errors import CheckpointError, ConfigError, ListingError
from autox_video.training.interrupt import Stopped
from tests.datasets import REPOSITORY, TINY, colour_clip, colour_data, write_config
from tests.videos import write_text_video

NAMES = ("backbone", "resolution", "clip_len", "workers", "device", "load_from")
REST = {key: TINY[key] for key in NAMES}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Data, a work dir, and what fit gave."""
    folder = tmp_path_factory.mktemp("api")
    data = colour_data(folder / "data", train=3, val=1, test=1)
    best = AutoXVideo().fit(
        data_root=data["data_root"],
        ann_file_train=data["ann_file_train"],
        ann_file_val=data["ann_file_val"],
        video_length=0.5,
        num_class=3,
        epoch=2,
        videos_per_gpu=3,
        evaluation=1,
        work_dir=str(folder / "work"),
        **REST,
    )
    return folder, data, best


@pytest.mark.slow
def test_fit_trains_and_gives_the_best_evaluation(fitted):
    folder, _, best = fitted
    assert 0 <= best["top1"] <= 1
    assert best["epoch"] in (1, 2)
    assert best["headline"]["score"] == best["top1"]
    assert (best["headline"]["scored_on"], best["headline"]["clips"]) == ("cross-validation", 3)
    events = [json.loads(line) for line in open(folder / "work" / "metrics.jsonl")]
    assert [e["epoch"] for e in events if e["event"] == "val"] == [1, 2]


@pytest.mark.slow
def test_one_process_says_where_there_could_be_more(fitted, tmp_path, capsys):
    folder, data, _ = fitted
    keys = {"output_path": str(tmp_path / "out.json"), "workers": 0, "device": "cpu", "gpus": 2}
    weights = str(folder / "work" / "best.pth")
    AutoXVideo().transform(data["data_root"], data["ann_file_test"], weights, **keys)
    assert "uses a single process; the command" in capsys.readouterr().err
    AutoXVideo().transform(data["data_root"], data["ann_file_test"], weights, **{**keys, "gpus": 1})
    assert "could share" not in capsys.readouterr().err


@pytest.mark.slow
def test_transform_with_a_list_gives_one_record_per_clip(fitted, tmp_path):
    folder, data, _ = fitted
    records = AutoXVideo().transform(
        data_root=data["data_root"],
        ann_file_test=data["ann_file_test"],
        checkpoints=str(folder / "work" / "latest.pth"),
        output_path=str(tmp_path / "out.json"),
        workers=0,
    )
    assert [r["label"] for r in records] == [0, 1, 2]
    assert all(len(r["scores"]) == 3 for r in records)
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["predictions"] == records
    assert content["checkpoint"].endswith("latest.pth")


@pytest.mark.slow
def test_results_lie_in_the_work_dir_and_those_of_another_test_are_kept(fitted, tmp_path):
    folder, data, _ = fitted
    shutil.copytree(folder / "work", tmp_path / "work")
    model = AutoXVideo()
    given = {"data_root": data["data_root"], "work_dir": str(tmp_path / "work"), "workers": 0}
    for split in ("val", "val", "test", "val"):
        model.transform(ann_file_test=data[f"ann_file_{split}"], **given)
    results = sorted(path.name for path in (tmp_path / "work").glob("results*.json"))
    assert results == ["results-1.json", "results-2.json", "results.json"]
    tested = [json.loads((tmp_path / "work" / name).read_text()) for name in results]
    first = [content["predictions"][0]["video"].partition(" ")[0] for content in tested]
    assert first == ["val", "test", "val"]


@pytest.mark.slow
def test_transform_without_a_list_predicts_every_video_and_leaves_the_folder_alone(
    fitted, tmp_path
):
    folder, _, _ = fitted
    clips = tmp_path / "clips"
    (clips / "inner").mkdir(parents=True)
    colour_clip(clips / "b.mp4", "blue", seed=1)
    colour_clip(clips / "inner" / "a.mp4", "red", seed=2)
    write_text_video(clips / "torn.mp4")
    (clips / "notes.txt").write_text("not a video")
    before = sorted(str(path) for path in clips.rglob("*"))
    records = AutoXVideo().transform(
        data_root=str(clips),
        checkpoints=str(folder / "work" / "best.pth"),
        output_path=str(tmp_path / "out.json"),
        workers=0,
    )
    assert [r["video"] for r in records] == ["b.mp4", "inner/a.mp4", "torn.mp4"]
    assert [r["status"] for r in records] == ["ok", "ok", "unreadable"]
    assert json.loads((tmp_path / "out.json").read_text())["metrics"] is None
    assert sorted(str(path) for path in clips.rglob("*")) == before


@pytest.mark.slow
def test_a_config_file_then_arguments(fitted, tmp_path, monkeypatch):
    folder, data, _ = fitted
    monkeypatch.chdir(tmp_path)
    keys = {**data, **TINY, "work_dir": str(folder / "work")}
    model = AutoXVideo().read_cfg(str(write_config(tmp_path / "c.yaml", **keys)), ["workers=0"])
    records = model.transform(output_path="other.json")
    assert len(records) == 3
    assert Path("other.json").is_file()


def test_minus_one_means_not_given_as_in_the_seed_system():
    with pytest.raises(ConfigError, match="data_root"):
        AutoXVideo().fit(video_length=-1, num_class=-1, epoch=-1)


@pytest.mark.slow
def test_mistakes_are_sentences(fitted, tmp_path):
    folder, data, _ = fitted
    best = str(folder / "work" / "best.pth")
    with pytest.raises(ConfigError, match="epochs"):
        AutoXVideo().fit(data_root=data["data_root"], epochs=3)
    with pytest.raises(CheckpointError, match="autotrain"):
        AutoXVideo().transform(data_root=data["data_root"], work_dir=str(tmp_path / "none"))
    with pytest.raises(CheckpointError, match="no.pth"):
        AutoXVideo().transform(
            data_root=data["data_root"], checkpoints=str(folder / "work" / "no.pth")
        )
    with pytest.raises(CheckpointError, match=r"work is a folder.* .*/work/best\.safetensors\."):
        AutoXVideo().transform(data_root=data["data_root"], checkpoints=str(folder / "work"))
    with pytest.raises(CheckpointError, match="^https://host/best.pth: weights"):
        AutoXVideo().transform(data_root=data["data_root"], checkpoints="https://host/best.pth")
    with pytest.raises(CheckpointError, match="work is a folder; set load_from to the weight file"):
        AutoXVideo().fit(**data, **{**REST, "load_from": str(folder / "work")})
    with pytest.raises(ListingError, match="no video"):
        AutoXVideo().transform(data_root=str(tmp_path), checkpoints=best)
    with pytest.raises(ListingError, match="does not exist"):
        AutoXVideo().transform(data_root=str(tmp_path / "none"), checkpoints=best)
    settings = AutoXVideo().read_cfg(
        str(write_config(tmp_path / "c.yaml", data_root=data["data_root"]))
    )
    with pytest.raises(ConfigError, match="ann_file_test"):
        settings.transform(checkpoints=best)


def test_what_is_given_to_one_call_is_not_left_for_the_next(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("autox_video.jobs.train.fit", lambda settings, fresh: seen.append(settings))
    monkeypatch.setattr("autox_video.jobs.test.transform", refuse)
    monkeypatch.setattr("autox_video.jobs.check.check", refuse)
    monkeypatch.setattr("autox_video.jobs.train.show", refuse)
    model = AutoXVideo().read_cfg(str(write_config(tmp_path / "c.yaml", data_root="mine", epoch=3)))
    for call in (model.transform, model.check, model.plan):
        with pytest.raises(ListingError):
            call(data_root="other", seed=5)
    with pytest.raises(ConfigError):
        model.fit(epoch="many", data_root="other")
    assert model.settings().data_root == "mine"
    model.fit(epoch=4)
    assert (seen[0].data_root, seen[0].epoch, seen[0].seed) == ("mine", 4, "auto")
    assert model.settings().epoch == 4


def test_a_run_that_fails_leaves_nothing_and_one_that_is_stopped_can_be_tested(monkeypatch):
    model = AutoXVideo()
    monkeypatch.setattr("autox_video.jobs.train.fit", refuse)
    with pytest.raises(ListingError):
        model.fit(data_root="d", epoch=4)
    with pytest.raises(ConfigError, match="data_root"):
        model.settings()

    def stop(*_, **__):
        raise Stopped(15)

    monkeypatch.setattr("autox_video.jobs.train.fit", stop)
    with pytest.raises(Stopped):
        model.fit(data_root="d", epoch=4)
    assert model.settings().epoch == 4


def refuse(*_, **__):
    raise ListingError("no")


def test_without_a_config_the_run_is_named_after_its_clips(monkeypatch, tmp_path):
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("autox_video.jobs.train.fit", lambda settings, fresh: seen.append(settings))
    monkeypatch.setattr(
        "autox_video.jobs.test.transform",
        lambda settings, weights, whole_folder: seen.append(settings) or {"predictions": []},
    )
    model = AutoXVideo()
    model.fit(tmp_path / "clips", epoch=3)
    model.transform(tmp_path / "new", checkpoints=tmp_path / "best.pth")
    model.transform()
    AutoXVideo().transform("new")
    AutoXVideo().read_cfg({"data_root": "mapping"}, ["epoch=2"]).fit()
    assert [settings.work_dir for settings in seen] == [
        *["work_dirs/clips"] * 3,
        "work_dirs/new",
        "work_dirs/mapping",
    ]
    assert [settings.data_root for settings in seen[:2]] == [
        str(tmp_path / "clips"),
        str(tmp_path / "new"),
    ]


def test_the_keys_of_the_demo_do_not_count_for_other_clips(monkeypatch):
    model = AutoXVideo().read_cfg(REPOSITORY / "config.yaml")
    with pytest.raises(ConfigError, match="the config of the demo does not fit other clips"):
        model.fit("clips")
    seen = []
    monkeypatch.setattr(
        "autox_video.jobs.test.transform",
        lambda settings, weights, whole_folder: seen.append(settings) or {"predictions": []},
    )
    model.transform("clips", checkpoints="best.pth")
    assert (seen[0].work_dir, seen[0].data_root) == ("work_dirs/demo", "clips")
    assert (seen[0].ann_file_test, seen[0].demo) == ("auto", False)


def test_errors_are_exported():
    names = ("ConfigError", "ListingError", "VideoError", "CheckpointError", "ResourceError")
    assert all(issubclass(getattr(autox_video, name), AutoXVideoError) for name in names)
    assert autox_video.Stopped is Stopped
    assert {*names, "AutoXVideo", "Stopped"} <= {*autox_video.__all__}
    with pytest.raises(AttributeError, match="Nothing"):
        _ = autox_video.Nothing
