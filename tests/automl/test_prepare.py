"""Everything before training."""

import csv
import os
import shutil
from pathlib import Path

import pytest

from autox_video.automl import prepare
from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import CheckpointError, ListingError, ResourceError
from autox_video.data.listing.written_list import read_list
from autox_video.planning.record import RunRecord, load_stored, write_record, write_stored
from tests.backbones.weights.weight_files import weights_file
from tests.datasets import COLOURS, TINY, colour_clip, colour_data
from tests.servers import serve
from tests.videos import numbered_frames, write_stamped, write_text_video


@pytest.fixture
def keys(tmp_path):
    data = colour_data(tmp_path / "data", train=2, val=1, test=1)
    return {**data, **TINY, "backbone": "auto", "work_dir": str(tmp_path / "work")}


def settings_of(keys, **changes):
    return settings_from_mapping({**keys, **changes}, "test")


def spoil(keys, *names):
    for name in names:
        write_text_video(Path(keys["data_root"], name))


def test_a_plan_and_the_readable_clips_come_out(keys, tmp_path):
    spoil(keys, "train red 0.mp4")
    prepared = prepare.prepare(settings_of(keys), resuming=False)
    assert prepared.plan.num_classes == 3
    assert len(prepared.listing.train) == 5
    assert "train red 0.mp4" not in prepared.listing.train.paths
    rows = list(csv.DictReader(open(tmp_path / "work" / "unreadable.csv")))
    assert [row["path"] for row in rows] == ["train red 0.mp4"]
    assert rows[0]["reason"]


def test_many_unreadable_clips_are_counted_and_written_down(keys, tmp_path, capsys):
    spoil(keys, "train red 0.mp4", "val green 0.mp4", "test blue 0.mp4", "train blue 1.mp4")
    with pytest.raises(ListingError, match="strict: 4 clips"):
        prepare.prepare(settings_of(keys, strict=True), resuming=False)
    assert "4 clips cannot be read (strict: true refuses them), such as " in capsys.readouterr().err
    assert len(list(csv.DictReader(open(tmp_path / "work" / "unreadable.csv")))) == 4


def test_clips_with_odd_times_are_named_before_training(keys, capsys):
    path = Path(keys["data_root"], "train red 0.mp4")
    write_stamped(path, numbered_frames(10), [*range(0, 200, 40), *range(9_000_000, 9_000_200, 40)])
    prepare.prepare(settings_of(keys), resuming=False)
    shown = " ".join(capsys.readouterr().err.split())
    assert "Unusual clip, used anyway: train red 0.mp4: " in shown
    assert "its timestamps jump by 2 h 30 min after frame 5" in shown


def test_a_class_without_a_readable_training_clip_is_an_error(keys):
    spoil(keys, "train green 0.mp4", "train green 1.mp4")
    with pytest.raises(ListingError, match="readable training.*: 1"):
        prepare.prepare(settings_of(keys), resuming=False)


def test_no_readable_validation_clip_is_an_error(keys):
    spoil(keys, *(f"val {colour} 0.mp4" for colour in ("red", "green", "blue")))
    with pytest.raises(ListingError, match="No readable validation clips"):
        prepare.prepare(settings_of(keys), resuming=False)


def test_folders_of_classes_need_no_list(tmp_path):
    for colour in ("red", "green"):
        folder = tmp_path / "videos" / colour
        folder.mkdir(parents=True)
        for i in range(6):
            colour_clip(folder / f"{i}.mp4", colour, seed=i)
    settings = settings_of(
        {"data_root": str(tmp_path / "videos"), "work_dir": str(tmp_path / "work"), **TINY}
    )
    first = prepare.prepare(settings, resuming=False)
    assert first.listing.classes == ("green", "red")
    assert len(first.listing.train) + len(first.listing.val) + len(first.listing.test) == 12
    assert (tmp_path / "work" / "split" / "test.csv").is_file()
    assert prepare.prepare(settings, resuming=False).data.fingerprint == first.data.fingerprint


def test_the_demo_is_made_when_the_config_asks_for_it(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(prepare, "make_demo", lambda root, on_done: made.append(root))
    prepare.ensure_demo(tmp_path)
    assert made == [tmp_path]
    monkeypatch.setattr(prepare, "demo_is_complete", lambda root: True)
    prepare.ensure_demo(tmp_path)
    assert made == [tmp_path]


def test_other_labels_or_clips_change_the_fingerprint(keys):
    first = prepare.prepare(settings_of(keys), resuming=False).data.fingerprint
    place = Path(keys["ann_file_train"])
    lines = place.read_text().splitlines(keepends=True)
    place.write_text("".join(lines[1:]))
    assert prepare.prepare(settings_of(keys), resuming=False).data.fingerprint != first
    place.write_text("".join(lines))
    assert prepare.prepare(settings_of(keys), resuming=False).data.fingerprint == first


def begun(keys, work):
    """A run that has just begun: what a start leaves in its work dir."""
    prepared = prepare.prepare(settings_of(keys), resuming=False)
    record = RunRecord(prepared.plan, prepared.data, lists=prepared.lists)
    write_record(work, record)
    return prepared


def test_going_on_keeps_the_stored_plan_and_refuses_other_data(keys, tmp_path):
    work = tmp_path / "work"
    auto = {k: v for k, v in keys.items() if k != "videos_per_gpu"}
    begun(auto, work)
    stored = load_stored(work)
    stored["choices"]["batch_size"] = {"value": 5, "reason": "as it was", "source": "rule"}
    write_stored(work, stored)
    assert prepare.prepare(settings_of(auto), resuming=True).plan.batch_size == 5
    assert prepare.prepare(settings_of(keys), resuming=True).plan.batch_size == 4
    with pytest.raises(CheckpointError, match="other choices: backbone: conv_nano -> swin_tiny"):
        prepare.prepare(settings_of(auto, backbone="swin_tiny"), resuming=True)
    Path(keys["ann_file_train"]).write_text("train red 0.mp4 0\ntrain green 0.mp4 1\n")
    Path(keys["ann_file_val"]).write_text("val red 0.mp4 0\n")
    Path(keys["ann_file_test"]).write_text("test red 0.mp4 0\n")
    with pytest.raises(
        CheckpointError, match=r"other clips: 6 clips are gone .*class `2` is gone"
    ) as caught:
        prepare.prepare(settings_of(auto), resuming=True)
    assert "--fresh" in str(caught.value)


def test_going_on_learns_from_the_clips_that_it_began_with(keys, tmp_path, capsys):
    work = tmp_path / "work"
    good = Path(keys["data_root"], "train red 0.mp4").read_bytes()
    spoil(keys, "train red 0.mp4")
    first = begun(keys, work)
    before = [(work / name).read_bytes() for name in ("train.csv", "val.csv")]
    Path(keys["data_root"], "train red 0.mp4").write_bytes(good)
    spoil(keys, "train green 0.mp4")
    (work / "train.csv").unlink()
    capsys.readouterr()
    again = prepare.prepare(settings_of(keys), resuming=True)
    assert again.listing.train == first.listing.train
    assert (again.data, again.lists) == (first.data, first.lists)
    assert [(work / name).read_bytes() for name in ("train.csv", "val.csv")] == before
    shown = capsys.readouterr().err
    assert "can be read now (train red 0.mp4)" in shown
    assert "cannot be read any more (train green 0.mp4)" in shown
    assert "restored from the listed clips" in shown


def test_clips_added_to_class_folders_do_not_disturb_a_run(tmp_path, capsys):
    videos, work = tmp_path / "videos", tmp_path / "work"
    for colour in ("red", "green"):
        (videos / colour).mkdir(parents=True)
        for name in "abcdef":
            colour_clip(videos / colour / f"{name}.mp4", colour, seed=ord(name))
    folders = {"data_root": str(videos), "work_dir": str(work), **TINY}
    first = begun(folders, work)
    (videos / "blue").mkdir()
    shutil.copy(videos / "red" / "a.mp4", videos / "blue" / "copy.mp4")
    capsys.readouterr()
    again = prepare.prepare(settings_of(folders), resuming=True)
    shown = " ".join(capsys.readouterr().out.split())
    assert "Since the run began, 1 clip is new (blue/copy.mp4); class `blue` is new." in shown
    assert (again.data, again.lists) == (first.data, first.lists)
    assert again.listing.classes == ("green", "red")
    for name in ("train", "val", "test"):
        assert again.inspected.splits[name] == first.inspected.splits[name]
    clips = again.listing.train.with_those_of(again.listing.val)
    groups = [prepare.groups_of(prepared, clips).tolist() for prepared in (first, again)]
    assert groups[0] == groups[1]
    (videos / "red" / "b.mp4").unlink()
    with pytest.raises(CheckpointError, match=r"1 clip is new .*, 1 is gone \(red/b\.mp4\)"):
        prepare.prepare(settings_of(folders), resuming=True)


@pytest.mark.slow
def test_weights_that_moved_or_are_gone_are_no_hindrance(keys, tmp_path):
    weights = weights_file(tmp_path / "w" / "mine.pth")
    named = {**keys, "load_from": str(weights)}
    begun(named, tmp_path / "work")
    moved = tmp_path / "elsewhere"
    (tmp_path / "w").rename(moved)
    for place in (weights, moved / "mine.pth"):
        plan = prepare.prepare(settings_of(keys, load_from=str(place)), resuming=True).plan
        assert plan.pretrained == str(weights)
    plan = prepare.prepare(settings_of(keys, load_from="auto"), resuming=True).plan
    assert plan.pretrained == str(weights)
    with pytest.raises(CheckpointError, match=r"pretrained: .*mine\.pth -> None"):
        prepare.prepare(settings_of(keys, load_from="none"), resuming=True)
    shutil.copy(moved / "mine.pth", moved / "other.pth")
    with pytest.raises(CheckpointError, match=r"mine\.pth -> .*other\.pth"):
        prepare.prepare(settings_of(keys, load_from=str(moved / "other.pth")), resuming=True)


def test_a_work_dir_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="work_dir"):
        prepare.check_work_dir(tmp_path / "file" / "work")


def test_clips_and_lists_of_a_web_server(keys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serve(tmp_path / "data") as server:
        there = {"data_root": f"{server.address}/videos"}
        there |= {f"ann_file_{n}": f"{server.address}/{n}.txt" for n in ("train", "val", "test")}
        prepared = prepare.prepare(settings_of({**keys, **there}), resuming=False)
        assert prepared.listing.data_root == f"{server.address}/videos"
        assert len(prepared.listing.train) == 6
        assert prepared.listing.train.paths[0] == "train red 0.mp4"
        assert sum(path.endswith(".mp4") for path in server.requests) == 12
        server.requests.clear()
        prepare.prepare(settings_of({**keys, **there}), resuming=False)
        assert not any(path.endswith(".mp4") for path in server.requests)
        (tmp_path / "data" / "videos" / "train red 1.mp4").unlink()
        settings = settings_of({**keys, **there}, remote_cache=str(tmp_path / "other"))
        prepared = prepare.prepare(settings, resuming=False)
        assert len(prepared.listing.train) == 5
    reasons = [row["reason"] for row in csv.DictReader(open(tmp_path / "work" / "unreadable.csv"))]
    assert reasons == ["there is no such file on the server."]


def test_parts_of_videos_have_their_own_lengths(keys, tmp_path):
    rows = "".join(f"train {c} {i}.mp4,{c},0.1,0.3\n" for c in COLOURS for i in range(2))
    late = "train red 0.mp4,red,7,\n"
    Path(keys["ann_file_train"]).write_text("path,label,start,end\n" + rows + late)
    for name in ("val", "test"):
        rows = "".join(f"{name} {c} 0.mp4\t{c}\n" for c in COLOURS)
        Path(keys[f"ann_file_{name}"]).write_text(rows)
    prepared = prepare.prepare(settings_of(keys), resuming=False)
    assert prepared.listing.train.segments == ((0.1, 0.3),) * 6
    assert prepared.basis.stats.seconds_median == pytest.approx(0.2)
    (bad,) = csv.DictReader(open(tmp_path / "work" / "unreadable.csv"))
    assert bad["reason"] == "the segment begins at 7 s, but the video ends at 0.5 s"


def test_several_classes_a_clip_are_prepared(keys, tmp_path):
    lines = [
        f"train {c} {i}.mp4\t{c};{'odd' if i else 'even'}\n" for c in COLOURS for i in range(2)
    ]
    Path(keys["ann_file_train"]).write_text("".join(lines))
    for name in ("val", "test"):
        rows = "".join(f"{name} {c} 0.mp4\t{c};even\n" for c in COLOURS)
        Path(keys[f"ann_file_{name}"]).write_text(rows)
    prepared = prepare.prepare(settings_of(keys), resuming=False)
    assert prepared.listing.multi_label
    assert prepared.listing.classes == ("blue", "even", "green", "odd", "red")
    assert prepared.basis.stats.clips_per_class_max == 3
    assert read_list(tmp_path / "work" / "train.csv") == prepared.listing.train


@pytest.mark.slow
def test_a_split_of_ours_keeps_copies_and_sources_together(tmp_path):
    """Of each colour ten clips: a video in two parts, a clip and its copy, and six others."""
    videos = tmp_path / "videos"
    for colour in ("red", "green"):
        (videos / colour).mkdir(parents=True)
        names = [f"{name}.mp4" for name in ("talk part1", "talk part2", "x", "copy", *"abcdef")]
        for seed, name in enumerate(names):
            colour_clip(videos / colour / f"{colour} {name}", colour, seed=seed + len(colour))
        shutil.copy(videos / colour / f"{colour} x.mp4", videos / colour / f"{colour} copy.mp4")
    write_text_video(videos / "red" / "red a.mp4")
    keys = {**TINY, "data_root": str(videos)}
    homes = set()
    for seed in range(6):
        work = {"work_dir": str(tmp_path / str(seed)), "seed": seed}
        listing = prepare.prepare(settings_of({**keys, **work}), resuming=False).listing
        splits = (listing.train, listing.val, listing.test)
        home = {Path(path).name: n for n, split in enumerate(splits) for path in split.paths}
        assert len(home) == 19
        assert [len(split) for split in splits] == [13, 3, 3]
        for colour in ("red", "green"):
            assert home[f"{colour} talk part1.mp4"] == home[f"{colour} talk part2.mp4"]
            assert home[f"{colour} x.mp4"] == home[f"{colour} copy.mp4"]
        homes.add(home["green x.mp4"])
        kept = read_list(tmp_path / str(seed) / "split" / "train.csv").paths
        assert "red/red a.mp4" in kept  # unreadable now, of use once it is mended
    assert len(homes) > 1
    again = prepare.prepare(settings_of({**keys, **work, "seed": 99}), resuming=False).listing
    assert (again.train, again.val, again.test) == splits


@pytest.mark.parametrize(("asked", "told"), [(True, ":4096:8"), (False, None)])
def test_before_planning_uses_a_gpu_it_is_told_to_give_the_same_bits(monkeypatch, asked, told):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    prepare.look_around("cpu", "auto", deterministic=asked)
    found = os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    assert found == told


def test_going_on_with_clips_of_another_folder_is_said(keys, tmp_path, capsys):
    begun(keys, tmp_path / "work")
    shutil.copytree(keys["data_root"], tmp_path / "night")
    capsys.readouterr()
    prepare.prepare(settings_of(keys), resuming=True)
    assert "began with clips from" not in capsys.readouterr().err
    prepare.prepare(settings_of(keys, data_root=str(tmp_path / "night")), resuming=True)
    shown = capsys.readouterr().err
    assert f"began with clips from {keys['data_root']}, and resumes with clips from" in shown
