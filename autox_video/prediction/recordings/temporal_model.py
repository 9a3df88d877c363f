"""The part of a model that finds segments in recordings: a temporal head and timeline options."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from autox_video.core.errors import CheckpointError, ConfigError
from autox_video.prediction.recordings.step_features import Steps
from autox_video.prediction.timeline import TimelineOptions
from autox_video.prediction.video_prediction import Windows
from autox_video.tasks.localisation.temporal_head import TemporalHead
from autox_video.training.checkpoints.members import TEMPORAL_HEAD, WEIGHTS


@dataclass(frozen=True, slots=True)
class TemporalModel:
    """How segments are found in the steps of a recording."""

    head: TemporalHead | None
    """The temporal head; None if the classifier itself was better."""
    options: TimelineOptions
    """How the timeline is made."""
    figures: Mapping[str, Any]
    """Metrics on the validation recordings: `temporal_head` and `sliding_windows`."""

    def windows(self, steps: Steps) -> Windows:
        """Return the steps of a recording as windows, with the probabilities of each class."""
        scores = steps.classifier
        if self.head is not None:
            scores = self.head.probabilities(steps.features)
        return Windows(steps.edges[:-1], steps.edges[1:], scores.astype(np.float64))

    def stored_in(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of a checkpoint with this part added or replaced."""
        weights = {n: t for n, t in state[WEIGHTS].items() if not n.startswith(PREFIX)}
        about = {
            "head": None if self.head is None else self.head.arguments,
            "timeline": asdict(self.options),
            "figures": dict(self.figures),
        }
        if self.head is not None:
            found = self.head.state_dict().items()
            weights |= {f"{PREFIX}{name}": tensor.detach().cpu() for name, tensor in found}
        return {**state, WEIGHTS: weights, "meta": {**state["meta"], TEMPORAL_HEAD: about}}


PREFIX = f"{TEMPORAL_HEAD}."


def read_temporal(state: Mapping[str, Any], source: str, device: str) -> TemporalModel | None:
    """Return the part stored in a checkpoint's content; None if there is none.

    Args:
        state: the content of the checkpoint.
        source: name of the file, for messages.
        device: device to move the head to.

    Raises:
        CheckpointError: the part is damaged.
    """
    about = state["meta"].get(TEMPORAL_HEAD)
    if about is None:
        return None
    try:
        head = about["head"]
        if head is not None:
            head = TemporalHead(**head)
            head.load_state_dict(_tensors(state[WEIGHTS]))
            head.to(device).eval()
        return TemporalModel(head, TimelineOptions(**about["timeline"]), dict(about["figures"]))
    except (LookupError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise CheckpointError(
            f"{source}: its temporal head is damaged ({reason}). Train again, or use an intact "
            "copy."
        ) from error


def _tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(PREFIX): t for n, t in weights.items() if n.startswith(PREFIX)}
