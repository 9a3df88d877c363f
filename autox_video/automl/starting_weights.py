"""Find or fetch the pretrained weights that a run starts from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autox_video.automl.fetched_weights import (
    Terms,
    fetch_wanted,
    given_file,
    known_by_name_or_address,
)
from autox_video.backbones.weights.known_weights import (
    KnownFile,
    Pretrained,
    find_all,
    find_pretrained,
    find_unknown,
    known_file,
)
from autox_video.config.choices import BACKBONES
from autox_video.config.settings import AUTO
from autox_video.core.console import complain, say_detail
from autox_video.core.errors import CheckpointError, ConfigError
from autox_video.core.wording import counted
from autox_video.data.splitting.changes import Changes, name_clips
from autox_video.data.splitting.known_clips import KnownClips, read_known
from autox_video.machine.installation import source_tree

NONE = "none"
"""Value of `load_from` for training from scratch."""


def find_weights(load_from: str, backbone: str, terms: Terms) -> Pretrained | None:
    """Return the weights selected by `load_from` and `backbone`, fetching them if necessary.

    Raises:
        CheckpointError: the given file is missing, or its backbone is unknown.
        ConfigError: the file is for a different backbone, or the terms forbid using the file.
        FetchError: the given file cannot be fetched.
    """
    if load_from == NONE:
        return None
    if load_from == AUTO:
        return _find_known(None if backbone == AUTO else backbone, terms)
    weights = _identified(*given_file(load_from, terms), backbone)
    if backbone not in (AUTO, weights.backbone):
        raise ConfigError(
            f"load_from: {weights.path} holds weights of {weights.backbone}, but backbone is "
            f"{backbone}. Set backbone: auto, or use another file."
        )
    return weights


def _identified(path: Path, known: KnownFile | None, backbone: str) -> Pretrained:
    """Return a file's weights, identified by their source, backbone or tensors."""
    if known is not None and BACKBONES.family_of(known.backbone):
        return known.at(path)
    if BACKBONES.family_of(backbone):
        return Pretrained(str(path), backbone, path.name)
    from autox_video.backbones.weights.loading import identify_file

    weights = identify_file(path)
    if known is None:
        return weights
    return replace(weights, licence=known.licence, noncommercial=known.noncommercial)


def _find_known(backbone: str | None, terms: Terms) -> Pretrained | None:
    folders = weight_folders()
    found = find_all(folders, backbone, noncommercial=terms.noncommercial)
    placed = (weights for weights in found if Path(weights.path).parent in folders)
    weights = next(placed, None) or fetch_wanted(folders, backbone, terms)
    if weights is None and backbone is not None:  # the caches also hold other projects' weights
        weights = find_pretrained(folders, backbone, noncommercial=terms.noncommercial)
    if weights is None and (backbone is None or BACKBONES[backbone].learns):
        _say_from_scratch(folders, backbone)
    return weights


def _say_from_scratch(folders: Sequence[Path], backbone: str | None) -> None:
    fitting = f" for {backbone}" if backbone else ""
    say_detail(
        f"No pretrained weights{fitting} found in {' or '.join(map(str, folders))}. Training from "
        "scratch. To fine-tune, fetch some of those that `autox-video weights list` shows."
    )
    if unknown := find_unknown(folders):
        complain(f"Unknown weight files: {', '.join(unknown)}. To use one, set load_from=FILE.")


def weight_folders() -> list[Path]:
    """Return the `checkpoints` folders in the current folder and in the source tree."""
    tree = source_tree()
    folders = [Path.cwd() / "checkpoints"]
    if tree is not None and tree / "checkpoints" != folders[0] and (tree / "checkpoints").is_dir():
        folders.append(tree / "checkpoints")
    return folders


def refuse_moving_weights(load_from: str, work_dir: Path) -> None:
    """Raise ConfigError if --fresh would move away the weights that training starts from."""
    folder = Path(load_from).absolute().parent
    if load_from not in (AUTO, NONE) and folder.resolve() == work_dir.resolve():
        raise ConfigError(
            f"load_from: {load_from} is part of the run that --fresh moves aside. To start from "
            "its weights, give another work_dir instead of --fresh."
        )


def clips_of_weights(load_from: str, data_root: str) -> KnownClips | None:
    """Return the clips of the run that trained the given weights; None if the clips are unknown.

    The run's validation clips count as training clips if the weights were refit on them.
    """
    if load_from in (AUTO, NONE):
        return None
    path = Path(load_from)
    known = read_known(path.parent, data_root) if path.is_file() else None
    if known is None:
        return None
    from autox_video.training.checkpoints.checkpoint import ALL_CLIPS, RECORD_KEY, read_meta

    try:
        meta = read_meta(path)
    except CheckpointError:  # loading the weights will raise a better error
        return None
    if RECORD_KEY not in meta:
        return None
    return known.with_split("val", "train") if ALL_CLIPS in meta else known


def say_seen(changes: Changes, *, probes: bool) -> list[str]:
    """Return notes on how many of the clips the weights were trained on; [] if none.

    Args:
        changes: changes to the clips since the run that trained the weights.
        probes: whether only a head is fitted.
    """
    weights, now = changes.before, changes.now
    seen = [row for row, old in changes.earlier.items() if weights.splits[old] == "train"]
    if not seen:
        return []
    effect = "cross-validated scores are too high" if probes else "nothing is cross-validated"
    notes = [f"load_from: the weights were trained on {len(seen)} of these clips, so {effect}."]
    for name, purpose in (("val", "validation"), ("test", "test")):
        rows = [row for row in seen if now.splits[row] == name]
        if rows:
            clips = counted(now.splits.count(name), f"{purpose} clip")
            names = name_clips([now.keys[row] for row in rows])
            notes.append(
                f"load_from: the weights were trained on {len(rows)} of {clips} ({names}): expect "
                "lower scores on other clips."
            )
    return notes


def head_rows(changes: Changes) -> tuple[int, ...]:
    """Return each class's index in the weights; -1 for a class that the weights do not have."""
    number = {name: index for index, name in enumerate(changes.before.classes)}
    old_names = {new: old for old, new in changes.renamed.items()}
    return tuple(number.get(old_names.get(name, name), -1) for name in changes.now.classes)


def weights_to_resume(
    before: Pretrained | None, load_from: str, backbone: str, terms: Terms
) -> Pretrained | None:
    """Return the weights that a run started from, or new weights if the user now chooses others."""
    if load_from == AUTO:
        return before
    if before is not None and load_from != NONE:
        known = known_by_name_or_address(load_from)
        if known is not None and known == known_file(before.path):
            return before
        old, new = Path(before.path), Path(load_from)
        both_exist = old.exists() and new.exists()
        # The weights are not read again, so they may have been moved or deleted.
        if old.samefile(new) if both_exist else old.name == new.name:
            return before
    return find_weights(load_from, backbone, terms)
