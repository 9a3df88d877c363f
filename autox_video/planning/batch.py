"""Clips in a step, and what they and the checkpoints take: rules for memory and disk."""

import math

from autox_video.backbones.specs import BackboneFacts
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.machine.hardware import Hardware
from autox_video.planning.source import Chosen

LARGEST_BATCH = 64
LARGEST_SCRATCH_BATCH = 16  # a small model needs many steps more than it needs exact gradients
FEWEST_STEPS_PER_EPOCH = 8
MEMORY_SHARE = 0.6
MOST_AVERAGED = 3  # of the best weights, when training is over
# A parameter: with moments and average in a checkpoint, or alone
BYTES_ON_DISK = 3 * 16 + 3 * 4 + MOST_AVERAGED * 4
FEWEST_CLIPS_KEPT = 4  # that fit in memory, below which gradient checkpointing is worth its time


def room_for_clips(facts: BackboneFacts, hardware: Hardware) -> float:
    """GiB that the clips of a training step may take."""
    # Weights, gradients and AdamW's two moments: 16 bytes a parameter.
    fixed_gib = facts.parameters_millions * 16e6 / 1024**3
    main_gib = hardware.memory_gib / hardware.local_processes
    return (hardware.gpu_memory_gib or main_gib) * MEMORY_SHARE - fixed_gib


def gradient_checkpointing(clips_that_fit: float) -> Chosen:
    """Whether blocks are computed again in the backward pass instead of kept."""
    if clips_that_fit < FEWEST_CLIPS_KEPT:
        return True, f"only {max(int(clips_that_fit), 0)} clips would fit in memory without it"
    return False, f"{int(clips_that_fit)} clips fit in memory without it"


def batch_size(stats: DatasetStats, processes: int, *, scratch: bool) -> Chosen:
    """Clips in a step of all processes together, by what learns well."""
    by_steps = stats.num_train / FEWEST_STEPS_PER_EPOCH
    largest = LARGEST_SCRATCH_BATCH if scratch else LARGEST_BATCH
    most = max(1.0, min(by_steps, largest))
    batch = max(2 ** int(math.log2(most)), processes)
    why = f"{FEWEST_STEPS_PER_EPOCH} steps an epoch or more, {largest} clips at most"
    return math.ceil(batch / processes) * processes, why


def whole_readings(batch: Chosen, repeats: int) -> Chosen:
    """Clips in a step where one reading of a clip gives `repeats` of them: no reading is cut."""
    size, why, *source = batch
    whole = -(-size // repeats) * repeats
    if whole == size:
        return batch
    return whole, f"{why}; more than {size}, as each clip gives {repeats} samples", *source


def accumulation(batch: int, processes: int, clips_that_fit: float) -> Chosen:
    """Parts into which a process must cut its clips of a step to fit in memory."""
    of_each = math.ceil(batch / processes)
    parts = min(of_each, math.ceil(of_each / max(1, int(clips_that_fit))))
    return parts, f"about {max(int(clips_that_fit), 0)} clips fit in memory at a time"


def disk_gib(facts: BackboneFacts) -> Chosen:
    """What the checkpoints of a run take at most, in GiB."""
    return (
        round(facts.parameters_millions * 1e6 * BYTES_ON_DISK / 2**30, 3),
        f"two checkpoints, the best weights twice, one being written, {MOST_AVERAGED} to average",
    )
