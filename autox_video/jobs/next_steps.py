"""Suggest useful next commands with the same config as the last command."""

from collections.abc import Mapping

from autox_video.core.console import say
from autox_video.planning.plan import Plan
from autox_video.run.command import other_command

_LABELS: Mapping[str, str] = {
    "test": "Test it",
    "clips": "Predict clips",
    "leaderboard": "All models",
    "longer": "Train longer",
}


def say_next_steps(*steps: str, plan: Plan | None = None) -> None:
    """Print the command line for each step, unless the package is used as a library.

    Args:
        steps: any of `test`, `clips`, `leaderboard` and `longer`; `longer` requires a plan.
        plan: the plan of the model.
    """
    longer = f"epoch={2 * plan.epochs}" if plan else ""
    if plan and plan.time_budget_sec is not None:
        longer = f"time_budget={2 * plan.time_budget_sec:g}s"
    commands = {
        "test": ("test",),
        "clips": ("test", "ann_file_test=LIST"),
        "leaderboard": ("leaderboard",),
        "longer": ("train", longer),
    }
    for step in steps:
        if command := other_command(*commands[step]):
            say(f"{_LABELS[step] + ':':16}{command}", indent=16)
