"""Combine a run's probes and trained weights in an ensemble if the ensemble scores better.

The members and their shares are chosen on clips that no member was trained on: the validation
clips, or, if these are few, the training clips with out-of-fold predictions. The ensemble is scored
with shares that were chosen on clips other than the scored ones.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.automl.ensembles.greedy_selection import Labelled, choose_mixture, unseen_outputs
from autox_video.automl.ensembles.unseen_outputs import Unseen, read_unseen
from autox_video.automl.finishing import FINETUNE_ID, HEAD_OF_ALL, PROBE_ID, origin_of
from autox_video.automl.leaderboard import find_row, put_row, row_of
from autox_video.core.console import complain, say, working_on
from autox_video.core.errors import CheckpointError
from autox_video.core.files import write_json
from autox_video.data.clip_table import ClipTable
from autox_video.data.label_array import class_rows
from autox_video.data.listing.written_list import read_list
from autox_video.distributed.processes import local_device
from autox_video.evaluation.predict import (
    Loading,
    for_testing,
    load_model,
    record_of,
    single_view_outputs,
)
from autox_video.metrics.calibration import OutOfFold
from autox_video.metrics.headline import MODELS, cross_validated, row_fields
from autox_video.metrics.intervals import FEW_VALIDATION_CLIPS, score_text, wilson_interval
from autox_video.metrics.mixture import Mixture
from autox_video.metrics.selection_score import main_score, score_label
from autox_video.planning.record import RunRecord
from autox_video.run.work_dir import BEST, ENSEMBLE, PROBES, TRAINED
from autox_video.tasks.task import TASKS
from autox_video.training.checkpoints.checkpoint import (
    ALL_CLIPS,
    ORIGIN,
    RECORD_KEY,
    SCHEMA,
    read_checkpoint,
    read_meta,
    write_best,
)
from autox_video.training.checkpoints.members import Member, joined
from autox_video.training.checkpoints.model_record import read_model_record, upgraded
from autox_video.training.config.build_config import model_config

ENSEMBLE_ID = "ensemble"
"""Id and kind of the leaderboard row for an ensemble."""
MOST_CLIPS = 2000
"""Largest number of clips on which members are chosen."""
FEWEST_CLIPS = 20
"""Smallest number of clips on which members are chosen."""
MOST_AT_A_TIME = 16
"""Largest number of clips for which outputs are computed at once."""

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The members of an ensemble, and its metrics."""

    files: tuple[str, ...]
    """Names of the members' files in the work dir; the first member has the largest share."""
    shares: tuple[float, ...]
    temperatures: tuple[float, ...]
    figures: Figures
    """The ensemble's metrics, in the same form as the metrics of the best weights."""


@dataclass(frozen=True, slots=True)
class _Ballot:
    """Candidate members, and their outputs for the clips in a list."""

    files: list[str]
    outputs: np.ndarray
    """Outputs (M, R, n, K) of M models for n clips, in R repeats."""
    clips: Labelled

    def best(self) -> int:
        """Return the index of the best single model."""
        return max(range(len(self.files)), key=lambda n: self.clips.rank(self.outputs[n]))


def member_files(work_dir: Path, identity: Mapping[str, Any]) -> list[str]:
    """Return the names of the candidate members' files, starting with the trained weights.

    The result is empty if an ensemble has already been made.
    """
    origins = {file: _origin(work_dir / file, identity) for file in (BEST, TRAINED, *PROBES)}
    if origins[BEST] == ENSEMBLE_ID:
        return []
    trained = [file for file in (BEST, TRAINED) if origins[file] not in (None, PROBE_ID)]
    return trained[:1] + [file for file in PROBES if origins[file]]


def choose_ensemble(
    record: RunRecord,
    work_dir: Path,
    trained: Mapping[str, Unseen | None],
    groups: np.ndarray,
) -> Chosen | None:
    """Return the best ensemble of a run's models; None if no ensemble beats the best single model.

    Args:
        record: the record of the run.
        work_dir: the work dir.
        trained: outputs of the trained weights, keyed by list (`train` or `val`); None if unknown.
        groups: groups of the training clips, followed by the groups of the validation clips.
    """
    files = member_files(work_dir, record.identity)
    lists = {"train": read_list(record.data.train_list), "val": read_list(record.data.val_list)}
    outputs = {name: _outputs(work_dir, files, trained, name) for name in lists}
    # All models must be compared, or an ensemble of probes could replace better trained weights.
    few = len(lists["val"]) < FEW_VALIDATION_CLIPS and len(outputs["train"]) == len(files)
    name = "train" if few else "val"
    of_list = groups[: len(lists["train"])] if few else groups[len(lists["train"]) :]
    ballot = _ballot(record, lists[name], outputs[name], of_list)
    if ballot is None or len(ballot.files) < len(files):
        return None
    found, single = unseen_outputs(ballot.outputs, ballot.clips), ballot.outputs[ballot.best()]
    mixture = choose_mixture(ballot.outputs, ballot.clips)
    order = [int(n) for n in np.argsort(-mixture.shares, kind="stable") if mixture.shares[n] > 0]
    chosen = [ballot.files[n] for n in order]
    if (
        not ballot.clips.is_clearly_better(found, single)
        or len(order) < 2
        or not all(file in outputs["val"] for file in chosen)
    ):
        return None
    parts = mixture.shares[order], mixture.temperatures[order]
    figures = _validated(record, lists["val"], [outputs["val"][f] for f in chosen], parts)
    if few and figures is not None:
        figures = _cross_validated(record, figures, ballot.clips, found)
    if figures is None:
        return None
    _say(ballot.clips, found, single, len(order), few=few)
    return Chosen(tuple(chosen), *(tuple(map(float, part)) for part in parts), figures)


def outputs_of_file(record: RunRecord, path: Path) -> Unseen:
    """Return a trained model's outputs for the centre views of the validation clips.

    All processes must call this.
    """
    plan, data = record.plan, record.data
    stored = for_testing(record_of(path), remote_cache=data.remote_cache)
    config, device = model_config(stored), str(local_device(plan.device))
    model = load_model(config, path, device)
    clips = read_list(data.val_list)
    loading = Loading(min(plan.batch_size, MOST_AT_A_TIME), plan.workers, device)
    with working_on("Comparing ensembles"):
        found = single_view_outputs(model, config, clips, data_root=data.data_root, loading=loading)
    positions = np.array(sorted(found), dtype=np.int64)
    return Unseen(positions, np.stack([found[n] for n in positions.tolist()])[None])


def is_settled(work_dir: Path) -> bool:
    """Return whether the best weights are an ensemble, or have been trained on validation clips."""
    meta = read_meta(work_dir / BEST)
    return meta.get(ORIGIN) == ENSEMBLE_ID or ALL_CLIPS in meta


def write_choice(work_dir: Path, chosen: Chosen | None) -> None:
    """Save the chosen ensemble in the work dir, so that the choice survives an interruption."""
    if chosen is None:
        (work_dir / ENSEMBLE).unlink(missing_ok=True)
    else:
        write_json(work_dir / ENSEMBLE, asdict(chosen))


def read_choice(work_dir: Path) -> Chosen | None:
    """Return the stored choice; None if it is missing or damaged, or has been assembled already."""
    if origin_of(work_dir / BEST) == ENSEMBLE_ID:
        return None
    try:
        content = json.loads((work_dir / ENSEMBLE).read_bytes())
        parts = (tuple(content[name]) for name in ("files", "shares", "temperatures"))
        return Chosen(*parts, dict(content["figures"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def assemble(record: RunRecord, work_dir: Path, chosen: Chosen, *, all_clips: bool) -> Figures:
    """Save the chosen ensemble as the best weights, and return its metrics.

    If `all_clips` is set, probes use the heads that were refit on training and validation clips.

    Raises:
        CheckpointError: a member's file is damaged.
    """
    members, refit = [], False
    for file, *numbers in zip(chosen.files, chosen.shares, chosen.temperatures, strict=True):
        state = read_checkpoint(work_dir / file)
        weights, head = state["state_dict"], state.get(HEAD_OF_ALL) if all_clips else None
        if head is not None:
            weights = {**weights, **{f"cls_head.{name}": head[name] for name in head}}
        refit |= head is not None or ALL_CLIPS in state["meta"]
        stored = upgraded(state["meta"][RECORD_KEY], work_dir / file)
        members.append(Member(stored, weights, *numbers))
    meta = {"metrics": chosen.figures, "identity": record.identity, ORIGIN: ENSEMBLE_ID}
    meta |= {ALL_CLIPS: True} if refit else {}
    ids = [origin_of(work_dir / file) for file in chosen.files]
    write_best(work_dir, {"schema": SCHEMA, **joined(members, meta)})
    rows = filter(None, (find_row(work_dir, one) for one in ids))
    main = read_model_record(members[0].record, work_dir / BEST)
    row = row_of(ENSEMBLE_ID, ENSEMBLE_ID, main.plan)
    fields = row_fields(chosen.figures, {"members": dict(zip(ids, chosen.shares, strict=True))})
    put_row(work_dir, replace(row, cost_sec=sum(one.cost_sec for one in rows), **fields))
    return chosen.figures


def _origin(path: Path, identity: Mapping[str, Any]) -> str | None:
    """Return where the weights in a file come from; None if the file belongs to another run."""
    if not path.is_file():
        return None
    try:
        meta = read_meta(path)
    except CheckpointError as error:
        complain(f"{error} It is left out of the ensemble.")
        return None
    return meta.get(ORIGIN, FINETUNE_ID) if meta.get("identity") == identity else None


def _outputs(
    work_dir: Path, files: Sequence[str], trained: Mapping[str, Unseen | None], name: str
) -> dict[str, Unseen]:
    """Return the models' outputs for a list of clips, keyed by file, where they are known."""
    found = {}
    for file in files:
        is_probe = file in PROBES
        one = read_unseen(read_checkpoint(work_dir / file), name) if is_probe else trained.get(name)
        if one is not None:
            found[file] = one
    return found


def _ballot(
    record: RunRecord, clips: ClipTable, outputs: Mapping[str, Unseen], groups: np.ndarray
) -> _Ballot | None:
    """Return the models and their outputs for shared clips; None if models or clips are too few."""
    if len(outputs) < 2:
        return None
    common = _common(list(outputs.values()))
    if len(common) > MOST_CLIPS:
        common = np.sort(np.random.default_rng(0).permutation(common)[:MOST_CLIPS])
    if len(common) < FEWEST_CLIPS:
        return None
    repeats = min(len(one.outputs) for one in outputs.values())
    each = np.stack([one.of(common)[:repeats] for one in outputs.values()])
    return _Ballot(list(outputs), each, _labelled(record, clips, common, groups))


def _common(outputs: Sequence[Unseen]) -> np.ndarray:
    """Return the positions of the clips that all models have outputs for, in increasing order."""
    return np.array(sorted(set.intersection(*(set(one.positions.tolist()) for one in outputs))))


def _labelled(
    record: RunRecord, clips: ClipTable, rows: np.ndarray, groups: np.ndarray | None = None
) -> Labelled:
    targets = class_rows([clips.labels[n] for n in rows], len(record.data.classes))
    groups = np.arange(len(rows)) if groups is None else groups[rows]
    return Labelled(targets, groups, TASKS[record.data.task], record.plan.class_balance)


def _validated(
    record: RunRecord,
    clips: ClipTable,
    outputs: Sequence[Unseen],
    parts: tuple[np.ndarray, np.ndarray],
) -> Figures | None:
    """Return the metrics of a mixture of models on the validation clips."""
    common, task = _common(outputs), TASKS[record.data.task]
    if not len(common):
        return None
    shares, temperatures = parts
    each = np.stack([one.of(common)[:1] for one in outputs])
    mean = Mixture(temperatures, shares, task).outputs(each)[0]
    labels = _labelled(record, clips, common).labels
    figures = task.evaluate(mean, labels, balanced=record.plan.class_balance)
    return {**figures, "clips": len(common), "epoch": 0, MODELS: len(outputs)}


def _cross_validated(
    record: RunRecord, figures: Figures, clips: Labelled, found: np.ndarray
) -> Figures:
    """Return the metrics with the cross-validated score and the temperature added."""
    about, score = clips.figures(found), clips.score(found)
    count = about.get("effective_clips", about["clips"])
    low, high = None, None
    if clips.task.counts_right_clips:
        low, high = wilson_interval(score * count, count)
    figures = {**figures, **cross_validated(score, low, high, len(clips.targets))}
    if not clips.task.calibrates:
        return figures
    learnt = clips.targets[:, clips.targets.sum(0) > 1].any(1)
    in_folds = OutOfFold(found, clips.labels, learnt)
    return {**figures, **in_folds.figures(balanced=record.plan.class_balance)}


def _say(clips: Labelled, found: np.ndarray, single: np.ndarray, count: int, *, few: bool) -> None:
    label = score_label(main_score(clips.figures(found)))
    scores = [score_text(clips.score(each), len(clips.targets)) for each in (found, single)]
    where = "in cross-validation" if few else "on the validation clips"
    say(
        f"An ensemble of {count} models is better than the best of them ({label} {scores[0]} vs. "
        f"{scores[1]} {where}), so it is kept."
    )
