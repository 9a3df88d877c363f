"""Find the weights that a library publishes for a backbone that our own table lacks."""

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from autox_video.backbones.libraries.hub_models import WEIGHTS, is_folder, pinned, weights_in
from autox_video.backbones.weights.fetching import address_of, is_offline, reachable
from autox_video.backbones.weights.hub import files_and_licence
from autox_video.backbones.weights.known_weights import KnownFile
from autox_video.config.choices import BACKBONES

UNKNOWN = "unknown"
"""Placeholder for a licence that the library does not state."""

_NONCOMMERCIAL = re.compile(r"\bnc\b|non-?commercial|research-only|^apple-", re.IGNORECASE)


def published_file(backbone: str) -> KnownFile | None:
    """Return the weight file that a library publishes for a backbone; None if there is none.

    For a file on the Hugging Face hub, the licence is looked up online if possible.

    Args:
        backbone: a name such as "timm:resnet18".

    Raises:
        ConfigError: the library has no such backbone.
    """
    family = BACKBONES.family_of(backbone)
    find = _FAMILIES.get(family)
    return None if find is None else find(backbone, backbone.partition(":")[2])


def excludes_commerce(licence: str) -> bool:
    """Return whether a licence excludes commercial use, judging by its name."""
    return _NONCOMMERCIAL.search(licence.replace("_", "-")) is not None


def _of_timm(backbone: str, name: str) -> KnownFile | None:
    import timm

    published = timm.get_pretrained_cfg(name)
    if published is None or not (published.hf_hub_id or published.url):
        return None
    file = published.hf_hub_filename or "model.safetensors"
    url = f"hf://{published.hf_hub_id}/{file}" if published.hf_hub_id else published.url
    mib = round(BACKBONES[backbone].parameters_millions * 4e6 / 2**20)
    return _file(backbone, url, published.license or UNKNOWN, published.tag or "images", mib)


def _of_torchvision(backbone: str, name: str) -> KnownFile | None:
    from torchvision.models import get_model_weights

    try:
        weights = get_model_weights(name).DEFAULT
    except ValueError:
        return None
    digits = Path(weights.url).stem.rpartition("-")[2]
    data = ", ".join(weights.meta.get("_metrics", {"images": None}))
    mib = round(weights.meta.get("_file_size", 0))
    return _file(backbone, weights.url, "BSD-3-Clause", data, mib, digits)


def _of_mmaction2(backbone: str, name: str) -> KnownFile | None:
    import yaml

    spec = importlib.util.find_spec("mmaction")
    for folder in (spec and spec.submodule_search_locations) or ():
        for index in Path(folder, ".mim", "configs", "recognition").glob("*/metafile.yml"):
            for model in yaml.safe_load(index.read_text(encoding="utf-8"))["Models"]:
                url = str(model.get("Weights") or "").strip("()")
                if name == model.get("Name") and url:
                    # The authors of VideoMAE, who published its weights, exclude commercial use.
                    licence = "CC-BY-NC-4.0" if "videomae" in name else "Apache-2.0"
                    data, digits = model["Results"][0]["Dataset"], url[-12:].partition(".")[0]
                    return _file(backbone, url, licence, data, 0, digits)
    return None


def _of_hub(backbone: str, name: str) -> KnownFile | None:
    """Find the weight file in a local folder, the cache or the hub, searched in this order.

    If the cache contains a description of the model, the weights come from the same commit.
    """
    if is_folder(name):
        path = weights_in(name)
        return path and _file(backbone, str(path), UNKNOWN, "a local folder")
    name = pinned(name)
    files = [_file(backbone, f"hf://{name}/{file}", UNKNOWN, "the hub") for file in WEIGHTS]
    cached = next((file for file in files if file.path_in(())), None)
    if cached is not None:
        return cached
    if is_offline() or not reachable([address_of(files[0])]):
        return files[0]
    repository, _, revision = name.partition("@")
    sizes, licence = files_and_licence(repository, revision or None)
    for file in WEIGHTS:
        if file in sizes:
            url, mib = f"hf://{name}/{file}", round(sizes[file] / 2**20)
            return _file(backbone, url, licence or UNKNOWN, "the hub", mib)
    return None


def _file(
    backbone: str, url: str, licence: str, source: str, mib: int = 0, sha256: str = ""
) -> KnownFile:
    return KnownFile(
        backbone,
        None,
        mib,
        licence,
        source,
        url,
        backbone,
        sha256 if re.fullmatch(r"[0-9a-f]{8,64}", sha256) else "",
        noncommercial=excludes_commerce(licence),
    )


_FAMILIES: Mapping[str | None, Callable[[str, str], KnownFile | None]] = {
    "timm": _of_timm,
    "torchvision": _of_torchvision,
    "mmaction2": _of_mmaction2,
    "hf": _of_hub,
}
