"""How clips are loaded for predicting them; the scores do not depend on it."""

from dataclasses import dataclass

from autox_video.distributed import processes
from autox_video.machine.hardware import usable_cores
from autox_video.planning.record import RunRecord

VIEWS_AT_A_TIME = {"cpu": 12, "cuda": 48}
"""Number of views in a batch, by kind of device."""
MOST_WORKERS = 16
MOST_THREADS = 8
"""Maximum number of decoding threads per video."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How clips are loaded; the scores do not depend on these options."""

    batch_size: int
    """Number of videos per batch; all views of a video are in the same batch."""
    workers: int
    """Number of decoding processes."""
    device: str


def loading_of(record: RunRecord, *, workers: int | None, device: str) -> Loading:
    """Return how clips are loaded for a model, given the number of workers or None to choose it."""
    views = 3 * record.plan.test_clips
    cores = usable_cores() // processes.current().local_size
    useful = max(1, cores - 1 if device == "cpu" else min(cores, MOST_WORKERS))
    batch_size = max(1, views_at_a_time(device) // views)
    return Loading(batch_size, useful if workers is None else workers, device)


def views_at_a_time(device: str) -> int:
    """Return the number of views in a batch."""
    return VIEWS_AT_A_TIME[device.partition(":")[0]]


def decoding_threads(workers: int, videos: int) -> int:
    """Return the number of decoding threads per video, so that a few videos use all cores."""
    cores = usable_cores() // processes.current().local_size
    busy = max(1, min(workers, videos))
    return max(1, min(cores // busy, MOST_THREADS))
