"""Find models of the Hugging Face hub, or in a local folder in the same format.

Only the small files that describe a model are fetched here; they stay in the hub's own cache.
`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` are honoured by huggingface_hub.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
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

from autox_video.core.errors import ConfigError

CONFIG = "config.json"
PREPROCESSORS = (
    "video_preprocessor_config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""Names of the files that say how frames are prepared."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of weight files, best first; large models have an index file and several parts instead."""
TIMEOUT_SEC = 4.0


@dataclass(frozen=True, slots=True)
class HubModel:
    """The description of a published model."""

    name: str
    """The name after `hf:`, as the user wrote it."""
    folder: Path
    """Folder with config.json and the files that say how frames are prepared."""
    repository: str | None
    """ORG/NAME; None for a local folder."""
    revision: str | None
    """SHA of the commit; None for a local folder."""


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """The files that hold the weights of a published model."""

    repository: str | None
    """ORG/NAME; None for files in a local folder."""
    revision: str | None
    """SHA of the commit; None for files in a local folder."""
    names: tuple[str, ...]
    """Names of the files in the repository, or absolute paths of local files."""


def is_folder(name: str) -> bool:
    """Return whether a name after `hf:` is a local folder, not a repository on the hub."""
    return name.startswith(("./", "../", "/", "~")) or Path(name).is_dir()


def find_model(name: str) -> HubModel:
    """Return the description of a model; it is fetched unless it is in the cache.

    Args:
        name: ORG/NAME, ORG/NAME@REVISION or a folder. Without a revision, the newest revision is
            taken on first use, and later the revision in the cache.

    Raises:
        ConfigError: there is no such model, or it cannot be fetched.
    """
    if is_folder(name):
        folder = Path(name).expanduser()
        if not (folder / CONFIG).is_file():
            raise ConfigError(
                f"backbone: hf:{name}: the folder has no {CONFIG}; give a folder that "
                "save_pretrained of transformers has written."
            )
        return HubModel(name, folder, None, None)
    repository, _, revision = name.partition("@")
    path = _cached(repository, CONFIG, revision)
    if path is None or not any(_cached(repository, n, path.parent.name) for n in PREPROCESSORS):
        path = _fetch(name, repository, revision)
    return HubModel(name, path.parent, repository, path.parent.name)


def files_of(name: str) -> WeightFiles:
    """Return which files hold the weights of a model, without fetching them.

    Raises:
        ConfigError: there is no such model, it has no weights in a supported format, or the hub
            cannot be reached and the weights are not in its cache.
    """
    model = find_model(name)
    if model.repository is None:
        present = {path.name for path in model.folder.iterdir()}
        paths = (str(model.folder.absolute() / each) for each in _weights_among(present, name))
        return WeightFiles(None, None, tuple(paths))
    names = {each for each in WEIGHTS if _cached(model.repository, each, model.revision)}
    if not names:
        with _errors_about(name):
            names = _listed(model.repository, model.revision)
    return WeightFiles(model.repository, model.revision, _weights_among(names, name))


def _weights_among(names: set[str], model: str) -> tuple[str, ...]:
    """Return the names of the weight files among all file names of a model."""
    for whole in WEIGHTS:
        if whole in names:
            return (whole,)
        stem, dot, suffix = whole.partition(".")
        if f"{whole}.index.json" in names:
            parts = (n for n in names if n.startswith(f"{stem}-") and n.endswith(dot + suffix))
            return tuple(sorted(parts))
    raise ConfigError(
        f"backbone: hf:{model} has no {' or '.join(WEIGHTS)}; choose a model with weights for "
        "PyTorch."
    )


def read_json(path: Path) -> dict:
    """Return the content of a JSON file; raise ConfigError if it is not an object."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); fetch it again.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: it is not a JSON object; fetch it again.")
    return content


def _cached(repository: str, file: str, revision: str | None) -> Path | None:
    """Return the path of a file in the hub's cache, or None."""
    try:
        path = try_to_load_from_cache(repository, file, revision=revision or None)
    except (HFValidationError, ValueError):
        return None
    return Path(path) if isinstance(path, str) else None


def _fetch(name: str, repository: str, revision: str) -> Path:
    """Fetch config.json and the files that say how frames are prepared; return the config's path.

    Raises:
        ConfigError: they cannot be fetched.
    """
    with _errors_about(name):
        # The list comes first: without a network, downloads are tried for half a minute.
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
    """Return the names of all files of a repository."""
    info = HfApi().model_info(repository, revision=revision or None, timeout=TIMEOUT_SEC)
    return {file.rfilename for file in info.siblings or ()}


def _downloaded(repository: str, file: str, revision: str) -> Path:
    """Return the path of a file in the hub's cache, where it is downloaded to if necessary."""
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
    """Turn errors of huggingface_hub into messages for the user."""
    about = f"backbone: hf:{name}"
    try:
        yield
    except GatedRepoError as error:
        raise ConfigError(
            f"{about}: its owner asks for an agreement; accept it on the model's page, and set "
            "HF_TOKEN to an access token of your account."
        ) from error
    except RevisionNotFoundError as error:
        raise ConfigError(
            f"{about}: the hub has no such revision; check what follows @."
        ) from error
    except RepositoryNotFoundError as error:
        raise ConfigError(
            f"{about}: the hub has no such model, or it is private; check the name, and set "
            "HF_TOKEN if it is private."
        ) from error
    except HFValidationError as error:
        raise ConfigError(
            f"{about}: that is not a name on the hub; write hf:ORG/NAME, hf:ORG/NAME@REVISION or "
            "hf:./FOLDER."
        ) from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        raise ConfigError(f"{about}: the hub answered with {status}; try again later.") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HTTPError) as error:
        raise ConfigError(_unreachable(about)) from error
    except OSError as error:
        raise ConfigError(f"{about}: cannot be fetched ({error}).") from error


def _unreachable(about: str) -> str:
    return (
        f"{about}: it is not in the cache, and the hub cannot be reached. Without a network, copy "
        "the model's folder here and write hf:./FOLDER, or choose another backbone."
    )
