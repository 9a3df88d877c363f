"""Predicting many videos: in parts, after a stop, in several processes, and with labels."""

import json
import re
from collections import Counter

import pytest

from autox_video.core.errors import ListingError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.jobs import predicted_parts
from autox_video.jobs.predict import Request, predict
from autox_video.jobs.predicted_parts import Parts, PartSizes
from autox_video.prediction.timeline import TimelineOptions
from tests.jobs.predictions import KILL_AFTER_PARTS, in_parts, make_clips, make_model, read
from tests.prediction.model_files import CLASSES
from tests.prediction.test_video_model import moving
from tests.videos import write_text_video


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("predict")
    make_model(root)
    make_clips(root / "clips")
    return root


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(predicted_parts, "PART_VIDEOS", 2)


def asked(place, *sources, **others):
    others = {"segments": TimelineOptions(), "device": "cpu", "workers": 0, **others}
    return Request(place / "best.safetensors", [str(source) for source in sources], **others)


# ---- parts ----


@pytest.mark.parametrize(
    ("total", "start", "least", "sizes"),
    [
        (5, 0, 48, [5]),
        (7, 0, 1, [1, 2, 4]),
        (10, 4, 2, [2, 4]),
        (0, 0, 48, []),
        (4, 4, 2, []),
    ],
)
def test_fast_parts_grow(total, start, least, sizes):
    parts = PartSizes(total, start, least)
    rows = list(iter(parts.next, None))
    assert [len(part) for part in rows] == sizes
    assert [row for part in rows for row in part] == list(range(start, total))


def test_slow_parts_do_not_grow_and_no_part_grows_without_end(monkeypatch):
    monkeypatch.setattr(predicted_parts, "PART_SEC", 0.0)
    assert [len(part) for part in iter(PartSizes(7, 0, 3).next, None)] == [3, 3, 1]
    monkeypatch.setattr(predicted_parts, "PART_SEC", 60.0)
    most = max(len(part) for part in iter(PartSizes(100_000, 0, 48).next, None))
    assert most == predicted_parts.MOST_VIDEOS


def test_parts_give_the_same_file_as_one_part(place, small_parts, tmp_path, monkeypatch):
    for name in ("parts.json", "parts.csv", "parts.parquet"):
        assert predict(asked(place, place / "clips", out=tmp_path / name)) == 9
        assert not (tmp_path / f"{name}.parts").exists()
    monkeypatch.setattr(predicted_parts, "PART_VIDEOS", 48)
    for name in ("one.json", "one.csv"):
        predict(asked(place, place / "clips", out=tmp_path / name))
        many = tmp_path / name.replace("one", "parts")
        assert many.read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.slow
def test_what_was_killed_goes_on_where_it_was(place, tmp_path):
    words = [place / "best.safetensors", place / "clips", "--workers=1", "--device=cpu"]
    whole, out = tmp_path / "whole.json", tmp_path / "x.json"
    done = in_parts(*words, "--out", whole, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    more = KILL_AFTER_PARTS.format(count=3, signal=9)
    done = in_parts(*words, "--out", out, cwd=tmp_path, more=more)
    assert done.returncode == -9, done.stderr
    assert not out.exists()
    parts = sorted((tmp_path / "x.json.parts").glob("part-*.json"))
    assert [len(read(part)) for part in parts] == [2, 2, 2]
    times = [part.stat().st_mtime_ns for part in parts]

    count = KILL_AFTER_PARTS.format(count=99, signal=9) + "\nimport atexit"
    count += "\natexit.register(lambda: print('written', [list(r) for r in written]))"
    done = in_parts(*words, "--out", out, cwd=tmp_path, more=count)
    assert done.returncode == 0, done.stderr
    assert "Continuing after 6 of 9 videos" in done.stdout
    assert "written [[6, 7], [8]]" in done.stdout
    assert times == sorted(times)
    assert out.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "x.json.parts").exists()


def test_parts_of_another_prediction_are_refused(place, small_parts, tmp_path):
    out, clips = tmp_path / "x.json", place / "clips"
    videos = ClipTable(tuple(f"{number}.mp4" for number in range(9)))
    Parts(out, videos).open({"model": "another", "windows": False}, overwrite=False)
    with pytest.raises(ResourceError, match=r"x\.json\.parts: .* another model.*--overwrite"):
        predict(asked(place, clips, out=out))
    assert predict(asked(place, clips, out=out, overwrite=True)) == 9
    assert not (tmp_path / "x.json.parts").exists()


def test_a_damaged_folder_of_parts_is_refused_and_a_foreign_one_is_not_deleted(
    place, small_parts, tmp_path
):
    out, folder = tmp_path / "x.json", tmp_path / "x.json.parts"
    folder.mkdir()
    (folder / "thesis.docx").write_text("mine")
    with pytest.raises(ResourceError, match="holds"):
        predict(asked(place, place / "clips", out=out))
    assert (folder / "thesis.docx").exists()


def test_two_commands_do_not_share_a_file(place, small_parts, tmp_path):
    out = tmp_path / "x.json"
    videos = ClipTable(tuple(f"{number}.mp4" for number in range(9)))
    parts = Parts(out, videos)
    parts.open({}, overwrite=False)
    other = Parts(out, videos)
    other.open({}, overwrite=False)
    with parts.lock(), pytest.raises(ResourceError, match="in use"), other.lock():
        pass


def test_labels_come_from_the_list_of_now(place, small_parts, tmp_path):
    """The parts of a stopped prediction hold no labels."""
    paths = [f"{colour}/{number}.mp4" for colour in CLASSES for number in range(3)]
    videos = ClipTable(tuple(str(place / "clips" / path) for path in paths))
    labelled = ClipTable(videos.paths, (1,) * 9, ((0.1, 0.4),) * 9)
    parts = Parts(tmp_path / "x.json", videos)
    parts.open({}, overwrite=False)
    from autox_video.api import AutoXVideo

    model = AutoXVideo.load(place / "best.safetensors", workers=0, device="cpu")
    parts.write(range(9), model.predict_clips(videos))
    again = list(Parts(tmp_path / "x.json", labelled))
    assert {(one.label, one.segment) for one in again} == {(1, (0.1, 0.4))}


@pytest.mark.slow
def test_two_processes_give_the_file_of_one(place, tmp_path):
    write_text_video(tmp_path / "bad.mp4")
    moving(tmp_path / "long.mp4", 60)
    words = [place / "best.safetensors", place / "clips", tmp_path / "bad.mp4"]
    words += [tmp_path / "long.mp4", "--workers=1", "--device=cpu", "--out"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    one = in_parts(*words, "one.json", cwd=tmp_path)
    two = in_parts(*words, "two.json", cwd=tmp_path, launcher=launcher)
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert set(Counter(p["video"] for p in read(tmp_path / "two.json")).values()) == {1}
    assert two.stdout.count("Predictions: ") == two.stderr.count("bad.mp4: cannot be read") == 1


# ---- labels ----


def report_of(done):
    """The metrics, classes and confusions in the report of a test."""
    assert done.returncode == 0, done.stderr
    lines = done.stdout[done.stdout.index("Test on 9 clips") :].splitlines()
    return [line for line in lines if re.search(r"\d of \d|\d to \d", line)]


def test_labelled_videos_are_scored_as_in_a_test(place, command_here, tmp_path, capfd):
    data = [f"{colour}/{n}.mp4 {colour}\n" for colour in CLASSES for n in range(3)]
    (tmp_path / "test.txt").write_text("".join(data))
    common = {"cwd": tmp_path}
    words = [f"ann_file_test={tmp_path / 'test.txt'}", f"data_root={place / 'clips'}"]
    words += [f"work_dir={tmp_path}", "device=cpu", "workers=0"]
    (tmp_path / "best.pth").write_bytes((place / "best.pth").read_bytes())
    tested = command_here("autotest.py", *words, **common)
    model, options = place / "best.safetensors", ["--device=cpu", "--workers=0"]
    done = command_here(
        "predict",
        model,
        "test.txt",
        f"--{words[1]}".replace("_", "-", 1),
        "--out=x.json",
        *options,
        **common,
    )
    assert report_of(done) == report_of(tested)
    folder = command_here("predict", model, place / "clips", *options, **common)
    assert report_of(folder)[0] == report_of(tested)[0]  # the other intervals depend on the order
    results = json.loads((tmp_path / "results.json").read_text())["predictions"]
    for ours, theirs in zip(read(tmp_path / "x.json"), results, strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=2e-6)


def test_without_labels_for_all_nothing_is_scored(place, tmp_path, capfd):
    moving(tmp_path / "one.mp4", 8)
    assert predict(asked(place, place / "clips", tmp_path / "one.mp4")) == 10
    assert "Test on" not in capfd.readouterr().out


# ---- what cannot be read ----


def test_a_list_with_missing_and_broken_videos_is_predicted(place, tmp_path, capfd):
    write_text_video(tmp_path / "bad.mp4")
    good = place / "clips/red/0.mp4"
    (tmp_path / "list.csv").write_text(f"path\nbad.mp4\nnone.mp4\n{good}\n")
    assert predict(asked(place, tmp_path / "list.csv", out=tmp_path / "x.json")) == 1
    bad, none, read_one = read(tmp_path / "x.json")
    assert [bad["status"], none["status"], read_one["status"]] == ["unreadable"] * 2 + ["ok"]
    assert "none.mp4" in none["error"]
    told = capfd.readouterr().err
    assert "bad.mp4: cannot be read" in told
    assert "none.mp4: cannot be read" in told


def test_a_list_of_missing_videos_alone_is_a_mistake(place, tmp_path):
    (tmp_path / "list.txt").write_text("a.mp4\nb.mp4\n")
    with pytest.raises(ListingError, match="none of the 2 listed clips exists"):
        predict(asked(place, tmp_path / "list.txt"))


def test_only_the_first_unreadable_videos_are_named(place, tmp_path, capfd):
    for number in range(12):
        write_text_video(tmp_path / f"{number}.mp4")
    assert predict(asked(place, tmp_path)) == 0
    told = capfd.readouterr().err
    assert told.count(": cannot be read") == 10
    assert "2 more videos cannot be read" in told
