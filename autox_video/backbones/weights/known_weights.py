"""Find known files of pretrained weights by their names, without opening them."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.backbones.spec import Size
from autox_video.backbones.video_swin.spec import WINDOW_SIZE

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A file of pretrained weights, and the backbone that it contains."""

    path: str
    backbone: str
    source: str
    """The training data of the weights, for messages."""
    window_size: Size = WINDOW_SIZE
    """Attention window of a model for these weights, in time steps, rows and columns."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A published file of pretrained weights."""

    backbone: str
    top1: float
    """Published top-1 accuracy on the first data set of `source`, in percent."""
    size_mib: int
    """File size according to torchvision; for other files, the total size of the tensors."""
    licence: str
    source: str
    """Training data, with the latest first; "images" marks image weights."""
    url: str

    @property
    def name(self) -> str:
        """The published file name."""
        return self.url.rpartition("/")[2]

    @property
    def window_size(self) -> Size:
        """Attention window of a model for these weights, in time steps, rows and columns."""
        return (16, 7, 7) if "window1677" in self.name else WINDOW_SIZE


def _read_table() -> tuple[KnownFile, ...]:
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            KnownFile(row.pop("backbone"), float(row.pop("top1")), int(row.pop("size_mib")), **row)
            for row in csv.DictReader(file)
        )


KNOWN_FILES = _read_table()
"""The known files from best to worst. Video weights come before image weights. Among video weights,
swin_base comes first, then more diverse training data; among image weights, ImageNet-22K comes
before ImageNet-1K, then swin_base before the others.
"""


def find_pretrained(folders: Sequence[Path], backbone: str | None = None) -> Pretrained | None:
    """Return the best known file in the folders, or None; for the arguments, see `find_all`."""
    return next(iter(find_all(folders, backbone)), None)


def find_all(folders: Sequence[Path], backbone: str | None = None) -> list[Pretrained]:
    """Return all known files in the folders, from best to worst.

    Args:
        folders: folders to search, without their subfolders; earlier folders take precedence.
        backbone: name of the backbone, such as "swin_tiny"; None for any backbone.
    """
    files = []
    for known in KNOWN_FILES:
        paths = (Path(folder, known.name) for folder in folders)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None and backbone in (None, known.backbone):
            files.append(Pretrained(str(path), known.backbone, known.source, known.window_size))
    return files


def find_unknown(folders: Iterable[Path]) -> tuple[str, ...]:
    """Return the unknown weight files in the folders, which can be used with `load_from`."""
    paths = sorted(path for folder in folders for path in Path(folder).glob("*"))
    weights = (path for path in paths if path.suffix in WEIGHT_SUFFIXES and path.is_file())
    return tuple(str(path) for path in weights if known_file(path.name) is None)


def known_file(name: str) -> KnownFile | None:
    """Return the known file with this name, or None."""
    return next((known for known in KNOWN_FILES if known.name == name), None)
