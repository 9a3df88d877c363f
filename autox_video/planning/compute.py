"""Rules for precision, memory, processes and disk space on this machine."""

import math

from autox_video.backbones.spec import BackboneSpec
from autox_video.config.value_types import OFF
from autox_video.core.errors import ConfigError
from autox_video.planning.choice import GIVEN, Choice, by_rule, by_user
from autox_video.planning.draft import Draft

MEMORY_SHARE = 0.6
HALF_TYPE_SHARE = 0.55  # memory of a clip in a 16-bit dtype, relative to float32
CHECKPOINTING_SHARE = 0.35  # memory of a clip with gradient checkpointing, estimated
FEWEST_CLIPS_KEPT = 4  # if fewer fit in memory, gradient checkpointing is worth its time
COMPILING_SEC = 90.0  # estimated time of compiling a model
SAVED_BY_COMPILING = 0.3  # share of a step's time, estimated; timm's Swin saves 40% on a GPU
GPU_FLOPS = 100e12  # training speed of an H100-class GPU, at 15 to 25% of its published peak
MOST_AVERAGED = 3  # largest number of models in the model soup
CHECKPOINTS, WEIGHT_FILES = 3, 3 + MOST_AVERAGED  # on disk at the same time
LORA_MILLIONS = 100  # a smaller backbone is trained as a whole
LORA_RANK = 16  # as in peft's examples for images
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


def lora(draft: Draft) -> Choice:
    """Choose the rank of the LoRA adapters; 0 to train the backbone's own weights.

    Raises:
        ConfigError: the backbone cannot have adapters, or there is nothing to adapt.
    """
    asked, spec = draft.asked("lora"), draft.spec
    if draft.mode == "probe":
        return by_rule(0, "only a head is fitted")
    if asked == OFF:
        return by_user(0)
    impossible = _why_no_adapters(draft)
    if asked is not None:
        if impossible:
            raise ConfigError(f"lora: {asked} {impossible}")
        return by_user(asked)
    millions = spec.parameters_millions
    if impossible or millions <= LORA_MILLIONS:
        return by_rule(0, "the backbone's own weights are trained")
    may_checkpoint = draft.asked("gradient_checkpointing") is not False
    if _clips_that_fit(draft, checkpointing=may_checkpoint, rank=0) >= 1:
        return by_rule(0, f"the memory is enough to train all {millions:.0f} M parameters")
    needed, memory = _model_gib(spec, rank=0), MEMORY_SHARE * _memory_gib(draft)
    why = f"to train {millions:.0f} M parameters takes {needed:.1f} GiB and more for a clip"
    even = ", even with gradient checkpointing" if may_checkpoint else ""
    return by_rule(LORA_RANK, f"{why}{even}, but {memory:.1f} GiB can be used")


def _why_no_adapters(draft: Draft) -> str:
    """Return the reason, for messages, why the backbone cannot have LoRA adapters; "" if it can."""
    spec = draft.spec
    if not spec.linears:
        what = "such as a transformer of timm or Hugging Face"
        why = f"needs a library's backbone with linear layers in its blocks, {what}; "
        return f"{why}{draft.backbone} cannot have adapters. Set lora: off, or another backbone."
    if draft.scratch:
        return "needs pretrained weights, and none were found. Set `load_from`, or lora: off."
    if draft.freeze == spec.stages:
        return f"adapts nothing, since freeze: {draft.freeze} fixes all stages. Set one of them."
    return ""


def gradient_checkpointing(draft: Draft) -> Choice:
    """Choose whether to recompute activations in the backward pass to save memory."""
    fit = _clips_that_fit(draft, checkpointing=False, rank=draft.lora)
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
    """Choose a number of gradient accumulation parts with which a step fits in memory."""
    checkpointing = draft.gradient_checkpointing
    fit = int(_clips_that_fit(draft, checkpointing=checkpointing, rank=draft.lora))
    clips = math.ceil(draft.batch_size / draft.processes)
    parts = min(clips, math.ceil(clips / max(1, fit)))
    return by_rule(parts, f"about {max(fit, 0)} clips fit in memory at once")


def _clips_that_fit(draft: Draft, *, checkpointing: bool, rank: int) -> float:
    """Return how many clips fit in a training process's memory alongside the model.

    Args:
        draft: the unfinished plan.
        checkpointing: whether activations are recomputed.
        rank: rank of the LoRA adapters; 0 for none.
    """
    cost_gib = draft.spec.gib_per_clip * _size(draft)
    cost_gib *= 1.0 if draft.precision == "float32" else HALF_TYPE_SHARE
    cost_gib *= CHECKPOINTING_SHARE if checkpointing else 1.0
    return (_memory_gib(draft) * MEMORY_SHARE - _model_gib(draft.spec, rank)) / cost_gib


def _memory_gib(draft: Draft) -> float:
    """Return the memory available to each training process, in GiB."""
    hardware = draft.hardware
    return hardware.gpu_memory_gib or hardware.memory_gib / hardware.local_processes


def _model_gib(spec: BackboneSpec, rank: int) -> float:
    """Return the memory needed for weights, gradients and AdamW's two moments, in GiB."""
    every, trained = _parameters_millions(spec, rank)
    return (4e6 * every + 12e6 * trained) / 2**30


def _parameters_millions(spec: BackboneSpec, rank: int) -> tuple[float, float]:
    """Return the total number of parameters and the number of trained ones, both in millions."""
    adapters, every = spec.adapter_millions(rank), spec.parameters_millions
    return every + adapters, adapters if rank else every


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
    every, trained = _parameters_millions(draft.spec, draft.lora)
    # A checkpoint also contains the moments and the EMA of the trained parameters.
    size = 4e6 * every * (CHECKPOINTS + WEIGHT_FILES) + 12e6 * trained * CHECKPOINTS
    why = "two checkpoints, the best weights twice, a file being written, and "
    why += f"{MOST_AVERAGED} weights to average"
    return by_rule(round(size / 2**30, 3), why)
