"""Name and open the Optuna study for a search.

Trials are comparable if they have the same search space, plan and clips, so the name of a study is
derived from all three. Therefore, searches with different plans or data can use the same storage,
and machines with the same plan share a study.
"""

import hashlib
import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from autox_video.core.errors import ResourceError
from autox_video.planning.plan import ADDED, FIELDS, Plan
from autox_video.planning.record import TrainingData
from autox_video.planning.search_space import Space, space_of
from autox_video.tasks.task import TASKS

REDUCTION = 3
"""Reduction factor of successive halving."""
OBJECTIVE = 1
"""Version of `selection_score`, which is the objective of the search."""

# Fields that may differ between machines that share a study: they affect only time and memory.
_FREE = {
    *(name for name, field in FIELDS.items() if field.anew),
    *("epochs", "warmup_epochs", "flat_epochs", "patience", "finish_loss", "soup"),
    *("early_side", "early_share"),
    *("seed", "cache", "cache_gib", "precision", "gradient_checkpointing", "test_clips"),
    *("reasons", "pretrained", "clip_len", "frame_interval_sec", "short_side"),
}
_WAITS_SEC = (0.1, 0.3, 1.0)
_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}


def study_name(plan: Plan, space: Space, data: TrainingData) -> str:
    """Return the name of a plan's study; comparable trials belong to the same study."""
    chosen = plan.as_dict().items()
    # Fields added later are skipped if they have default values, so that older studies are found.
    unused = {name for name, value in ADDED.items() if getattr(plan, name) == value}
    skipped = _FREE | space.keys() | unused
    fixes = {
        "objective": (OBJECTIVE, TASKS[data.task].main_score(balanced=plan.class_balance)),
        "data": data.fingerprint,
        "pretrained": plan.pretrained and Path(plan.pretrained).name,
        "space": {name: json.loads(distribution_to_json(v)) for name, v in space.items()},
        "span_sec": plan.frame_interval_sec * plan.clip_len,
        "clip_len": None if "clip_len" in space else plan.clip_len,
        "fixed": {name: value for name, value in chosen if name not in skipped},
    }
    text = json.dumps(_rounded(fixes), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{data.fingerprint[:16]} {plan.backbone} {digest[:16]}"


def check_storage(storage: str, plan: Plan, data: TrainingData) -> None:
    """Open the study of a plan before training, so that problems show up early.

    Raises:
        ResourceError: the storage cannot be used.
    """
    with storage_errors(storage, "Fix the problem, use another database, or set storage: auto."):
        open_study(storage, study_name(plan, space_of(plan), data))


def open_study(storage: str, name: str) -> optuna.Study:
    """Create a study or load an existing one; several processes may do so at once."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)  # from Optuna's samplers
    for wait_sec in (*_WAITS_SEC, None):
        try:
            return optuna.create_study(
                storage=optuna.storages.RDBStorage(storage, engine_kwargs=_engine(storage)),
                study_name=name,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=REDUCTION),
            )
        except (SQLAlchemyError, StorageInternalError) as error:
            if wait_sec is None or not _is_a_race(error):
                raise
            time.sleep(wait_sec)
    raise AssertionError


def _is_a_race(error: Exception) -> bool:
    """Return whether the error may be due to two processes creating the database at once."""
    told = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(told, IntegrityError):
        return True
    return isinstance(told, (OperationalError, ProgrammingError)) and "already exist" in str(told)


@contextmanager
def storage_errors(storage: str, what_now: str) -> Iterator[None]:
    """Convert storage errors to a ResourceError that says what to do."""
    try:
        yield
    except ImportError as error:
        module = getattr(error.__cause__ or error.__context__, "name", None) or str(error)
        package = _PACKAGES.get(module, module)
        raise ResourceError(
            f"storage: {_shown(storage)} cannot be used: the Python package {package} is missing. "
            f"Run `pip install '{package}'`. {what_now}"
        ) from error
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ResourceError(
            f"storage: {_shown(storage)} cannot be used ({reason}). {what_now}"
        ) from error


def _engine(storage: str) -> dict[str, Any]:
    """Return connection options that tolerate dropped connections and locked files."""
    if storage.startswith("sqlite"):
        return {"connect_args": {"timeout": 60.0}}
    return {"pool_pre_ping": True}


def _shown(storage: str) -> str:
    """Return the storage URL without the password."""
    try:
        return make_url(storage).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return storage


def _rounded(value: Any) -> Any:
    """Return the value with floats rounded to nine digits, to hide differences between machines."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, (list, tuple)) else value
