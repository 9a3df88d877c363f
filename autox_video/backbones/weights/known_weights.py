"""List the known pretrained weight files, and find local copies without opening any file."""

import csv
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.backbones.spec import Size
from autox_video.backbones.video_swin.spec import WINDOW_SIZE
from autox_video.backbones.weights.local_copies import (
    HUB,
    PACKAGE,
    HubFile,
    copies_in_caches,
    repository_of,
)
from autox_video.config.choices import BACKBONES

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A pretrained weight file and the backbone whose weights it contains."""

    path: str
    backbone: str
    source: str
    """Name of the pretraining data, shown in messages."""
    window_size: Size = WINDOW_SIZE
    """Attention window size for building the model: time steps, rows and columns."""
    licence: str = ""
    """Licence of the weights; empty if unknown."""
    noncommercial: bool = False
    """Whether the licence prohibits commercial use."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A published pretrained weight file."""

    backbone: str
    top1: float | None
    """Published top-1 accuracy in percent; None if unpublished. The data set is the one named in
    `protocol`, if any, otherwise the first one in `source`."""
    size_mib: int
    """File size stated by torchvision; for files from other sources, total size of the tensors."""
    licence: str
    source: str
    """Training data sets, most recent first; "images" marks image weights."""
    url: str
    """Address: https://, hf://ORG/NAME[@REVISION]/FILE on the Hugging Face hub,
    package://MODULE/FILE for a file in a Python package, or an absolute path."""
    name: str = ""
    """Short unique name, as in `autox-video weights fetch NAME`."""
    sha256: str = ""
    """Hexadecimal SHA-256 of the file, or its first digits as published in the file name; empty if
    the publisher gives no digest. For files on the hub, the digest is looked up when fetching."""
    protocol: str = ""
    """How `top1` was measured."""
    noncommercial: bool = False
    """Whether the licence prohibits commercial use."""

    @property
    def file_name(self) -> str:
        """Published file name; for a file on the hub, the repository name plus the suffix."""
        if self.is_on_hub:
            hub = HubFile.of(self.url)
            return hub.repository.rpartition("/")[2] + Path(hub.path).suffix
        return self.url.rpartition("/")[2]

    @property
    def is_on_hub(self) -> bool:
        """Whether the file is on the Hugging Face hub."""
        return self.url.startswith(HUB)

    @property
    def is_packaged(self) -> bool:
        """Whether the file is part of a Python package."""
        return self.url.startswith(PACKAGE)

    @property
    def window_size(self) -> Size:
        """Attention window size for building the model: time steps, rows and columns."""
        return (16, 7, 7) if "window1677" in self.file_name else WINDOW_SIZE

    def path_in(self, folders: Sequence[Path]) -> Path | None:
        """Return the file's path in the folders or the libraries' caches; None if not found."""
        paths = [*(Path(folder, self.file_name) for folder in folders)]
        paths += copies_in_caches(self.url, self.sha256)
        return next((path for path in paths if path.is_file()), None)

    def at(self, path: str | Path) -> Pretrained:
        """Return the description of a local copy of the file."""
        about = (self.source, self.window_size, self.licence, self.noncommercial)
        return Pretrained(str(path), self.backbone, *about)


def _read_table() -> tuple[KnownFile, ...]:
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return tuple(_known_file(**row) for row in csv.DictReader(file))


def _known_file(*, top1: str, size_mib: str, noncommercial: str, **texts: str) -> KnownFile:
    return KnownFile(
        top1=float(top1) if top1 else None,
        size_mib=int(size_mib),
        noncommercial=noncommercial == "yes",
        **texts,
    )


KNOWN_FILES = _read_table()
"""The known weight files, from best to worst. Video weights come before image weights. Video
weights of our own backbones are ordered by backbone (swin_base first), then by the diversity of the
training data; those of other libraries follow, ordered by accuracy. Image weights are ordered by
training data (ImageNet-22K first), then by backbone (swin_base first).
"""


def find_pretrained(
    folders: Sequence[Path], backbone: str | None = None, *, noncommercial: bool = False
) -> Pretrained | None:
    """Return the best known weight file on this machine, or None; see `find_all`."""
    return next(iter(find_all(folders, backbone, noncommercial=noncommercial)), None)


def find_all(
    folders: Sequence[Path], backbone: str | None = None, *, noncommercial: bool = False
) -> list[Pretrained]:
    """Return all known weight files on this machine, from best to worst.

    Files in Python packages are returned only if `backbone` is given. Otherwise, these files are
    only candidates for probes (see `find_packaged`) and should not determine the backbone.

    Args:
        folders: folders to search, without their subfolders; earlier folders take precedence over
            later folders, and all folders take precedence over caches and installed packages.
        backbone: name of the backbone, such as "swin_tiny"; None for any backbone.
        noncommercial: whether to include weights that are licensed only for noncommercial use.
    """
    found = _find(folders, backbone, noncommercial)
    return [known.at(path) for known, path in found if backbone or not known.is_packaged]


def find_packaged() -> list[Pretrained]:
    """Return the known weight files in installed Python packages."""
    return [known.at(path) for known, path in _find((), None, False) if known.is_packaged]


def _find(
    folders: Sequence[Path], backbone: str | None, noncommercial: bool
) -> Iterator[tuple[KnownFile, Path]]:
    for known in KNOWN_FILES:
        if backbone not in (None, known.backbone) or known.backbone not in BACKBONES:
            continue
        if noncommercial or not known.noncommercial:
            path = known.path_in(folders)
            if path is not None:
                yield known, path


def find_unknown(folders: Iterable[Path]) -> tuple[str, ...]:
    """Return the unknown weight files in the folders, which `load_from` can still use."""
    paths = sorted(path for folder in folders for path in Path(folder).glob("*"))
    weights = (path for path in paths if path.suffix in WEIGHT_SUFFIXES and path.is_file())
    return tuple(str(path) for path in weights if known_file(path) is None)


def known_file(path: str | Path) -> KnownFile | None:
    """Return the known weight file that matches a path; None if there is no match.

    Paths are matched by file name or, in the hub's cache, by repository name.
    """
    repository = repository_of(path)
    for known in KNOWN_FILES:
        if known.file_name == Path(path).name:
            return known
        if repository and known.is_on_hub and HubFile.of(known.url).repository == repository:
            return known
    return None


def known_by_name(name: str) -> KnownFile | None:
    """Return the known weight file with the given short name; None if there is no match."""
    return next((known for known in KNOWN_FILES if known.name == name), None)


def similar_names(name: str) -> list[str]:
    """Return the short names of known weight files that resemble `name`."""
    return difflib.get_close_matches(name, [known.name for known in KNOWN_FILES], n=3)
