"""Files of pretrained weights that can be used as they are, by name; no file is opened here.

Accuracies are what the publishers report; sizes in MiB are torchvision's own for its files, and
elsewhere what the tensors take.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.backbones.specs import PUBLISHED_WINDOW, Pretrained


@dataclass(frozen=True, slots=True)
class Architecture:
    """What tells one backbone's weights from another's."""

    embed_dims: int
    """Width of the first stage."""
    depths: tuple[int, ...]
    """Blocks per stage."""
    patch_size: tuple[int, int, int] = (2, 4, 4)
    """Frames, rows and columns per token."""
    window_size: tuple[int, int, int] = PUBLISHED_WINDOW
    """Time steps, rows and columns per attention window, where the weights ask for no other."""


ARCHITECTURES = {
    "swin_nano": Architecture(48, (2, 2, 2)),
    "swin_tiny": Architecture(96, (2, 2, 6, 2)),
    "swin_small": Architecture(96, (2, 2, 18, 2)),
    "swin_base": Architecture(128, (2, 2, 18, 2)),
    "swin_large": Architecture(192, (2, 2, 18, 2)),
}
"""By backbone; a test holds it in step with configs/."""

CONV_ARCHITECTURES = {"conv_nano": ((24, 32, 64, 128, 256), (1, 1, 2, 1))}
"""Channels, of the first layer and each stage, and blocks of each stage; held in step likewise."""

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")

_OFFICIAL = "https://github.com/SwinTransformer/storage/releases/download/v1.0.4/"
_OFFICIAL_IMAGES = "https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
_MMACTION2 = "https://download.openmmlab.com/mmaction/v1.0/recognition/swin/"
_TORCHVISION = "https://download.pytorch.org/models/"
_APACHE = "Apache-2.0"
_BSD = "BSD-3-Clause"
_MIT = "MIT"


@dataclass(frozen=True, slots=True)
class KnownFile:
    """One published file."""

    name: str
    backbone: str
    source: str
    """What it was trained on, the latest first; "images" says that it has no time."""
    top1: float
    """Reported top-1 accuracy on the first data set of `source`, in percent."""
    size_mib: int
    licence: str
    url: str
    window_size: tuple[int, int, int] = PUBLISHED_WINDOW
    """Attention window of the model to build for it: for video the file's own."""


def _official(name: str, backbone: str, source: str, top1: float, size_mib: int) -> KnownFile:
    window = (16, 7, 7) if "window1677" in name else PUBLISHED_WINDOW
    return KnownFile(name, backbone, source, top1, size_mib, _APACHE, _OFFICIAL + name, window)


def _official_image(name: str, backbone: str, source: str, top1: float, size_mib: int) -> KnownFile:
    return KnownFile(name, backbone, source, top1, size_mib, _MIT, _OFFICIAL_IMAGES + name)


def _mmaction2(name: str, backbone: str, source: str, top1: float, size_mib: int) -> KnownFile:
    folder = name.rpartition("_")[0]
    url = f"{_MMACTION2}{folder}/{name}"
    return KnownFile(name, backbone, source, top1, size_mib, _APACHE, url)


def _torchvision(name: str, backbone: str, source: str, top1: float, size_mib: int) -> KnownFile:
    return KnownFile(name, backbone, source, top1, size_mib, _BSD, _TORCHVISION + name)


_K400_1K = "Kinetics-400, ImageNet-1K"
_K400_22K = "Kinetics-400, ImageNet-22K"
_IMAGES_1K = "ImageNet-1K, images"
_IMAGES_22K = "ImageNet-1K, ImageNet-22K, images"

KNOWN_FILES = (
    _official(
        "swin_base_patch244_window877_kinetics600_22k.pth",
        "swin_base",
        "Kinetics-600, ImageNet-22K",
        84.0,
        365,
    ),
    _official(
        "swin_base_patch244_window877_kinetics400_22k.pth", "swin_base", _K400_22K, 82.7, 364
    ),
    _torchvision("swin3d_b_22k-7c6ae6fa.pth", "swin_base", _K400_22K, 81.643, 364),
    _official("swin_base_patch244_window877_kinetics400_1k.pth", "swin_base", _K400_1K, 80.6, 364),
    _mmaction2(
        "swin-base-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb_20220930-182ec6cc.pth",
        "swin_base",
        _K400_1K,
        80.57,
        364,
    ),
    _torchvision("swin3d_b_1k-24f7c7c6.pth", "swin_base", _K400_1K, 79.427, 364),
    _official(
        "swin_base_patch244_window1677_sthv2.pth",
        "swin_base",
        "Something-Something v2, Kinetics-400",
        69.6,
        452,
    ),
    _mmaction2(
        "swin-large-p244-w877_in22k-pre_16xb8-amp-32x2x1-30e_kinetics700-rgb_20220930-f8d74db7.pth",
        "swin_large",
        "Kinetics-700, ImageNet-22K",
        75.92,
        781,
    ),
    _mmaction2(
        "swin-large-p244-w877_in22k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb_20220930-78ad8b11.pth",
        "swin_large",
        _K400_22K,
        83.46,
        779,
    ),
    _mmaction2(
        "swin-small-p244-w877_in1k-pre_32xb4-amp-32x2x1-30e_kinetics710-rgb_20230612-8e082ff1.pth",
        "swin_small",
        "Kinetics-710, ImageNet-1K",
        76.9,
        219,
    ),
    _official(
        "swin_small_patch244_window877_kinetics400_1k.pth", "swin_small", _K400_1K, 80.6, 218
    ),
    _mmaction2(
        "swin-small-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb_20220930-e91ab986.pth",
        "swin_small",
        _K400_1K,
        80.54,
        218,
    ),
    _torchvision("swin3d_s-da41c237.pth", "swin_small", _K400_1K, 79.521, 218),
    _mmaction2(
        "swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb_20220930-241016b2.pth",
        "swin_tiny",
        _K400_1K,
        78.9,
        121,
    ),
    _official("swin_tiny_patch244_window877_kinetics400_1k.pth", "swin_tiny", _K400_1K, 78.8, 121),
    _torchvision("swin3d_t-7615ae03.pth", "swin_tiny", _K400_1K, 77.715, 122),
    _official_image(
        "swin_base_patch4_window7_224_22kto1k.pth", "swin_base", _IMAGES_22K, 85.2, 336
    ),
    _official_image(
        "swin_large_patch4_window7_224_22kto1k.pth", "swin_large", _IMAGES_22K, 86.3, 751
    ),
    _torchvision("swin_b-68c6b09e.pth", "swin_base", _IMAGES_1K, 83.582, 335),
    _official_image("swin_base_patch4_window7_224.pth", "swin_base", _IMAGES_1K, 83.5, 336),
    _official_image("swin_small_patch4_window7_224.pth", "swin_small", _IMAGES_1K, 83.2, 191),
    _torchvision("swin_s-5e29d889.pth", "swin_small", _IMAGES_1K, 83.196, 190),
    _torchvision("swin_t-704ceda3.pth", "swin_tiny", _IMAGES_1K, 81.474, 108),
    _official_image("swin_tiny_patch4_window7_224.pth", "swin_tiny", _IMAGES_1K, 81.2, 109),
)
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
    found = []
    for known in KNOWN_FILES:
        places = (Path(folder) / known.name for folder in folders)
        path = next((place for place in places if place.is_file()), None)
        if path is not None and backbone in (None, known.backbone):
            window = known.window_size
            found.append(Pretrained(str(path), known.backbone, known.source, window))
    return found


def find_unknown(folders: Iterable[Path]) -> tuple[str, ...]:
    """Weight files in some folders that are not known: `load_from` takes them by name."""
    names = {known.name for known in KNOWN_FILES}
    paths = sorted(path for folder in map(Path, folders) for path in folder.glob("*"))
    return tuple(
        str(path)
        for path in paths
        if path.suffix in WEIGHT_SUFFIXES and path.name not in names and path.is_file()
    )


def known_file(name: str) -> KnownFile | None:
    """The entry of a file name, or None."""
    return next((known for known in KNOWN_FILES if known.name == name), None)
