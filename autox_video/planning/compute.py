"""Rules for precision, memory, processes and disk space on this machine."""

import math

from autox_video.planning.choice import GIVEN, Choice, by_rule, by_user
from autox_video.planning.draft import Draft

MEMORY_SHARE = 0.6
HALF_TYPE_SHARE = 0.55  # memory of a clip in a 16-bit dtype, relative to float32
CHECKPOINTING_SHARE = 0.35  # memory of a clip with gradient checkpointing, estimated
FEWEST_CLIPS_KEPT = 4  # if fewer fit in memory, gradient checkpointing is worth its time
COMPILING_SEC = 90.0  # estimated time of compiling a model
SAVED_BY_COMPILING = 0.3  # share of a step's time, estimated; timm's Swin saves 40% on a GPU
GPU_FLOPS = 100e12  # training speed of an H100-class GPU, at 15 to 25% of its published peak
MOST_AVERAGED = 3  # largest number of weights in the model soup
# A parameter takes 16 bytes in a checkpoint (with moments and EMA), and 4 bytes in other weights.
BYTES_ON_DISK = 3 * 16 + 3 * 4 + MOST_AVERAGED * 4
LARGEST_BATCH = 64
LARGEST_SCRATCH_BATCH = 16  # for a small model, many steps matter more than exact gradients
FEWEST_STEPS_PER_EPOCH = 8


def precision(draft: Draft) -> Choice:
    """Choose the precision (dtype) of the backbone."""
    hardware = draft.hardware
    name, others = hardware.device_name, "weights and loss stay in float32"
    if not draft.spec.learns:
        return by_rule("float32", f"the precision of {draft.backbone}")
    if hardware.fast_bfloat16:
        return by_rule("bfloat16", f"fast on {name}; {others}")
    if hardware.fast_float16:
        return by_rule("float16", f"fast on {name}; {others}, with loss scaling")
    return by_rule("float32", f"the fastest safe precision on {name}")


def gradient_checkpointing(draft: Draft) -> Choice:
    """Choose whether to recompute activations in the backward pass to save memory."""
    fit = _clips_that_fit(draft, checkpointing=False)
    if fit < FEWEST_CLIPS_KEPT:
        clips = max(int(fit), 0)
        return by_rule(True, f"without checkpointing, only {clips} clips fit in memory")
    return by_rule(False, f"{int(fit)} clips fit in memory without checkpointing")


def batch_size(draft: Draft) -> Choice:
    """Choose the total batch size over all processes, regardless of memory."""
    processes, asked = draft.processes, draft.asked("videos_per_gpu")
    if asked is not None:
        why = GIVEN if processes == 1 else f"{asked} per process, {GIVEN}"
        return by_user(asked * processes, why)
    by_steps = draft.stats.num_train / FEWEST_STEPS_PER_EPOCH
    largest = LARGEST_SCRATCH_BATCH if draft.scratch else LARGEST_BATCH
    most = max(1.0, min(by_steps, largest))
    batch = max(2 ** int(math.log2(most)), processes)
    why = f"at least {FEWEST_STEPS_PER_EPOCH} steps per epoch, at most {largest} clips"
    return by_rule(math.ceil(batch / processes) * processes, why)


def accumulation(draft: Draft) -> Choice:
    """Choose a number of gradient accumulation parts for which a step fits in memory."""
    fit = int(_clips_that_fit(draft, checkpointing=draft.gradient_checkpointing))
    clips = math.ceil(draft.batch_size / draft.processes)
    parts = min(clips, math.ceil(clips / max(1, fit)))
    return by_rule(parts, f"about {max(fit, 0)} clips fit in memory at once")


def _clips_that_fit(draft: Draft, *, checkpointing: bool) -> float:
    """Return how many clips fit in the memory of a training process, besides the model."""
    hardware, spec = draft.hardware, draft.spec
    # Weights, gradients and AdamW's two moments: 16 bytes per parameter.
    fixed_gib = spec.parameters_millions * 16e6 / 1024**3
    memory_gib = hardware.gpu_memory_gib or hardware.memory_gib / hardware.local_processes
    cost_gib = spec.gib_per_clip * _size(draft)
    cost_gib *= 1.0 if draft.precision == "float32" else HALF_TYPE_SHARE
    cost_gib *= CHECKPOINTING_SHARE if checkpointing else 1.0
    return (memory_gib * MEMORY_SHARE - fixed_gib) / cost_gib


def _size(draft: Draft) -> float:
    """Return the size of a clip relative to 8x224x224, for which the costs are known."""
    return draft.clip_len / 8 * (draft.resolution / 224) ** 2


def compiled(draft: Draft) -> Choice:
    """Choose whether to compile the backbone's blocks with torch.compile."""
    asked, hardware = draft.asked("compile"), draft.hardware
    if asked is not None:
        idle = f"{GIVEN}; no effect: there is no C compiler"
        return by_user(asked, idle if asked and not hardware.compiler else GIVEN)
    if hardware.device == "cpu":
        return by_rule(False, "on a CPU, compiling takes longer than it saves")
    if not hardware.compiler:
        return by_rule(False, "there is no C compiler")
    clips = draft.epochs * draft.stats.num_train
    # A training step costs as much as three forward passes; a multiply-accumulate is 2 operations.
    flops = 6 * draft.spec.gmacs_per_clip * 1e9 * _size(draft) * clips
    saved_sec = SAVED_BY_COMPILING * flops / GPU_FLOPS
    why = f"about {saved_sec:.0f} s saved over the run, {COMPILING_SEC:.0f} s to compile"
    return by_rule(saved_sec > COMPILING_SEC, why)


def device(draft: Draft) -> Choice:
    """Choose the device to train on."""
    return by_rule(draft.hardware.device, draft.hardware.device_name)


def processes(draft: Draft) -> Choice:
    """Choose the number of training processes."""
    count, local = draft.hardware.processes, draft.hardware.local_processes
    return by_rule(count, f"{local} on this machine" if count > 1 else "a single process")


def workers(draft: Draft) -> Choice:
    """Choose the number of data-loading workers per training process."""
    hardware = draft.hardware
    cores = hardware.cores // hardware.local_processes
    if hardware.device == "cpu":
        return by_rule(min(max(cores - 1, 1), 4), "leaves the other cores to the model")
    return by_rule(min(max(cores - 1, 1), 16), f"there are {hardware.cores} CPU cores")


def disk_gib(draft: Draft) -> Choice:
    """Estimate the peak disk usage of a run's checkpoints, in GiB."""
    size_gib = draft.spec.parameters_millions * 1e6 * BYTES_ON_DISK / 2**30
    why = "two checkpoints, the best weights twice, a file being written, and "
    why += f"{MOST_AVERAGED} weights to average"
    return by_rule(round(size_gib, 3), why)
