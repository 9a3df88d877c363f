"""The current command line, which is used to suggest the next command."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

_words: list[str] | None = None


def remember_command(words: Sequence[str]) -> None:
    """Remember the current command: its name, config, overrides and flags."""
    global _words
    _words = list(words)


def other_command(name: str, *words: str) -> str | None:
    """Return another command's command line with the same config; None if no command is running.

    Args:
        name: name of the other command, such as train, test or leaderboard.
        words: arguments to append; each one replaces the current command's argument with the same
            key.
    """
    if not _words:
        return None
    replaced = {word.partition("=")[0] for word in words}
    if any("=" not in word or word.startswith("data_root=") for word in _words[1:]):
        replaced.add("from_plan")  # only needed for new runs, unless it provides the clips
    kept = [
        word
        for word in _words[1:]
        if not word.startswith("-") and word.partition("=")[0] not in replaced
    ]
    script = Path(sys.argv[0]).name
    program = ["autox-video", name]
    if script in ("autotrain.py", "autotest.py"):
        own = {"train": "autotrain.py", "test": "autotest.py"}
        program = ["python", *([own[name]] if name in own else ["-m", "autox_video", name])]
    return shlex.join([*program, *kept, *words])
