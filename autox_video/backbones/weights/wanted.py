"""Choose which known weights to fetch for a given device and time budget."""

from collections.abc import Sequence

from autox_video.backbones.weights import known_weights
from autox_video.backbones.weights.known_weights import KnownFile
from autox_video.config.choices import BACKBONES

MIB_PER_SEC = 10.0
"""Assumed download speed, in MiB per second."""

SHARE_OF_BUDGET = 0.1
"""Maximum share of the time budget for fetching weights."""

ON_CPU = ("x3d_m-k400", "x3d_s-k400", "mvit_v2_s", "mobilenetv4_medium")
"""Weights to fetch for training on a CPU, best first. All of these models train in minutes to hours
on a few cores; among models of similar accuracy, the fastest comes first."""

ON_GPU = ("uniformerv2_base-k400", "swin_base-k600", "vjepa2_large", "videoprism_base", "mvit_v2_s")
"""Weights to fetch for training on a GPU, in descending order of published accuracy. Models with a
published fine-tuned accuracy come before models without one."""


def wanted(
    device: str, time_budget_sec: float | None, noncommercial: bool, backbone: str | None
) -> list[KnownFile]:
    """Return the known weights worth fetching, best first.

    Args:
        device: training device, "cpu" or "cuda".
        time_budget_sec: time limit of the whole run, in seconds; None for no limit.
        noncommercial: whether to include weights that are licensed only for noncommercial use.
        backbone: name of the backbone; None for any.
    """
    return [
        known
        for known in _candidates(device, backbone)
        if known.backbone in BACKBONES
        and not known.is_packaged
        and (noncommercial or not known.noncommercial)
        and fits(known, time_budget_sec)
    ]


def fits(known: KnownFile, time_budget_sec: float | None) -> bool:
    """Return whether fetching a file is expected to fit into its share of the time budget."""
    limit_sec = fetch_limit_sec(time_budget_sec)
    return limit_sec is None or known.size_mib / MIB_PER_SEC <= limit_sec


def fetch_limit_sec(time_budget_sec: float | None) -> float | None:
    """Return the time limit for fetching, in seconds; None for no limit."""
    return None if time_budget_sec is None else SHARE_OF_BUDGET * time_budget_sec


def _candidates(device: str, backbone: str | None) -> Sequence[KnownFile]:
    files = known_weights.KNOWN_FILES
    if backbone is not None:
        return [known for known in files if known.backbone == backbone]
    by_name = {known.name: known for known in files}
    names = ON_CPU if device == "cpu" else ON_GPU
    return [by_name[name] for name in names if name in by_name]
