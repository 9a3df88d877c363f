from pathlib import Path

import mmaction
import pytest
import torchvision
import yaml

from autox_video.backbones.weights.known_weights import (
    KNOWN_FILES,
    find_all,
    find_pretrained,
    find_unknown,
)

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
    paths = [found.path for found in find_all([first, second])]
    assert paths == [str(second / BEST), str(first / TINY), str(second / IMAGES)]
    assert [found.path for found in find_all([first, second], "swin_tiny")] == [paths[1]]


def test_unknown_files_are_not_taken_but_reported(tmp_path):
    put(tmp_path, "mine.pth", "notes.txt", "their.safetensors")
    assert find_pretrained([tmp_path, tmp_path / "missing"]) is None
    names = [Path(path).name for path in find_unknown([tmp_path, tmp_path / "missing"])]
    assert names == ["mine.pth", "their.safetensors"]


def test_known_files_are_not_reported_as_unknown(tmp_path):
    assert find_unknown([put(tmp_path, BEST, TINY, LONG_WINDOW, IMAGES)]) == ()


def test_the_readme_lists_every_file_with_its_facts():
    rows = [r for r in (ROOT / "checkpoints" / "README.md").read_text().splitlines() if "](h" in r]
    table = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row[0] == "|"]
    assert table == [
        [
            f"[`{known.name}`]({known.url})",
            known.backbone.removeprefix("swin_"),
            known.source,
            f"{known.top1:g}",
            str(known.size_mib),
            known.licence,
        ]
        for known in KNOWN_FILES
    ]


def test_mmaction2s_files_are_those_of_its_index():
    index = Path(mmaction.__file__).parent / ".mim/configs/recognition/swin/metafile.yml"
    published = {
        model["Weights"]: (model["Results"][0]["Metrics"]["Top 1 Accuracy"], model["Results"][0])
        for model in yaml.safe_load(index.read_text())["Models"]
    }
    ours = {known.url: known for known in KNOWN_FILES if "openmmlab" in known.url}
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
    assert set(ours) == set(published)
    for url, meta in published.items():
        assert ours[url].top1 == meta["_metrics"][data]["acc@1"]
        assert ours[url].size_mib == round(meta["_file_size"])


def test_every_file_of_torchvision_is_compared():
    ours = [known for known in KNOWN_FILES if "pytorch.org" in known.url]
    assert all(known.source.startswith(("Kinetics-400", IMAGENET)) for known in ours)
