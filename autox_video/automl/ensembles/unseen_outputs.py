"""Model outputs for clips that the models were not trained on.

Shape letters: R repeats, n clips, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

UNSEEN = "unseen"
"""Entry in a probe's file that holds the probe's outputs, keyed by list (`train` or `val`)."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Outputs of a model, or of models trained alike, for clips that were not used for training."""

    positions: np.ndarray
    """Rows (n,) of the clips in their list."""
    outputs: np.ndarray
    """Outputs (R, n, K) as returned by `Task.outputs`."""

    def of(self, positions: np.ndarray) -> np.ndarray:
        """Return the outputs (R, m, K) for the clips at the m given positions."""
        row = {position: number for number, position in enumerate(self.positions.tolist())}
        return self.outputs[:, [row[position] for position in positions.tolist()]]


def stored(unseen: Mapping[str, Unseen]) -> dict[str, Any]:
    """Return the outputs as an entry for a checkpoint."""
    return {
        UNSEEN: {
            name: {
                "positions": torch.from_numpy(one.positions.astype(np.int64)),
                "outputs": torch.from_numpy(one.outputs.astype(np.float32)),
            }
            for name, one in unseen.items()
        }
    }


def read_unseen(state: Mapping[str, Any], name: str) -> Unseen | None:
    """Return the outputs for a list from a checkpoint; None if they are missing or invalid."""
    try:
        entry = state[UNSEEN][name]
        found = Unseen(entry["positions"].numpy(), entry["outputs"].numpy().astype(np.float64))
    except (LookupError, TypeError, AttributeError):
        return None
    is_valid = found.outputs.ndim == 3 and found.outputs.shape[1] == len(found.positions)
    return found if is_valid and np.isfinite(found.outputs).all() else None
