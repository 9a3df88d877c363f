"""Find known pretrained weight files by name, without opening them."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.backbones.spec import Size
from autox_video.backbones.video_swin.spec import WINDOW_SIZE

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A pretrained weight file and the backbone whose weights it contains."""

    path: str
    backbone: str
    source: str
    """Name of the pretraining data, shown in messages."""
    window_size: Size = WINDOW_SIZE
    """Attention window size to build the model with, in time steps, rows and columns."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A published pretrained weight file."""

    backbone: str
    top1: float
    """Published top-1 accuracy in percent, on the data set named first in `source`."""
    size_mib: int
    """File size stated by torchvision; for files from elsewhere, the total size of the tensors."""
    licence: str
    source: str
    """Training data sets, the last one trained on first; "images" marks image weights."""
    url: str

    @property
    def name(self) -> str:
        """The published file name."""
        return self.url.rpartition("/")[2]

    @property
    def window_size(self) -> Size:
        """Attention window size to build the model with, in time steps, rows and columns."""
        return (16, 7, 7) if "window1677" in self.name else WINDOW_SIZE


def _read_table() -> tuple[KnownFile, ...]:
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            KnownFile(row.pop("backbone"), float(row.pop("top1")), int(row.pop("size_mib")), **row)
            for row in csv.DictReader(file)
        )


KNOWN_FILES = _read_table()
"""The known weight files from best to worst. Video weights come before image weights. Video weights
are ordered by backbone (swin_base first), then by the diversity of the training data. Image weights
are ordered by training data (ImageNet-22K first), then by backbone (swin_base first).
"""


def find_pretrained(folders: Sequence[Path], backbone: str | None = None) -> Pretrained | None:
    """Return the best known weight file in the folders, or None; see `find_all` for arguments."""
    return next(iter(find_all(folders, backbone)), None)


def find_all(folders: Sequence[Path], backbone: str | None = None) -> list[Pretrained]:
    """Return all known weight files in the folders, from best to worst.

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
    """Return the weight files in the folders that are not known; `load_from` can still use them."""
    paths = sorted(path for folder in folders for path in Path(folder).glob("*"))
    weights = (path for path in paths if path.suffix in WEIGHT_SUFFIXES and path.is_file())
    return tuple(str(path) for path in weights if known_file(path.name) is None)


def known_file(name: str) -> KnownFile | None:
    """Return the known weight file with the given name, or None."""
    return next((known for known in KNOWN_FILES if known.name == name), None)
