"""Files of pretrained weights that can be used as they are, by name; none is opened here."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.backbones.spec import Size
from autox_video.backbones.video_swin.spec import WINDOW_SIZE

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A file of pretrained weights and the backbone it fits."""

    path: str
    backbone: str
    source: str
    """What it was trained on, in words."""
    window_size: Size = WINDOW_SIZE
    """Time steps, rows and columns of an attention window of the model to build for it."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """One published file."""

    backbone: str
    top1: float
    """Top-1 accuracy on the first data set of `source`, as its publisher reports, in percent."""
    size_mib: int
    """torchvision's own figure for its files, elsewhere what the tensors take."""
    licence: str
    source: str
    """What it was trained on, the latest first; "images" says that it has no time."""
    url: str

    @property
    def name(self) -> str:
        """Of the file, as it is published."""
        return self.url.rpartition("/")[2]

    @property
    def window_size(self) -> Size:
        """Attention window of the model to build for it: for video the file's own."""
        return (16, 7, 7) if "window1677" in self.name else WINDOW_SIZE


def _read_table() -> tuple[KnownFile, ...]:
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            KnownFile(row.pop("backbone"), float(row.pop("top1")), int(row.pop("size_mib")), **row)
            for row in csv.DictReader(file)
        )


KNOWN_FILES = _read_table()
"""Best first: video before images. Of video swin_base before the others, and more and more varied
training data before less; of images ImageNet-22K before ImageNet-1K, then swin_base before the
others."""


def find_pretrained(folders: Sequence[Path], backbone: str | None = None) -> Pretrained | None:
    """The best known file in some folders, or None; the arguments are those of `find_all`."""
    return next(iter(find_all(folders, backbone)), None)


def find_all(folders: Sequence[Path], backbone: str | None = None) -> list[Pretrained]:
    """Every known file in some folders, the best first.

    Args:
        folders: where to look, not below; of the same file in two, the first folder's is taken.
        backbone: only files of this backbone, e.g. "swin_tiny"; None takes any.
    """
    files = []
    for known in KNOWN_FILES:
        paths = (Path(folder, known.name) for folder in folders)
        path = next((path for path in paths if path.is_file()), None)
        if path is not None and backbone in (None, known.backbone):
            files.append(Pretrained(str(path), known.backbone, known.source, known.window_size))
    return files


def find_unknown(folders: Iterable[Path]) -> tuple[str, ...]:
    """Weight files in some folders that are not known: `load_from` takes them by name."""
    paths = sorted(path for folder in folders for path in Path(folder).glob("*"))
    weights = (path for path in paths if path.suffix in WEIGHT_SUFFIXES and path.is_file())
    return tuple(str(path) for path in weights if known_file(path.name) is None)


def known_file(name: str) -> KnownFile | None:
    """The entry of a file name, or None."""
    return next((known for known in KNOWN_FILES if known.name == name), None)
