"""Results that are there already: of the same test, or of another one that is not to be lost."""

import filecmp
import json
import shutil
from pathlib import Path

from autox_video.core.console import say
from autox_video.core.errors import ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.metrics.results import Prediction


def is_of_clips(content: dict, clips: ClipTable) -> bool:
    """Whether the content of a results.json is of exactly these clips, in their order."""
    nothing = [None] * len(clips)
    rows = zip(clips.paths, clips.labels or nothing, clips.segments or nothing, strict=True)
    wanted = [Prediction(path, label, None, segment=part).record(()) for path, label, part in rows]
    return list(map(_clip, content["predictions"])) == list(map(_clip, wanted))


def _clip(record: dict) -> tuple:
    return record["video"], record["label"], record.get("start"), record.get("end")


def keep_other_results(path: Path, content: dict) -> None:
    """Give results that are to be replaced another name, unless they are of the same test.

    Args:
        path: where `content` is about to be written.
        content: of results.json.

    Raises:
        ResourceError: the file that is there cannot be kept.
    """
    if not path.is_file() or _is_same_test(read_results(path), content):
        return
    number = 1
    while (kept := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        if kept.is_file() and filecmp.cmp(path, kept, shallow=False):
            return
        number += 1
    try:
        shutil.copy2(path, kept)
    except OSError as error:
        raise ResourceError(
            f"test_results_path: {path} holds other results, which cannot be kept as {kept} "
            f"({error.strerror}); give another path."
        ) from error
    say(f"{path} held the results of another test; they are now in {kept}.")


def read_results(path: Path) -> dict | None:
    """Give the content of a results.json; None where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _is_same_test(before: dict | None, now: dict) -> bool:
    """Whether both are of the same weights and clips; results of before named no folder of them."""
    if _test_of(before) != _test_of(now):
        return False
    return before.get("data_root", now["data_root"]) == now["data_root"]


def _test_of(content: dict | None) -> object:
    """What was tested by what; a new object where that is no content of results.json."""
    try:
        clips = [(p["video"], p.get("start"), p.get("end")) for p in content["predictions"]]
        return content["checkpoint_sha256"], content["decoder"], clips
    except (LookupError, TypeError, AttributeError):
        return object()
