"""What all output formats have in common: the check before, atomic writing, reading again."""

import json
import os
from dataclasses import replace

import pytest

from autox_video.core.errors import AutoXVideoError, ConfigError, InstallError
from autox_video.prediction.outputs.output_files import (
    check_output,
    read_predictions,
    write_predictions,
)
from tests.prediction.outputs.examples import (
    MULTI,
    SINGLE,
    assert_same,
    clip,
    long,
    of_all_kinds,
)

SUFFIXES = (".json", ".csv", ".parquet", ".srt")


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_what_was_written_is_read_again(suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    written = of_all_kinds()
    write_predictions(path, iter(written), SINGLE)
    stored = read_predictions(path)
    assert stored.header.classes == written[0].classes
    assert stored.header.about == {**SINGLE, "overlaps": False}
    read = list(stored.predictions)
    assert len(read) == len(written)
    for one, other in zip(written, read, strict=True):
        # Only the bytes of file names come back, not other surrogates.
        one = (
            replace(one, video="\\ud800.mp4")
            if suffix == ".parquet" and "\ud800" in one.video
            else one
        )
        assert_same(one, other)


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_label_sets_are_read_again(suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    written = [clip(label=(0, 2)), clip(label=()), long(label=(1,))]
    write_predictions(path, written, MULTI)
    assert [p.label for p in read_predictions(path).predictions] == [(0, 2), (), (1,)]
    assert read_predictions(path).header.about["overlaps"] is True


@pytest.mark.parametrize("suffix", [".json", ".parquet", ".csv"])
def test_no_predictions_make_an_empty_file(suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    write_predictions(path, [], {**SINGLE, "classes": ("a", "b")})
    if suffix != ".csv":
        stored = read_predictions(path)
        assert stored.header.classes == ("a", "b") and list(stored.predictions) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_overwritten_unasked(suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    check_output(path)
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists already.*--overwrite"):
        check_output(path)
    assert path.read_text() == "mine"
    check_output(path, overwrite=True)
    dangling = tmp_path / f"y{suffix}"
    dangling.symlink_to(tmp_path / "absent")
    with pytest.raises(ConfigError, match="exists already"):
        check_output(dangling)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_the_old_file(suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    path.write_text("old")

    def failing():
        yield clip()
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        write_predictions(path, failing(), SINGLE)
    assert path.read_text() == "old" and os.listdir(tmp_path) == [path.name]


def test_paths_that_cannot_be_written_are_refused_before(tmp_path):
    (tmp_path / "folder.json").mkdir()
    for name, why in (
        ("x", "suffix must be one of .json, .csv, .parquet, .srt"),
        ("x.txt", "suffix must be"),
        ("absent/x.json", "there is no folder"),
        ("folder.json", "is a folder"),
    ):
        with pytest.raises(ConfigError, match=why):
            check_output(tmp_path / name)
    check_output(tmp_path / "X.JSON")
    check_output(tmp_path / "x.json", videos=3)
    with pytest.raises(ConfigError, match="hold one video, and 3 are given"):
        check_output(tmp_path / "x.srt", videos=3)


def test_without_pyarrow_a_sentence_says_so_before(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(InstallError, match="pip install pyarrow"):
        check_output(tmp_path / "x.parquet")
    with pytest.raises(InstallError, match="pip install pyarrow"):
        write_predictions(tmp_path / "x.parquet", [clip()], SINGLE)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(InstallError, match="pip install pyarrow"):
        read_predictions(tmp_path / "x.parquet")


def damaged(path):
    """Files that are not predictions, by what is wrong with them."""
    write_predictions(path, [long(), clip()], SINGLE)
    whole = path.read_bytes()
    yield "", "not a file of predictions"
    yield "[]", "not a file of predictions"
    yield whole[: len(whole) // 2], "not a file of predictions"
    if path.suffix == ".json":
        content = json.loads(whole)
        yield json.dumps({"schema": 1, "predictions": []}), "not a file of predictions"
        yield json.dumps({**content, "schema": 2}), "schema is 2.*update"
        yield json.dumps({**content, "classes": None}), "not a file of predictions"
        yield json.dumps({**content, "predictions": [{"video": "x"}]}), "not a file of predictions"
        content["predictions"][0]["windows"][1]["scores"].pop()
        yield json.dumps(content), "not a file of predictions"


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_damaged_and_foreign_files_get_a_sentence(suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    for content, why in list(damaged(path)):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(AutoXVideoError, match=why) as caught:
            list(read_predictions(path).predictions)
        assert len(caught.value.problems) == 1
    for name, why in (
        ("absent.json", "no file"),
        ("x.csv", "cannot be read again"),
        ("x", "suffix"),
    ):
        with pytest.raises(ConfigError, match=why):
            read_predictions(tmp_path / name)


def test_a_foreign_parquet_file_gets_a_sentence(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"video": ["a"], "scores": [[0.5]]})
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match="not a file of predictions"):
        read_predictions(tmp_path / "x.parquet")
