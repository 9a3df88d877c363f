"""Predictions as Parquet: one row per window, or per video that was predicted as one clip.

Rows are written in groups, so a file can hold more predictions than fit into memory.

Shape letters: N rows, K classes.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.core.errors import InstallError, ResourceError
from autox_video.core.files import json_text
from autox_video.prediction.outputs.output_format import (
    KEEP_BYTES,
    OUTPUTS,
    Header,
    OutputFormat,
    StoredPredictions,
    finite,
    header_of,
    not_predictions,
    segment_of,
)
from autox_video.prediction.timeline import TimelineOptions
from autox_video.prediction.video_prediction import (
    VideoPrediction,
    Windows,
    one_row_windows,
    rounded_seconds,
)

KEY = b"autox_video"
"""Key of the header in the file's metadata."""
_ROWS, _SCORES = 1 << 16, 1 << 22
"""Maximum number of rows, and of scores, in a row group."""


def check() -> None:
    """Raise InstallError if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise InstallError(
            "out: .parquet files need the package pyarrow, which cannot be imported: run "
            "`pip install pyarrow`, or give a .json or .csv file."
        ) from error


def _schema(header: Header) -> Any:
    import pyarrow as pa

    scores = pa.list_(pa.float32())
    fields = {
        "video": pa.string(),
        "window": pa.int32(),
        "start": pa.float64(),
        "end": pa.float64(),
        "class": pa.string(),
        "score": pa.float32(),
        "scores": scores,
        "error": pa.string(),
        "seconds": pa.float64(),
        "labels": pa.list_(pa.int32()),
        "part_start": pa.float64(),
        "part_end": pa.float64(),
        "video_scores": scores,
        "video_bytes": pa.binary(),
    }
    return pa.schema(list(fields.items()), {KEY: json_text(header.record()).encode()})


def write(
    path: Path,
    predictions: Iterable[VideoPrediction],
    header: Header,
    options: TimelineOptions | None,
) -> None:
    """Write a row per window; timelines are not stored, as they are computed from the windows.

    `window` counts the windows of a video; it is null if the video was predicted as one clip.
    `part_start` and `part_end` are given for a part of a video; a `part_end` of null is its end.
    `video_scores`, in the first row of a video with windows, are the scores of the whole video.
    `video_bytes` are the bytes of a name that is not text.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = _schema(header)
    rows_per_group = max(1, min(_ROWS, _SCORES // max(len(header.classes), 1)))
    rows: list[dict[str, Any]] = []
    with ParquetWriter(path, schema, compression="zstd") as writer:
        for prediction in predictions:
            rows += _rows(prediction)
            while len(rows) >= rows_per_group:
                writer.write_table(pa.Table.from_pylist(rows[:rows_per_group], schema))
                del rows[:rows_per_group]
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _rows(prediction: VideoPrediction) -> Iterator[dict[str, Any]]:
    label, name = prediction.label, _text(prediction.video)
    part = finite(prediction.segment or (None, None))
    video = {
        "video": name,
        "error": None if prediction.error is None else _text(prediction.error),
        "seconds": prediction.seconds,
        "labels": None if label is None else np.atleast_1d(label).astype(int).tolist(),
        "part_start": part[0],
        "part_end": part[1],
        "video_bytes": None if name == prediction.video else _bytes(prediction.video),
    }
    if not prediction.is_readable:
        yield video
        return
    windows = one_row_windows(prediction)
    is_clip = prediction.windows is None
    for number, scores in enumerate(windows.scores):
        best = int(np.argmax(scores))
        has_end = not is_clip or prediction.seconds is not None
        yield {
            **video,
            "window": None if is_clip else number,
            "start": rounded_seconds(windows.starts[number]),
            "end": rounded_seconds(windows.ends[number]) if has_end else None,
            "class": _text(prediction.classes[best]),
            "score": scores[best],
            "scores": scores,
            "video_scores": prediction.scores if number == 0 and not is_clip else None,
        }


def _text(text: str) -> str:
    """Return text in which surrogates, which Parquet cannot store, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", KEEP_BYTES)


# ---- reading ----


def read(path: Path) -> StoredPredictions:
    """Read a file that `write` wrote; the rows are read while the result is iterated over.

    Raises:
        ConfigError: the file is damaged, from a later version, or not a file of predictions.
        ResourceError: the file cannot be read.
        InstallError: pyarrow is not installed.
    """
    check()
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(path)
        record = json.loads((file.schema_arrow.metadata or {}).get(KEY, b"null"))
    except (pa.ArrowException, ValueError) as error:
        raise not_predictions(path) from error
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror or error}).") from error
    header = header_of(record, path)
    if not set(_schema(header).names) <= set(file.schema_arrow.names):
        raise not_predictions(path)
    return StoredPredictions(header, _predictions(file, path, header))


def _predictions(file: Any, path: Path, header: Header) -> Iterator[VideoPrediction]:
    """Yield the predictions of a file, one row group in memory at a time."""
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    with file:
        try:
            for batch in file.iter_batches(batch_size=_ROWS // 16):
                for row in _read_rows(batch, len(header.classes)):
                    if rows and not row["window"]:  # the first row of another video
                        yield _prediction(rows, header)
                        rows = []
                    rows.append(row)
            if rows:
                yield _prediction(rows, header)
        except (pa.ArrowException, OSError, ValueError, TypeError) as error:
            raise not_predictions(path) from error


def _read_rows(batch: Any, num_classes: int) -> Iterator[dict[str, Any]]:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    scores = {name: _matrix(columns.pop(name), num_classes) for name in ("scores", "video_scores")}
    values = [column.to_pylist() for column in columns.values()]
    for number, row in enumerate(zip(*values, strict=True)):
        yield {
            **dict(zip(columns, row, strict=True)),
            **{name: rows[number] for name, rows in scores.items()},
        }


def _matrix(column: Any, num_classes: int) -> list[np.ndarray | None]:
    """Return each row of a column of lists as an array (K,); None for a null."""
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(float)
    rows = iter(flat.reshape(-1, num_classes))
    return [next(rows) if is_there else None for is_there in column.is_valid().to_pylist()]


def _prediction(rows: Sequence[dict[str, Any]], header: Header) -> VideoPrediction:
    first = rows[0]
    labels, is_clip = first["labels"], first["window"] is None
    windows = None
    if not is_clip:
        starts, ends = (np.array([row[key] for row in rows], float) for key in ("start", "end"))
        windows = Windows(starts, ends, np.stack([row["scores"] for row in rows]))
    name = first["video"]
    if first["video_bytes"] is not None:
        name = first["video_bytes"].decode("utf-8", "surrogateescape")
    return VideoPrediction(
        video=name,
        classes=header.classes,
        scores=first["scores"] if is_clip else first["video_scores"],
        seconds=first["seconds"],
        windows=windows,
        error=first["error"],
        label=None if labels is None else _label(labels, header),
        segment=segment_of(first["part_start"], first["part_end"]),
    )


def _label(labels: list[int], header: Header) -> int | tuple[int, ...]:
    return tuple(labels) if header.about.get("overlaps") else labels[0]


OUTPUTS.register(".parquet")(OutputFormat(write, read, check))
