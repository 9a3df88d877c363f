"""The Parquet file of predictions: its columns, its row groups."""

import itertools
import json

import pytest

from autox_video.prediction.outputs import parquet_file
from autox_video.prediction.outputs.output_files import (
    read_predictions,
    write_predictions,
)
from tests.prediction.outputs.examples import (
    BYTES,
    CLASSES,
    SINGLE,
    assert_same,
    clip,
    long,
    unreadable,
)

parquet = pytest.importorskip("pyarrow.parquet")


def test_a_row_per_window_or_clip(tmp_path):
    path = tmp_path / "x.parquet"
    write_predictions(path, [clip(BYTES, label=1), long(), unreadable()], SINGLE)
    table = parquet.read_table(path)
    rows = table.to_pylist()
    assert [row["window"] for row in rows] == [None, 0, 1, 2, None]
    assert [row["start"] for row in rows] == [0, 0, 1, 2, None]
    assert [row["end"] for row in rows] == [2.5, 2, 3, 4, None]
    assert [row["class"] for row in rows] == [CLASSES[i] for i in (2, 0, 0, 1)] + [None]
    assert [row["score"] for row in rows] == [0.625, 0.75, 0.75, 0.75, None]
    assert rows[3]["scores"] == [0.125, 0.75, 0.125] and rows[3]["video_scores"] is None
    assert rows[1]["video_scores"] == pytest.approx([13 / 24, 1 / 3, 1 / 8])
    assert rows[0]["video"] == "caf\\udce9/\\udcff.mp4"
    assert rows[0]["video_bytes"] == b"caf\xe9/\xff.mp4" and rows[1]["video_bytes"] is None
    assert rows[0]["labels"] == [1] and rows[4]["error"] == 'it is "torn",\nreally'
    assert str(table.schema.field("scores").type) == "list<element: float>"
    facts = json.loads(table.schema.metadata[b"autox_video"])
    assert facts["classes"] == list(CLASSES) and facts["about"]["model"] == "best"


def test_rows_go_into_groups_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_file, "_ROWS", 4)
    path = tmp_path / "x.parquet"
    written = [long(f"{n}.mp4") if n % 3 else clip(f"{n}.mp4") for n in range(10)]
    write_predictions(path, (p for p in written), SINGLE)
    file = parquet.ParquetFile(path)
    assert file.metadata.num_rows == 4 + 6 * 3
    assert [file.metadata.row_group(n).num_rows for n in range(6)] == [4, 4, 4, 4, 4, 2]
    monkeypatch.setattr(parquet_file, "_ROWS", 16)  # batches of one row
    for one, other in itertools.zip_longest(written, read_predictions(path).predictions):
        assert_same(one, other)


def test_reading_holds_little_in_memory(tmp_path):
    path = tmp_path / "x.parquet"
    write_predictions(path, (clip(str(n)) for n in range(1000)), SINGLE)
    stored = read_predictions(path)
    assert [p.video for p in itertools.islice(stored.predictions, 3)] == ["0", "1", "2"]
