"""Fetch files from the Hugging Face hub into its cache.

The hub's own client checks only file sizes and restarts broken downloads from the beginning. The
module `downloading` therefore downloads the content to the path where the client expects it. The
client handles everything else: addresses, tokens, mirrors, proxies and the links in the cache.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autox_video.backbones.weights.downloading import Download, download
from autox_video.backbones.weights.local_copies import HubFile, hub_folder
from autox_video.core.errors import FetchError

ANSWER_SEC = 10.0
"""Time limit for the hub's response to a metadata request, in seconds."""

DESCRIPTIONS = (
    "config.json",
    "video_preprocessor_config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""Small files in a repository that describe the model and how to preprocess its input."""

_NAME = re.compile(r"[\w-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LIBRARIES = (("httpx2", "HTTPError"), ("httpx", "HTTPError"), ("requests", "RequestException"))
"""Base exceptions of the HTTP libraries used by different versions of the hub's client."""


def hub_address(file: HubFile) -> str:
    """Return the web address of a file on the hub or on the mirror named in HF_ENDPOINT."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(file.repository, file.path, revision=file.revision)


def fetch_from_hub(file: HubFile, label: str, seconds: float | None = None) -> Path:
    """Download a file and the small files that describe its model; return its path in the cache.

    Args:
        file: the file on the hub.
        label: name of the file to use in messages.
        seconds: time limit for the download.

    Raises:
        FetchError: the file cannot be downloaded, or its SHA-256 differs from the hub's value.
        ResourceError: the cache is not writable, or the disk is full.
    """
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.file_download import repo_folder_name

    address = hub_address(file)
    with _hub_errors(address):
        known = get_hf_file_metadata(address, timeout=ANSWER_SEC)
    if not known.commit_hash or not _NAME.fullmatch(known.etag or ""):
        raise FetchError(f"{address}: the server is not a Hugging Face hub; check HF_ENDPOINT.")
    folder = repo_folder_name(repo_id=file.repository, repo_type="model")
    wanted = Download(
        known.location,
        hub_folder() / folder / "blobs" / known.etag,
        label,
        known.etag if _SHA256.fullmatch(known.etag) else "",
        _token_for(known.location, address),
    )
    download(wanted, seconds)
    with _hub_errors(address):
        for name in DESCRIPTIONS:
            _cache_if_there(file, name)
        return _cache(file, file.path)


def files_and_licence(repository: str, revision: str | None) -> tuple[dict[str, int], str]:
    """Return the sizes of a repository's files in bytes and the licence ("" if not stated).

    Raises:
        FetchError: the repository does not exist, or the hub does not respond.
    """
    from huggingface_hub import HfApi

    with _hub_errors(f"hf://{repository}"):
        found = HfApi().model_info(
            repository, revision=revision, timeout=ANSWER_SEC, files_metadata=True
        )
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or ()}
    return sizes, str(getattr(found.card_data, "license", None) or "")


def _token_for(location: str, address: str) -> dict[str, str]:
    """Return headers with the user's token; no headers if the file is not on the hub's server."""
    from huggingface_hub.utils import build_hf_headers

    if urlsplit(location).netloc != urlsplit(address).netloc:
        return {}
    token = build_hf_headers().get("authorization")
    return {"Authorization": token} if token else {}


def _cache_if_there(file: HubFile, path: str) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    try:
        _cache(file, path)
    except EntryNotFoundError:
        return


def _cache(file: HubFile, path: str) -> Path:
    """Return the path to a file in the cache; if the file is missing, the client downloads it."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(file.repository, path, revision=file.revision))


@contextmanager
def _hub_errors(address: str) -> Iterator[None]:
    try:
        yield
    except _faults() as error:
        raise FetchError(f"{address}: {_reason(error)}.") from error


def _faults() -> tuple[type[Exception], ...]:
    loaded = ((sys.modules.get(module), name) for module, name in _LIBRARIES)
    return (OSError, *(getattr(module, name) for module, name in loaded if module is not None))


def _reason(error: Any) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (404, 410):
        return "there is no such file on the hub"
    if status in (401, 403):
        return (
            "the hub denies access: the repository does not exist, or its terms have to be "
            "accepted on its page and a token set by `hf auth login`"
        )
    if status is not None:
        return f"the hub returned error {status}"
    return " ".join(str(error).split())[:200] or type(error).__name__


def is_offline() -> bool:
    """Return whether environment variables forbid fetching weights from the network."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in names)
