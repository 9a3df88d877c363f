"""Find models on the Hugging Face hub or in local folders with the same layout.

This module fetches only the small files that describe a model, and stores them in the hub's cache.
huggingface_hub honours `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

from autox_video.backbones.weights.fetching import reachable
from autox_video.backbones.weights.hub import DESCRIPTIONS, is_offline
from autox_video.core.errors import ConfigError

CONFIG = "config.json"
PREPROCESSORS = tuple(name for name in DESCRIPTIONS if name != CONFIG)
"""Names of the files that describe how to preprocess frames."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of weight files, preferred names first."""
TIMEOUT_SEC = 4.0
"""Time limit for each response from the hub, in seconds."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """Where to find the description of a published model."""

    name: str
    """The name that follows `hf:`, as the user wrote it."""
    folder: Path
    """Folder with config.json and the preprocessing configs."""
    repository: str | None
    """Repository name, ORG/NAME; None for a local folder."""
    revision: str | None
    """Commit SHA; None for a local folder."""


def is_folder(name: str) -> bool:
    """Return whether a name after `hf:` refers to a local folder rather than a hub repository."""
    return name.startswith(("./", "../", "/", "~")) or Path(name).is_dir()


def find_model(name: str) -> HubModel:
    """Return the description of a model, fetching it if it is not in the cache.

    Args:
        name: ORG/NAME, ORG/NAME@REVISION or a folder. If the name gives no revision, a cached
            revision is used if there is one, otherwise the newest revision on the hub.

    Raises:
        ConfigError: the model does not exist or cannot be fetched.
    """
    if is_folder(name):
        folder = Path(name).expanduser()
        if not (folder / CONFIG).is_file():
            raise ConfigError(
                f"backbone: hf:{name}: the folder has no {CONFIG}; give a folder written "
                "by save_pretrained of transformers."
            )
        return HubModel(name, folder, None, None)
    repository, _, revision = name.partition("@")
    path = _cached(repository, CONFIG, revision)
    if path is None or not any(_cached(repository, n, path.parent.name) for n in PREPROCESSORS):
        path = _fetch(name, repository, revision)
    return HubModel(name, path.parent, repository, path.parent.name)


def pinned(name: str) -> str:
    """Return ORG/NAME@SHA if the model's description is in the cache, otherwise the given name."""
    repository, _, revision = name.partition("@")
    path = _cached(repository, CONFIG, revision)
    return name if path is None else f"{repository}@{path.parent.name}"


def weights_in(folder: str) -> Path | None:
    """Return the path to the weight file in a local folder, or None if there is none."""
    paths = (Path(folder).expanduser().absolute() / name for name in WEIGHTS)
    return next((path for path in paths if path.is_file()), None)


def read_json(path: Path) -> dict:
    """Return the object in a JSON file; raise ConfigError if the file contains no valid object."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); fetch the file again.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a JSON object; fetch the file again.")
    return content


def _cached(repository: str, file: str, revision: str | None) -> Path | None:
    """Return the path to a file in the hub's cache, or None if the file is not cached."""
    try:
        path = try_to_load_from_cache(repository, file, revision=revision or None)
    except (HFValidationError, ValueError):
        return None
    return Path(path) if isinstance(path, str) else None


def _fetch(name: str, repository: str, revision: str) -> Path:
    """Fetch config.json and the preprocessing configs; return the path to config.json.

    Raises:
        ConfigError: the files cannot be fetched.
    """
    if is_offline() or not reachable([constants.ENDPOINT]):
        raise ConfigError(_unreachable(f"backbone: hf:{name}"))
    with _errors_about(name):
        listed = _listed(repository, revision)
        if CONFIG not in listed:
            raise ConfigError(
                f"backbone: hf:{name}: the repository has no {CONFIG}, so it is not a model of "
                "transformers."
            )
        path = _downloaded(repository, CONFIG, revision)
        for file in listed.intersection(PREPROCESSORS):
            _downloaded(repository, file, path.parent.name)
    return path


def _listed(repository: str, revision: str | None) -> set[str]:
    """Return the names of all files in a repository."""
    info = HfApi().model_info(repository, revision=revision or None, timeout=TIMEOUT_SEC)
    return {file.rfilename for file in info.siblings or ()}


def _downloaded(repository: str, file: str, revision: str) -> Path:
    """Return the path to a file in the hub's cache, downloading the file if necessary."""
    disable_progress_bars()
    try:
        path = hf_hub_download(
            repository,
            file,
            revision=revision or None,
            etag_timeout=TIMEOUT_SEC,
        )
    finally:
        enable_progress_bars()
    return Path(path)


@contextmanager
def _errors_about(name: str) -> Iterator[None]:
    """Convert errors from huggingface_hub to ConfigErrors with messages for the user."""
    about = f"backbone: hf:{name}"
    try:
        yield
    except GatedRepoError as error:
        raise ConfigError(
            f"{about}: the owner restricts access to the model; accept the terms on the model's "
            "page, and set HF_TOKEN to an access token of your account."
        ) from error
    except RevisionNotFoundError as error:
        raise ConfigError(
            f"{about}: the hub has no such revision; check the part after @."
        ) from error
    except RepositoryNotFoundError as error:
        raise ConfigError(_absent(about)) from error
    except HFValidationError as error:
        raise ConfigError(
            f"{about}: not a valid model name; write hf:ORG/NAME, hf:ORG/NAME@REVISION or "
            "hf:./FOLDER."
        ) from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        if status in (401, 404):  # mirrors give no reason
            raise ConfigError(_absent(about)) from error
        raise ConfigError(f"{about}: the hub answered with {status}; try again later.") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HTTPError) as error:
        raise ConfigError(_unreachable(about)) from error
    except OSError as error:
        raise ConfigError(f"{about}: cannot be fetched ({error}).") from error


def _absent(about: str) -> str:
    return (
        f"{about}: the hub has no such model, or it is private; check the name, and set HF_TOKEN "
        "if it is private."
    )


def _unreachable(about: str) -> str:
    return (
        f"{about}: not in the cache, and the hub cannot be reached. Without a network, copy "
        "the model's folder here and write hf:./FOLDER, or choose another backbone."
    )
