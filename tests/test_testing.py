"""The second job: which clips are tested, and the table of figures."""

import math
from pathlib import Path

import pytest

from autox_video.calibration import Calibration, calibrated
from autox_video.dataset.listing import ClipList, write_list
from autox_video.errors import CheckpointError, ConfigError, ListingError
from autox_video.read_settings import settings_from_mapping
from autox_video.results import Prediction, Provenance, results
from autox_video.testing import _clips, _refuse_no_numbers, _show


@pytest.fixture
def settings_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train/a/1.mp4", "train/b/1.mp4", "test/a/2.mp4", "test/b/2.mp4"):
        Path("videos", name).parent.mkdir(parents=True, exist_ok=True)
        Path("videos", name).touch()

    def settings_of(**given):
        given = {"data_root": "videos", "work_dir": "work", **given}
        return settings_from_mapping(given, "test")

    return settings_of


def chosen(settings, *, multi_label=False, whole_folder=False):
    return _clips(settings, ("a", "b"), whole_folder=whole_folder, multi_label=multi_label)


def test_the_folders_for_testing_are_tested(settings_of):
    assert chosen(settings_of()).paths == ("test/a/2.mp4", "test/b/2.mp4")
    assert chosen(settings_of()).labels == (0, 1)


def test_the_clips_for_testing_of_a_training_list_are_tested(settings_of):
    rows = ["training,train/a/1.mp4,a", "test,test/a/2.mp4,a,0,1", "test,test/a/2.mp4,b,0,1"]
    Path("l.csv").write_text("\n".join(rows))
    found = chosen(settings_of(ann_file_train="l.csv"), multi_label=True)
    assert (found.paths, found.labels) == (("test/a/2.mp4",), ((0, 1),))
    assert found.segments == ((0.0, 1.0),)


def test_a_test_list_of_several_classes(settings_of):
    Path("t.txt").write_text("test/a/2.mp4 a;b\ntest/b/2.mp4 b\n")
    settings = settings_of(ann_file_test="t.txt")
    assert chosen(settings, multi_label=True).labels == ((0, 1), (1,))


def test_without_clips_to_test_a_list_is_asked_for(settings_of):
    Path("l.txt").write_text("train/a/1.mp4 a\ntrain/b/1.mp4 b\n")
    with pytest.raises(ConfigError, match="ann_file_test: names no list of clips to test"):
        chosen(settings_of(ann_file_train="l.txt"))


def test_every_clip_of_a_folder(settings_of):
    assert len(chosen(settings_of(), whole_folder=True)) == 4


def test_clips_set_aside_are_inside_data_root(settings_of):
    Path("work/split").mkdir(parents=True)
    clips = ClipList(("test/a/2.mp4", "two\nlines.mp4", "../other/1.mp4"), (0, 1, 1))
    write_list("work/split/test.csv", clips)
    with pytest.raises(ListingError, match=r"split/test\.csv:5: clip `\.\./other/1\.mp4` is out"):
        chosen(settings_of())
    assert chosen(settings_of(allow_outside=True)) == clips


def test_scores_that_are_no_numbers_are_the_weights_fault():
    predictions = [
        Prediction("a.mp4", 0, (0.5, 0.5)),
        Prediction("b.mp4", 0, (math.nan, math.nan)),
        Prediction("bad.mp4", 0, None, "cut off"),
    ]
    _refuse_no_numbers(predictions[::2], Path("best.pth"))
    with pytest.raises(CheckpointError, match=r"best\.pth: .* for 1 of 3 clips \(b\.mp4 is"):
        _refuse_no_numbers(predictions, Path("best.pth"))


def test_figures_are_shown_with_intervals_and_calibration(capsys):
    raw = [Prediction(f"{n}.mp4", int(n > 3), (0.9, 0.1)) for n in range(5)]
    calibration = Calibration(2.0, 10, 0.3, 0.1)
    predictions = calibrated(raw, calibration)
    provenance = Provenance("c", "w", "s", "pyav", ("run", "jump"))
    content = results(predictions, provenance, calibration.record(raw))
    _show(content, predictions, provenance.classes)
    out = capsys.readouterr().out
    assert "0.8000 (95%: 0.3755 to 0.9638)" in out
    assert "0.0500 (0.1000 without temperature 2.000 from the 10 clips of validation)" in out
    assert content["metrics"]["intervals"]["top1"] == pytest.approx([0.3755, 0.9638], abs=1e-4)
    assert content["predictions"][0]["score"] == pytest.approx(0.75)


def test_clips_that_call_for_no_temperature_are_said(capsys):
    raw = [Prediction(f"{n}.mp4", 0, (0.9, 0.1)) for n in range(5)]
    calibration = Calibration(1.0, 20, 0.3, 0.3, "cross-validation")
    provenance = Provenance("c", "w", "s", "pyav", ("run", "jump"))
    _show(results(raw, provenance, calibration.record(raw)), raw, provenance.classes)
    shown = "0.1000 (without a temperature: the 20 clips of cross-validation call for none)"
    assert shown in capsys.readouterr().out


def test_the_table_of_several_classes_shows_the_worst(capsys):
    classes = ("run", "jump")
    predictions = [
        Prediction("a.mp4", (0,), (0.9, 0.8), None, True),
        Prediction("b.mp4", (1,), (0.1, 0.4), None, True),
    ]
    content = results(predictions, Provenance("c", "w", "s", "pyav", classes))
    _show(content, predictions, classes)
    out = capsys.readouterr().out
    assert "mAP" in out
    assert "0.7500" in out
    assert "F1 at 0.5" in out
    assert "worst: jump" in out
    assert "top-1" not in out
