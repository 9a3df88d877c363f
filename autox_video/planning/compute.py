"""How the work is laid out on this machine: rules for memory, precision, processes and disk."""

import math

from autox_video.planning.choice import GIVEN, Choice, by_rule, by_user
from autox_video.planning.draft import Draft

MEMORY_SHARE = 0.6
HALF_TYPE_SHARE = 0.55  # memory of a clip in a 16-bit type over that in float32
CHECKPOINTING_SHARE = 0.35  # the same with checkpointing over without: an estimate
FEWEST_CLIPS_KEPT = 4  # that fit in memory, below which gradient checkpointing is worth its time
COMPILING_SEC = 90.0  # an estimate
SAVED_BY_COMPILING = 0.3  # an estimate, below the 40% that timm's Swin saves on a GPU
GPU_FLOPS = 100e12  # an H100-class GPU in training, at the published 15 to 25% of its peak
MOST_AVERAGED = 3  # of the best weights, when training is over
# A parameter: with moments and average in a checkpoint, or alone
BYTES_ON_DISK = 3 * 16 + 3 * 4 + MOST_AVERAGED * 4
LARGEST_BATCH = 64
LARGEST_SCRATCH_BATCH = 16  # a small model needs many steps more than it needs exact gradients
FEWEST_STEPS_PER_EPOCH = 8


def precision(draft: Draft) -> Choice:
    """Number type of the computation."""
    hardware = draft.hardware
    name, others = hardware.device_name, "weights and loss stay float32"
    if not draft.spec.learns:
        return by_rule("float32", f"that of {draft.backbone}")
    if hardware.fast_bfloat16:
        return by_rule("bfloat16", f"fast on {name}; {others}")
    if hardware.fast_float16:
        return by_rule("float16", f"fast on {name}; {others}, the loss is scaled")
    return by_rule("float32", f"the fastest safe type on {name}")


def gradient_checkpointing(draft: Draft) -> Choice:
    """Whether blocks are computed again in the backward pass instead of kept."""
    fit = _clips_that_fit(draft, checkpointing=False)
    if fit < FEWEST_CLIPS_KEPT:
        return by_rule(True, f"only {max(int(fit), 0)} clips would fit in memory without it")
    return by_rule(False, f"{int(fit)} clips fit in memory without it")


def batch_size(draft: Draft) -> Choice:
    """Clips in a step of all processes together, by what learns well."""
    processes, asked = draft.processes, draft.asked("videos_per_gpu")
    if asked is not None:
        why = GIVEN if processes == 1 else f"{asked} of each process, {GIVEN}"
        return by_user(asked * processes, why)
    by_steps = draft.stats.num_train / FEWEST_STEPS_PER_EPOCH
    largest = LARGEST_SCRATCH_BATCH if draft.scratch else LARGEST_BATCH
    most = max(1.0, min(by_steps, largest))
    batch = max(2 ** int(math.log2(most)), processes)
    why = f"{FEWEST_STEPS_PER_EPOCH} steps an epoch or more, {largest} clips at most"
    return by_rule(math.ceil(batch / processes) * processes, why)


def accumulation(draft: Draft) -> Choice:
    """Parts into which a process must cut its clips of a step to fit in memory."""
    fit = int(_clips_that_fit(draft, checkpointing=draft.gradient_checkpointing))
    clips = math.ceil(draft.batch_size / draft.processes)
    parts = min(clips, math.ceil(clips / max(1, fit)))
    return by_rule(parts, f"about {max(fit, 0)} clips fit in memory at a time")


def _clips_that_fit(draft: Draft, *, checkpointing: bool) -> float:
    """Clips of a training step that the memory of a process holds beside the model."""
    hardware, spec = draft.hardware, draft.spec
    # Weights, gradients and AdamW's two moments: 16 bytes a parameter.
    fixed_gib = spec.parameters_millions * 16e6 / 1024**3
    memory_gib = hardware.gpu_memory_gib or hardware.memory_gib / hardware.local_processes
    cost_gib = spec.gib_per_clip * _size(draft)
    cost_gib *= 1.0 if draft.precision == "float32" else HALF_TYPE_SHARE
    cost_gib *= CHECKPOINTING_SHARE if checkpointing else 1.0
    return (memory_gib * MEMORY_SHARE - fixed_gib) / cost_gib


def _size(draft: Draft) -> float:
    """Size of a clip as a multiple of 8x224x224, by which costs are known."""
    return draft.clip_len / 8 * (draft.resolution / 224) ** 2


def compiled(draft: Draft) -> Choice:
    """Whether torch compiles the backbone's blocks."""
    asked, hardware = draft.asked("compile"), draft.hardware
    if asked is not None:
        idle = f"{GIVEN}; does nothing, as there is no C compiler"
        return by_user(asked, idle if asked and not hardware.compiler else GIVEN)
    if hardware.device == "cpu":
        return by_rule(False, "on a CPU it takes longer than it saves")
    if not hardware.compiler:
        return by_rule(False, "there is no C compiler, which it needs")
    clips = draft.epochs * draft.stats.num_train
    # A training step takes three forward passes, each two operations per multiply-accumulate.
    flops = 6 * draft.spec.gmacs_per_clip * 1e9 * _size(draft) * clips
    saved_sec = SAVED_BY_COMPILING * flops / GPU_FLOPS
    why = f"about {saved_sec:.0f} s saved over the run, {COMPILING_SEC:.0f} s to compile"
    return by_rule(saved_sec > COMPILING_SEC, why)


def device(draft: Draft) -> Choice:
    """Where to compute."""
    return by_rule(draft.hardware.device, draft.hardware.device_name)


def processes(draft: Draft) -> Choice:
    """Processes that train together."""
    count, local = draft.hardware.processes, draft.hardware.local_processes
    return by_rule(count, f"{local} on this machine" if count > 1 else "this one")


def workers(draft: Draft) -> Choice:
    """Processes that decode clips, for each that trains."""
    hardware = draft.hardware
    cores = hardware.cores // hardware.local_processes
    if hardware.device == "cpu":
        return by_rule(min(max(cores - 1, 1), 4), "the model needs the other cores")
    return by_rule(min(max(cores - 1, 1), 16), f"{hardware.cores} cores")


def disk_gib(draft: Draft) -> Choice:
    """What the checkpoints of a run take at most, in GiB."""
    size_gib = draft.spec.parameters_millions * 1e6 * BYTES_ON_DISK / 2**30
    why = f"two checkpoints, the best weights twice, one being written, {MOST_AVERAGED} to average"
    return by_rule(round(size_gib, 3), why)
