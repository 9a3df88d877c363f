"""Store ensembles in weight files.

An ensemble's file is the checkpoint of its main model, with an additional entry, `members`, for the
other models. Code that does not support ensembles therefore finds the main model in the file.

The tensors of a temporal head, which finds segments, are stored beside the weights of the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autox_video.backbones.weights.tensor_file import OTHERS
from autox_video.core.errors import CheckpointError

MEMBERS, SHARE, TEMPERATURE = "members", "share", "temperature"
"""Key of the entry for the other members, and a member's keys besides its record and weights."""
RECORD, WEIGHTS = "record", "state_dict"
TEMPORAL_HEAD = "temporal_head"
"""Key in `meta` of the description of a temporal head, and prefix of its tensors' names."""


@dataclass(frozen=True, slots=True)
class Member:
    """A model in an ensemble."""

    record: Mapping[str, Any]
    """The record of the model, as returned by `model_record`."""
    state: Mapping[str, Tensor]
    """The weights of the model."""
    share: float = 1.0
    """Share of the model in the mean of all outputs."""
    temperature: float = 1.0
    """Temperature by which the model's outputs are divided before averaging."""

    @property
    def numbers(self) -> dict[str, float]:
        """The share and the temperature."""
        return {SHARE: self.share, TEMPERATURE: self.temperature}


def joined(members: Sequence[Member], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a checkpoint for an ensemble; the first member is the main model."""
    main, *others = members
    return {
        WEIGHTS: dict(main.state),
        "meta": {**meta, RECORD: main.record, MEMBERS: main.numbers},
        MEMBERS: [
            {RECORD: dict(one.record), WEIGHTS: dict(one.state), **one.numbers} for one in others
        ],
    }


def members_of(state: Mapping[str, Any], source: str) -> list[Member]:
    """Return the models in a checkpoint, given its content, starting with the main model.

    A checkpoint without an ensemble yields a single model.

    Args:
        state: the content of the checkpoint.
        source: name of the file, for messages.

    Raises:
        CheckpointError: an entry for the ensemble is missing or invalid.
    """
    meta = state["meta"]
    try:
        about = meta.get(MEMBERS) or Member({}, {}).numbers
        weights = {
            name: tensor
            for name, tensor in state[WEIGHTS].items()
            if not name.startswith(f"{TEMPORAL_HEAD}.")
        }
        entries = [
            {RECORD: meta.get(RECORD, {}), WEIGHTS: weights, **about},
            *state.get(MEMBERS, ()),
        ]
        if not all(isinstance(t, Tensor) for one in entries for t in one[WEIGHTS].values()):
            raise TypeError("a weight is not a tensor")
        return [
            Member(one[RECORD], one[WEIGHTS], float(one[SHARE]), float(one[TEMPERATURE]))
            for one in entries
        ]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{source}: the entries of the ensemble or its weights are invalid ({error}). Train "
            "again, or use an intact copy."
        ) from error


# ---- in safetensors files, which hold a flat set of tensors ----


def flattened(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return all tensors of a checkpoint under distinct names, and a `meta` with all the rest."""
    tensors, meta = dict(state[WEIGHTS]), dict(state["meta"])
    if MEMBERS not in state:
        return tensors, meta
    entries = [{k: v for k, v in one.items() if k != WEIGHTS} for one in state[MEMBERS]]
    for number, one in enumerate(state[MEMBERS]):
        tensors |= {f"{_prefix(number)}{name}": tensor for name, tensor in one[WEIGHTS].items()}
    return tensors, {**meta, MEMBERS: {**meta[MEMBERS], MEMBERS: entries}}


def unflattened(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checkpoint whose tensors and `meta` were returned by `flattened`."""
    tensors, meta = dict(state[WEIGHTS]), dict(state["meta"])
    about = meta.get(MEMBERS)
    entries = about.get(MEMBERS) if isinstance(about, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(one, Mapping) for one in entries):
        return dict(state)
    numbers = {key: value for key, value in about.items() if key != MEMBERS}
    members = []
    for number, entry in enumerate(entries):
        prefix = _prefix(number)
        own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        tensors = {n: t for n, t in tensors.items() if not n.startswith(prefix)}
        members.append({**entry, WEIGHTS: own})
    return {WEIGHTS: tensors, "meta": {**meta, MEMBERS: numbers}, MEMBERS: members}


def _prefix(number: int) -> str:
    return f"{OTHERS}{number}."
