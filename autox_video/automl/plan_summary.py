"""Print a short summary of the run, or a table of all choices, before training starts."""

from collections.abc import Iterator
from pathlib import Path

from autox_video.automl.prepare import Prepared
from autox_video.config.choices import BACKBONES
from autox_video.core.console import say, short_path, table
from autox_video.core.durations import duration
from autox_video.core.wording import counted
from autox_video.data.listing.listing import Listing
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Prediction
from autox_video.run.work_dir import RECORD

PURPOSES = {"train": "train", "val": "validation", "test": "test"}
BOTTLENECKS = {"decode": "decoding the clips", "compute": "running the model"}
_LABEL_WIDTH = 10


def show_summary(
    prepared: Prepared, plan: Plan, prediction: Prediction | None, work_dir: Path
) -> None:
    """Print the summary of a run that is about to start."""
    lines = {
        "Clips": clips_text(prepared.inspected),
        "Model": _model_text(plan),
        "Input": _input_text(plan),
        "Training": None if plan.mode == "probe" else _training_text(plan),
        "Time": None if prediction is None else _time_text(plan, prediction),
        "Choices": f"{short_path(work_dir / RECORD)} (autox-video train --plan shows them)",
    }
    for label, text in lines.items():
        if text:
            say(f"{label:{_LABEL_WIDTH}}{text}", indent=_LABEL_WIDTH)


def clips_text(listing: Listing) -> str:
    """Return the numbers of readable clips per split and of skipped clips, as text."""
    readable = {
        name: len(clips) - len(clips.unreadable()) for name, clips in listing.splits.items()
    }
    skipped = sum(map(len, listing.splits.values())) - sum(readable.values())
    parts = ", ".join(f"{count} {PURPOSES[name]}" for name, count in readable.items())
    total, classes = sum(readable.values()), counted(len(listing.classes), "class", "classes")
    end = f"; {skipped} skipped" if skipped else ""
    return f"{total} in {classes}: {parts}{end}"


def _model_text(plan: Plan) -> str:
    spec = BACKBONES[plan.backbone]
    size = f", {spec.parameters_millions:.3g} M parameters" if spec.learns else ""
    weights = "from scratch" + ("" if plan.is_given("pretrained") else " (no weights found)")
    if not spec.learns:
        weights = "fixed features"
    elif plan.pretrained is not None:
        weights = f"weights {Path(plan.pretrained).name}"
    head = "; only the head is trained" if plan.mode == "probe" else ""
    if plan.lora:
        count = f"{spec.adapter_millions(plan.lora):.2g} M parameters"
        head = f"; LoRA adapters of rank {plan.lora} ({count}) and the head are trained"
    return f"{plan.backbone}{size}, {weights}{head}"


def _input_text(plan: Plan) -> str:
    span_sec = plan.clip_len * plan.frame_interval_sec
    size = f"{plan.resolution}x{plan.resolution} px"
    batch = "" if plan.mode == "probe" else f", batch {plan.batch_size}"
    return f"{plan.clip_len} frames of {size} over {span_sec:.2g} s{batch}"


def _training_text(plan: Plan) -> str:
    where = {"cpu": "CPU", "cuda": "GPU"}.get(plan.device.partition(":")[0], plan.device)
    if plan.processes > 1:
        where = f"{plan.processes} {where}s" if where == "GPU" else f"{plan.processes} processes"
    epochs = counted(plan.epochs, "epoch")
    return f"{epochs}, learning rate {plan.lr:.2g}, {plan.precision}, {where}"


def _time_text(plan: Plan, prediction: Prediction) -> str:
    budget = ""
    if plan.time_budget_sec is not None:
        budget = f" (time_budget: {duration(plan.time_budget_sec)})"
    slow = f"; bottleneck: {BOTTLENECKS[prediction.bottleneck]}" if plan.mode != "probe" else ""
    return f"about {duration(prediction.total_sec)}{budget}{slow}"


def show_plan(plan: Plan, prediction: Prediction | None, *, detail: bool) -> None:
    """Print every choice with its reason, and the predicted time if it is known.

    Args:
        plan: the plan of the run.
        prediction: the predicted time of the run.
        detail: if true, the table is only printed when `verbose` is true.
    """
    rows = [
        (name, f"{c.value:.4g}" if isinstance(c.value, float) else str(c.value), c.reason)
        for name, c in plan.choices.items()
    ]
    table("Plan", ("choice", "value", "reason"), rows, detail=detail)
    if prediction is not None and not detail:
        parts = ", ".join(_parts_of_time(prediction))
        say(
            f"Predicted time: {duration(prediction.total_sec)} ({parts}). The bottleneck is "
            f"{BOTTLENECKS[prediction.bottleneck]}."
        )


def _parts_of_time(prediction: Prediction) -> Iterator[str]:
    parts = {
        "preparing": prediction.preparing_sec,
        "training": prediction.training_sec + prediction.saving_sec,
        "evaluating": prediction.evaluating_sec,
        "testing": prediction.testing_sec,
    }
    yield from (f"{what} {duration(sec)}" for what, sec in parts.items() if sec)
