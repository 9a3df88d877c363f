"""Known files of pretrained weights, found by name without opening them."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.backbones.spec import Size
from autox_video.backbones.video_swin.spec import WINDOW_SIZE

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A file of pretrained weights and its backbone."""

    path: str
    backbone: str
    source: str
    """What it was trained on, for messages."""
    window_size: Size = WINDOW_SIZE
    """Attention window of the model to build for it: time steps, rows and columns."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """One published file."""

    backbone: str
    top1: float
    """Published top-1 accuracy on the first data set of `source`, in percent."""
    size_mib: int
    """File size as given by torchvision; for other files, the size of the tensors."""
    licence: str
    source: str
    """Training data, the latest first; "images" means image weights."""
    url: str

    @property
    def name(self) -> str:
        """Published file name."""
        return self.url.rpartition("/")[2]

    @property
    def window_size(self) -> Size:
        """Attention window of the model to build for it."""
        return (16, 7, 7) if "window1677" in self.name else WINDOW_SIZE


def _read_table() -> tuple[KnownFile, ...]:
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            KnownFile(row.pop("backbone"), float(row.pop("top1")), int(row.pop("size_mib")), **row)
            for row in csv.DictReader(file)
        )


KNOWN_FILES = _read_table()
"""Best first: video before images. For video, swin_base before the others, and more diverse
training data first; for images, ImageNet-22K before ImageNet-1K, then swin_base before the others.
"""


def find_pretrained(folders: Sequence[Path], backbone: str | None = None) -> Pretrained | None:
    """Return the best known file in some folders, or None; the arguments are as in `find_all`."""
    return next(iter(find_all(folders, backbone)), None)


def find_all(folders: Sequence[Path], backbone: str | None = None) -> list[Pretrained]:
    """Return all known files in some folders, the best first.

    Args:
        folders: folders to search, without subfolders; earlier ones take precedence.
        backbone: only files of this backbone, such as "swin_tiny"; None for any.
    """
    files = []
    for known in KNOWN_FILES:
        paths = (Path(folder, known.name) for folder in folders)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None and backbone in (None, known.backbone):
            files.append(Pretrained(str(path), known.backbone, known.source, known.window_size))
    return files


def find_unknown(folders: Iterable[Path]) -> tuple[str, ...]:
    """Return unknown weight files in some folders, which can be used with `load_from`."""
    paths = sorted(path for folder in folders for path in Path(folder).glob("*"))
    weights = (path for path in paths if path.suffix in WEIGHT_SUFFIXES and path.is_file())
    return tuple(str(path) for path in weights if known_file(path.name) is None)


def known_file(name: str) -> KnownFile | None:
    """Return the known file of a name, or None."""
    return next((known for known in KNOWN_FILES if known.name == name), None)
