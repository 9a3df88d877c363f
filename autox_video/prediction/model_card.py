"""Show the facts about a model file as lines for the terminal, and as a card in Markdown.

The card has the form of the model cards of the Hugging Face hub: YAML, then sections.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from autox_video.core.console import printable
from autox_video.core.wording import counted
from autox_video.machine.installation import PROJECT
from autox_video.metrics.headline import said
from autox_video.metrics.intervals import CROSS_VALIDATION, VALIDATION
from autox_video.prediction.model_facts import ENSEMBLE, PROBE, TRAINED, UNKNOWN, Facts

MOST_CLASSES = 60
"""Number of classes above which only the first ones are shown."""
FIRST_CLASSES = 10
LABEL_WIDTH = 13
_KINDS = {TRAINED: "trained network", PROBE: "probe, a head on fixed features", ENSEMBLE: ENSEMBLE}
_TASKS = {
    "single_label": "video classification, one class per video",
    "multi_label": "video classification, any number of classes per video",
}
_HUB_LICENCES = frozenset(
    ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", UNKNOWN)
)
"""Licences that the hub knows by these names."""
_MARKUP = re.compile(r"([\\`*_\[\]<>|~&]|^[#+-]|(?<=^\d)[.)])")
"""Characters with a meaning in Markdown; some have it only at the beginning of a text."""


def card_lines(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the facts as labels and texts, one line each."""
    models = facts["models"]
    yield "model", f"{facts['file']}: {_what(facts)}"
    yield "task", _task(facts)
    yield "classes", _classes(facts["classes"], MOST_CLASSES)
    for model in models:
        share = f"{model['share']:.0%} of the mean: " if len(models) > 1 else ""
        yield "backbone", f"{share}{_backbone(model)}"
        yield "input", _input(model["input"])
    yield "licence", _licence_text(models)
    yield "score", _score(facts)
    yield "calibration", _calibration(facts)
    parameters = sum(model["parameters"] for model in models)
    yield "size", f"{facts['bytes'] / 2**20:.1f} MiB, {parameters:,} parameters"
    yield "made with", _versions(models)


def card_markdown(facts: Facts) -> str:
    """Return the model card as Markdown."""
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(facts), sort_keys=False, allow_unicode=True)}---",
        f"# {_title(facts)}",
        f"{_escaped(_task(facts))}. A model file of {PROJECT}: {_what(facts)}.",
        "## Use\n\n" + _use(facts["file"]),
        f"## Classes\n\n{_class_list(facts['classes'])}",
        "## Model\n\n" + "\n".join(f"- {_escaped(line)}" for line in _model_lines(facts)),
        f"## How it was measured\n\n{_measured(facts)}",
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(facts)),
    ]
    return "\n\n".join(parts) + "\n"


# ---- texts of both ----


def _what(facts: Facts) -> str:
    kind = _KINDS[facts["kind"]]
    if facts["kind"] == ENSEMBLE:
        kind = f"{kind} of {counted(len(facts['models']), 'model')}"
    return f"{kind}, trained on {counted(facts['train_clips'], 'clip')}"


def _task(facts: Facts) -> str:
    task = _TASKS.get(facts["task"], facts["task"])
    return f"{task[0].upper()}{task[1:]}"


def _classes(names: Sequence[str], most: int) -> str:
    shown = names if len(names) <= most else names[:FIRST_CLASSES]
    listed = ", ".join(map(printable, shown))
    more = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    return f"{len(names)}: {listed}{more}"


def _backbone(model: Facts) -> str:
    weights = model["pretrained"]
    if weights is None:
        return f"{model['backbone']}, no pretrained weights"
    name = f"{model['backbone']}, pretrained weights {weights['name']}"
    return f"{name} ({weights['trained_on']}; licence {weights['licence']})"


def _input(given: Facts) -> str:
    rate = 1 / given["frame_interval_sec"]
    views = f"{given['clips']} x {given['crops']} views of a clip in a test"
    return (
        f"{given['frames']} frames over {given['span_sec']:.3g} s ({rate:.3g} per second), "
        f"{given['side']}x{given['side']} px; {views}"
    )


def _licences(models: Sequence[Facts]) -> list[str]:
    """Return the licences of all pretrained weights, without repetitions."""
    found = [model["pretrained"]["licence"] for model in models if model["pretrained"]]
    return list(dict.fromkeys(found))


def _forbids_commerce(models: Sequence[Facts]) -> bool:
    return any(model["pretrained"] and model["pretrained"]["noncommercial"] for model in models)


def _licence_text(models: Sequence[Facts]) -> str:
    licences = _licences(models)
    if not licences:
        return "trained without weights of others"
    terms = ", not for commercial use" if _forbids_commerce(models) else ""
    return f"{', '.join(licences)} (of the pretrained weights){terms}"


def _score(facts: Facts) -> str:
    if facts["score"] is None:
        return "not measured"
    refit = "; before the refit on train + validation" if facts["refit"] else ""
    return f"{said(facts['metrics'])}{refit}"


def _calibration(facts: Facts) -> str:
    found = facts["calibration"]
    if found is None:
        return "none" + (" after the refit on train + validation" if facts["refit"] else "")
    on = counted(found["clips"], "clip" if found["on"] == CROSS_VALIDATION else "validation clip")
    how = f"by {CROSS_VALIDATION} " if found["on"] == CROSS_VALIDATION else ""
    return (
        f"temperature {found['temperature']:.3g}, fitted {how}on {on}; calibration error "
        f"{found['ece_before']:.3f} before, {found['ece_after']:.3f} after"
    )


def _versions(models: Sequence[Facts]) -> str:
    each = (f"{n} {v}" for model in models for n, v in model["versions"].items())
    return ", ".join(dict.fromkeys(each)) or "unknown versions"


# ---- the card in Markdown ----


def _front_matter(facts: Facts) -> dict[str, Any]:
    families = [model["backbone"].partition(":")[0] for model in facts["models"]]
    return {
        **_licence_keys(_licences(facts["models"])),
        "library_name": PROJECT,
        "pipeline_tag": "video-classification",
        "tags": list(dict.fromkeys(["video-classification", PROJECT, *families])),
    }


def _licence_keys(licences: Sequence[str]) -> dict[str, str]:
    """Return the entries for the licence; several ones, or one unknown to the hub, are `other`."""
    if not licences:
        return {"license": UNKNOWN}
    names = [name.lower() for name in licences]
    if len(names) == 1 and names[0] in _HUB_LICENCES:
        return {"license": names[0]}
    return {"license": "other", "license_name": ", ".join(names)}


def _title(facts: Facts) -> str:
    return f"Video classifier with {counted(len(facts['classes']), 'class', 'classes')}"


def _use(file: str) -> str:
    return (
        "```python\nfrom autox_video import AutoXVideo\n\n"
        f'model = AutoXVideo.load({file!r})\npredictions = model.predict("clip.mp4")\n```\n\n'
        f"In a terminal: `autox-video predict {file} clip.mp4`"
    ).replace("'", '"')


def _class_list(names: Sequence[str]) -> str:
    return "\n".join(f"{number}. {_escaped(name)}" for number, name in enumerate(names, 1))


def _model_lines(facts: Facts) -> Iterator[str]:
    for label, text in card_lines(facts):
        if label not in ("model", "task", "classes", "score"):
            yield f"{label}: {text}"


def _measured(facts: Facts) -> str:
    if facts["score"] is None:
        return "The model was not measured."
    score = facts["score"]
    how = {
        VALIDATION: "clips that were not used for training, but to choose the model",
        CROSS_VALIDATION: "training clips, each predicted by models trained without it",
    }[score["scored_on"]]
    text = f"{_escaped(_score(facts))}. Measured on {how}."
    return text[0].upper() + text[1:]


def _limits(facts: Facts) -> Iterator[str]:
    yield "The model knows only the classes above, also for a video that shows none of them."
    yield "The score holds for clips like those of the training data; expect less on others."
    if facts["train_clips"] < 1000:
        yield f"Trained on only {counted(facts['train_clips'], 'clip')}."
    if facts["calibration"] is None:
        yield "The probabilities are not calibrated."
    if _forbids_commerce(facts["models"]):
        yield "The licence of the pretrained weights excludes commercial use."


def _escaped(text: str) -> str:
    """Return a text without control characters, in which Markdown has no meaning."""
    return _MARKUP.sub(r"\\\1", printable(text))
