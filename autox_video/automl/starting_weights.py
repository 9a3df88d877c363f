"""Which pretrained weights a run starts from: a known file in `checkpoints/`, or a named one."""

from collections.abc import Sequence
from pathlib import Path

from autox_video.backbones.weights.known_weights import Pretrained, find_pretrained, find_unknown
from autox_video.config.choices import BACKBONES
from autox_video.config.settings import AUTO
from autox_video.core.console import say
from autox_video.core.errors import ConfigError
from autox_video.machine.installation import source_tree

NONE = "none"
"""The value of `load_from` for training from scratch."""


def find_weights(load_from: str, backbone: str) -> Pretrained | None:
    """The weights to start from, by these two keys and what is in `checkpoints/`.

    Raises:
        CheckpointError: the file that is named is missing or of no known backbone.
        ConfigError: it is of another backbone than the one asked for.
    """
    if load_from == NONE:
        return None
    if load_from == AUTO:
        return _find_known(None if backbone == AUTO else backbone)
    from autox_video.backbones.weights.loading import identify_file

    weights = identify_file(load_from)
    if backbone not in (AUTO, weights.backbone):
        raise ConfigError(
            f"load_from: {weights.path} holds {weights.backbone}, but backbone is {backbone}."
        )
    return weights


def _find_known(backbone: str | None) -> Pretrained | None:
    folders = weight_folders()
    weights = find_pretrained(folders, backbone)
    if weights is None and (backbone is None or BACKBONES[backbone].learns):
        _say_from_scratch(folders, backbone)
    return weights


def _say_from_scratch(folders: Sequence[Path], backbone: str | None) -> None:
    fitting = f" for {backbone}" if backbone else ""
    say(
        f"No pretrained weights{fitting} in {' or '.join(map(str, folders))}: training starts from "
        "scratch. checkpoints/README.md lists files to put there."
    )
    if unknown := find_unknown(folders):
        say(f"Not among the known files: {', '.join(unknown)}; load_from=FILE takes one of them.")


def weight_folders() -> list[Path]:
    """Where pretrained weights are looked for: here, and in the source tree, if this is one."""
    tree = source_tree()
    folders = [Path.cwd() / "checkpoints"]
    if tree is not None and tree / "checkpoints" != folders[0] and (tree / "checkpoints").is_dir():
        folders.append(tree / "checkpoints")
    return folders


def weights_to_resume(
    before: Pretrained | None, load_from: str, backbone: str
) -> Pretrained | None:
    """The weights that a run started from, unless the user names others now."""
    if load_from == AUTO:
        return before
    if before is not None and load_from != NONE:
        old, new = Path(before.path), Path(load_from)
        both_exist = old.exists() and new.exists()
        # Weights that have moved since, or are gone, are no hindrance: they are not read again.
        if old.samefile(new) if both_exist else old.name == new.name:
            return before
    return find_weights(load_from, backbone)
