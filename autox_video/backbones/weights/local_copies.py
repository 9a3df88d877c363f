"""Find weight files in the caches of torch and the Hugging Face hub and in Python packages."""

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from autox_video.core.console import complain
from autox_video.core.files import sha256 as sha256_of

HUB = "hf://"
PACKAGE = "package://"
_HUB_ADDRESS = re.compile(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file on the Hugging Face hub."""

    repository: str
    """Repository name, ORG/NAME."""
    revision: str | None
    """Branch, tag or commit; None for the newest commit."""
    path: str
    """Path to the file within the repository."""

    @classmethod
    def of(cls, address: str) -> "HubFile":
        """Parse an address of the form hf://ORG/NAME[@REVISION]/FILE.

        Raises:
            ValueError: the address does not have this form.
        """
        match = _HUB_ADDRESS.fullmatch(address)
        if match is None:
            raise ValueError(f"{address} is not of the form hf://ORG/NAME/FILE")
        return cls(match[1], match[2], match[3])


def torch_folder() -> Path:
    """Return the folder in which torch.hub and torchvision keep downloaded weights."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(caches, "torch")  # noqa: PTH118
    return Path(os.path.expanduser(home), "hub", "checkpoints")  # noqa: PTH111 (may have no home)


def hub_folder() -> Path:
    """Return the cache folder of the Hugging Face hub."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repository_of(path: str | Path) -> str | None:
    """Return the repository name of a file in the hub's cache; None for other files."""
    for part in Path(path).parts:
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/", 1)
    return None


def copies_in_caches(address: str, sha256: str = "") -> Iterator[Path]:
    """Yield the paths at which local copies of a file may exist.

    Args:
        address: the file's address, in any form that `KnownFile.url` allows.
        sha256: SHA-256 digest, or its first digits, that a file in a Python package must have.
    """
    if address.startswith(HUB):
        path = _in_hub_cache(HubFile.of(address))
    elif address.startswith(PACKAGE):
        path = _in_package(address, sha256)
    elif Path(address).is_absolute():
        path = Path(address)
    else:
        path = torch_folder() / address.rpartition("/")[2]
    if path is not None:
        yield path


def _in_hub_cache(file: HubFile) -> Path | None:
    # Importing the hub's client takes a tenth of a second, so look for the folder first.
    folder = hub_folder() / f"models--{file.repository.replace('/', '--')}"
    if not folder.is_dir():
        return None
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(file.repository, file.path, hub_folder(), file.revision)
    return Path(path) if isinstance(path, str) else None


def _in_package(address: str, sha256: str) -> Path | None:
    module, _, name = address.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(module)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, name)
        if path.is_file() and _is_sound(path, sha256):
            return path
    return None


@cache
def _is_sound(path: Path, sha256: str) -> bool:
    """Return whether a file has the given digest; print a warning if the digest differs."""
    try:
        is_sound = sha256_of(path).startswith(sha256)
    except OSError:
        return False
    if not is_sound:
        complain(f"{path}: not used, since its SHA-256 is wrong. Install its package again.")
    return is_sound
