"""Choose and fetch pretrained weights, subject to the licence and the time budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.backbones.weights.fetching import (
    NoNetworkError,
    address_of,
    fetch,
    fetch_address,
    is_offline,
    missed,
    reachable,
)
from autox_video.backbones.weights.known_weights import (
    KNOWN_FILES,
    KnownFile,
    Pretrained,
    known_by_name,
    known_file,
    similar_names,
)
from autox_video.backbones.weights.wanted import fetch_limit_sec, fits, wanted
from autox_video.config.choices import BACKBONES
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import complain, say, say_detail
from autox_video.core.errors import (
    CheckpointError,
    ConfigError,
    FetchError,
    ResourceError,
)
from autox_video.video.files.remote import is_remote


@dataclass(frozen=True, slots=True)
class Terms:
    """The conditions for using and fetching pretrained weights."""

    device: str = "cpu"
    """Device that training runs on, `cpu` or `cuda`."""
    time_budget_sec: float | None = None
    """Time limit of the whole run, in seconds; None for no limit."""
    noncommercial: bool = False
    """Whether weights licensed only for noncommercial use may be used."""
    download: bool = True
    """Whether weights may be fetched from the network."""

    @classmethod
    def of(cls, settings: Settings, device: str) -> "Terms":
        """Return the terms set by the user's settings."""
        budget = None if settings.time_budget == AUTO else settings.time_budget
        return cls(device, budget, settings.noncommercial, settings.download == AUTO)


def fetch_wanted(folders: Sequence[Path], backbone: str | None, terms: Terms) -> Pretrained | None:
    """Return the best weights that the rules recommend, fetching the weights if necessary.

    If the weights cannot be fetched, a message says how to fetch them later.

    Args:
        folders: folders to search in addition to the caches.
        backbone: name of the backbone; None for any backbone.
        terms: the conditions for using and fetching weights.
    """
    missing: list[KnownFile] = []
    present = None
    for known in _candidates(folders, backbone, terms):
        path = known.path_in(folders)
        if path is not None:
            present = known.at(path)
            break
        missing.append(known)
    if not missing or not terms.download:
        return present
    return _fetch_best(missing, terms) or present


def _candidates(folders: Sequence[Path], backbone: str | None, terms: Terms) -> Sequence[KnownFile]:
    """Return the weights recommended by the rules, or otherwise those published by a library.

    If published weights exist but are not used, a message says why.
    """
    found = wanted(terms.device, terms.time_budget_sec, terms.noncommercial, backbone)
    if found or backbone is None or not BACKBONES.family_of(backbone):
        return found
    listed = (known for known in KNOWN_FILES if known.backbone == backbone)
    try:
        known = next(listed, None) or _published(backbone)
    except FetchError as error:
        complain(f"{error} Training continues with the weights on this machine, if any.")
        known = None
    if known is None:
        return []
    if known.noncommercial and not terms.noncommercial:
        say(
            f"The weights of {backbone} are not for commercial use (licence {known.licence}), so "
            "they are not used. If your use is not commercial, set noncommercial: true."
        )
        return []
    if known.path_in(folders) is None and not fits(known, terms.time_budget_sec):
        say(f"The download would take too much of time_budget: {missed(known)}")
        return []
    return [known]


def _fetch_best(missing: Sequence[KnownFile], terms: Terms) -> Pretrained | None:
    """Fetch the first file on a reachable server; if that fails, tell the user and return None."""
    if is_offline():
        say_detail(f"HF_HUB_OFFLINE is set: {missed(missing[0])}")
        return None
    there = reachable(map(address_of, missing))
    known = next((known for known in missing if address_of(known) in there), missing[0])
    try:
        path = fetch(known, seconds=fetch_limit_sec(terms.time_budget_sec))
    except NoNetworkError as error:
        say(f"{error} Training continues with the weights on this machine, if any.")
    except (FetchError, ResourceError) as error:
        complain(f"{error} Training continues with the weights on this machine, if any.")
    else:
        return known.at(path)
    return None


def given_file(load_from: str, terms: Terms) -> tuple[Path, KnownFile | None]:
    """Return the file that the user specified by path, name or address, fetching it if necessary.

    Returns:
        The path, and the known file with the same content, or None if the file is unknown.

    Raises:
        CheckpointError: neither a file nor known weights exist under the given name.
        ConfigError: the licence forbids using the file, or `download` forbids fetching it.
        FetchError: the file cannot be fetched.
        ResourceError: the cache is not writable, or the disk is full.
    """
    path = Path(load_from)
    if path.exists():
        known = known_file(path)
    else:
        known = known_by_name_or_address(load_from) or _published(load_from)
    if known is not None:
        _refuse_noncommercial(known, terms)
    if path.exists():
        return path, known
    if known is None and not is_remote(load_from):
        raise CheckpointError(
            f"load_from: {load_from} is neither a file nor the name of known weights"
            f"{_listed(load_from)}"
        )
    if known is not None and (copy := known.path_in(())) is not None:
        return copy, known
    if not terms.download:
        raise ConfigError(
            f"load_from: {load_from} is not on this machine, and `download: never` forbids "
            "fetching it. Set download: auto, or give a file."
        )
    return (fetch_address(load_from) if known is None else fetch(known)), known


def fetch_named(name: str, folders: Sequence[Path], terms: Terms) -> Path:
    """Return the path to known weights or to a backbone's weights, fetching them if necessary.

    Raises:
        ConfigError: the weights are unknown, or their licence forbids using them.
        FetchError: the weights cannot be fetched.
        ResourceError: the cache is not writable, or the disk is full.
    """
    known = known_by_name(name) or _published(name)
    if known is None:
        raise ConfigError(f"weights: {name} is not the name of known weights{_listed(name)}")
    if known.noncommercial and not terms.noncommercial:
        raise ConfigError(
            f"weights: {name} is not for commercial use (licence {known.licence}). If your use is "
            "not commercial, add --noncommercial."
        )
    return fetch(known, folders)


def known_by_name_or_address(text: str) -> KnownFile | None:
    """Return the known file with the given name or address, or None if there is none."""
    by_address = (known for known in KNOWN_FILES if text in (known.url, address_of(known)))
    return next(by_address, None) if is_remote(text) else known_by_name(text)


def _published(backbone: str) -> KnownFile | None:
    """Return the published weights of a library backbone such as `timm:resnet18`, or None."""
    if is_remote(backbone) or not BACKBONES.family_of(backbone):
        return None
    from autox_video.backbones.libraries.published_weights import published_file

    return published_file(backbone)


def _refuse_noncommercial(known: KnownFile, terms: Terms) -> None:
    if known.noncommercial and not terms.noncommercial:
        raise ConfigError(
            f"load_from: the weights {known.name} are not for commercial use (licence "
            f"{known.licence}). If your use is not commercial, set noncommercial: true."
        )


def _listed(name: str) -> str:
    near = similar_names(name)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"; `autox-video weights list` shows all names.{meant}"
