"""What a list names outside data_root: found however it is spelt, and refused in every format."""

import json
import os
from pathlib import Path

import pytest

from autox_video.config.settings import Settings
from autox_video.core.errors import ListingError
from autox_video.data.listing.boundary import find_outside
from autox_video.data.listing.configured_lists import (
    read_lists,
    read_test_list,
    reading_of,
)
from autox_video.data.listing.listing import read_test
from tests.places import Place


@pytest.fixture
def here(tmp_path, monkeypatch):
    """`videos` is data_root; beside it lie clips that are nobody's business."""
    monkeypatch.chdir(tmp_path)
    place = Place()
    place.videos("a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4", "../other/1.mp4", "../videos2/1.mp4")
    place.frames("../other/frames")
    return place


@pytest.mark.parametrize(
    "path",
    [
        "a/1.mp4",
        "./a/1.mp4",
        "b/../a/1.mp4",
        "a/../../videos/a/1.mp4",
        "a..b/..c/1...mp4",
        "HERE/videos/a/1.mp4",
        "HERE/other/../videos/a/1.mp4",
        "HERE/link_to_videos/a/1.mp4",
        "file://HERE/videos/a/1.mp4",
        "link_to_other/1.mp4",
        "x::file:1.mp4",
        "C:/1.mp4",
        "a\0/../1.mp4",
        "~/1.mp4",
    ],
)
@pytest.mark.parametrize("root", ["videos", "HERE/videos", "./b/../videos/", "link_to_videos"])
def test_inside_a_folder(here, path, root):
    Path("b").mkdir()
    Path("link_to_videos").symlink_to("videos")
    Path("videos/link_to_other").symlink_to("../other")
    path, root = (text.replace("HERE", os.getcwd()) for text in (path, root))
    assert find_outside(["a/1.mp4", path], root) == []


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../other/1.mp4",
        "a/../../other/1.mp4",
        "../videos2/1.mp4",
        "HERE/videos2/1.mp4",
        "HERE/videos/../other/1.mp4",
        "HERE/videos/link_to_other/../../etc",
        "/etc/passwd",
        "//etc/passwd",
        "/",
        "link_to_other/../1.mp4",
        "file:///etc/passwd",
        "file://HERE/videos/../other/1.mp4",
        "FILE://HERE/videos/a/1.mp4",
        "local:///etc/passwd",
        "https://host/videos/a/1.mp4",
        "s3://bucket/a/1.mp4",
    ],
)
@pytest.mark.parametrize("root", ["videos", "HERE/videos/"])
def test_outside_a_folder(here, path, root):
    Path("deep/down").mkdir(parents=True)
    Path("videos/link_to_other").symlink_to("../deep/down")
    path, root = (text.replace("HERE", os.getcwd()) for text in (path, root))
    assert find_outside(["a/1.mp4", path, "a/2.mp4"], root) == [1]


def test_everything_is_inside_the_root_of_the_disk(here):
    assert find_outside(["etc/passwd", "/etc/passwd", "../etc/passwd"], "/") == []


@pytest.mark.parametrize(
    ("root", "path", "outside"),
    [
        ("https://host/v", "a/1.mp4", False),
        ("https://host/v/", "a/x: 100%/1.mp4", False),
        ("https://host/v", "a::b.mp4", False),
        ("https://host/v", "a?/../../w.mp4", True),
        ("https://host/v", "https://host/v/a/1.mp4?token=../..", False),
        ("https://host/v", "HTTPS://host/v/a/1.mp4", False),
        ("https://host/v", "b/../a/1.mp4", False),
        ("https://host/v", "../w/1.mp4", True),
        ("https://host/v", "..%2fw/1.mp4", True),
        ("https://host/v", "%2E%2e/w/1.mp4", True),
        ("https://host/v", "..\\w/1.mp4", True),
        ("https://host/v", "https://host/w/1.mp4", True),
        ("https://host/v", "https://host/v2/1.mp4", True),
        ("https://host/v", "https://host/v/../w/1.mp4", True),
        ("https://host/v", "https://host:81/v/1.mp4", True),
        ("https://host/v", "https://host@other/v/1.mp4", True),
        ("https://host/v", "https://host.other/v/1.mp4", True),
        ("https://host/v", "http://host/v/1.mp4", True),
        ("https://host/v", "https://host/v/a::file:///etc/passwd", True),
        ("https://host", "https://host/anything.mp4", False),
        ("https://host", "https://host2/anything.mp4", True),
        ("s3://bucket/v", "a/1.mp4", False),
        ("s3://bucket/v", "100%25/..a/1.mp4", False),
        ("s3://bucket/v", "s3://bucket/v/a/1.mp4", False),
        ("s3://bucket/v", "s3://bucket/w/1.mp4", True),
        ("s3://bucket/v", "s3://other/v/1.mp4", True),
        ("s3://bucket/v", "../w/1.mp4", True),
        ("s3://bucket/v", "a?/../../w/1.mp4", True),
        ("s3://bucket/v", "s3://bucket/v/a?/../../../w/1.mp4", True),
        ("s3://bucket/v", "a.mp4::file:///etc/passwd", True),
        ("s3://bucket/v", "file:///etc/passwd", True),
    ],
)
def test_at_an_address(root, path, outside):
    assert find_outside(["a/2.mp4", path], root) == ([1] if outside else [])


def vertex_line(path, label):
    annotation = {"displayName": label}
    return json.dumps({"videoGcsUri": path, "timeSegmentAnnotations": [annotation]})


# By format: the list's name, and its text with a clip outside in the second data line.
LISTS = {
    "list": ("l.txt", "a/1.mp4 0\n{} 1\n"),
    "list, tabs": ("l.txt", "# names\na/1.mp4\tx\n{}\ty y\n"),
    "list, csv": ("l.csv", "path,label\na/1.mp4,x\n{},y\n"),
    "list, parts": ("l.csv", "path,label,start,end\na/1.mp4,x,0,1\n{},y,1,2\n"),
    "metadata, csv": ("metadata.csv", "file_name,label\nvideos/a/1.mp4,x\n{},y\n"),
    "metadata, jsonl": (
        "metadata.jsonl",
        '{{"file_name": "videos/a/1.mp4", "label": "x"}}\n{{"file_name": "{}", "label": "y"}}\n',
    ),
    "vertex_csv": ("l.csv", "training,a/1.mp4,x,0,1\ntraining,{},y,0,1\n"),
    "vertex_jsonl": (
        "l.jsonl",
        vertex_line("a/1.mp4", "x") + "\n" + vertex_line("PATH", "y") + "\n",
    ),
    "rawframes": ("l.txt", "a 3 0\n{} 3 1\n"),
}


def write_list_of(data_format, path):
    name, text = LISTS[data_format]
    text = text.replace("PATH", path) if "PATH" in text else text.format(path)
    Path(name).write_text(text)
    line = next(number for number, one in enumerate(text.split("\n"), 1) if path in one)
    return name, line


def lists_of(settings):
    files = {name: getattr(settings, f"ann_file_{name}") for name in ("train", "val", "test")}
    return read_lists(files, reading_of(settings))


@pytest.mark.parametrize("path", ["../other/1.mp4", "/etc/passwd", "s3://bucket/1.mp4"])
@pytest.mark.parametrize("data_format", LISTS)
@pytest.mark.parametrize("split", ["train", "val", "test", "a test alone"])
def test_every_format_and_split_names_list_line_and_clip(here, data_format, path, split):
    name, line = write_list_of(data_format, path)
    Path("good.csv").write_text("path,label\na/1.mp4,x\nb/1.mp4,y\n")
    settings = here.settings(data_format=data_format.partition(",")[0])
    if split in ("val", "test"):
        # The training list is of the same kind.
        good, _ = write_list_of(data_format, "b/1.mp4")
        os.rename(good, f"train_{good}")
        write_list_of(data_format, path)
        settings = here.settings(
            data_format=data_format.partition(",")[0],
            **{"ann_file_train": f"train_{good}", f"ann_file_{split}": name},
        )
    elif split == "train":
        settings = here.settings(data_format=data_format.partition(",")[0], ann_file_train=name)
    with pytest.raises(ListingError) as caught:
        if split == "a test alone":
            read_test_list(name, reading_of(settings))
        else:
            lists_of(settings)
    problems = [p for p in caught.value.problems if f"{name}:{line}: " in p]
    assert len(problems) == 1
    assert "outside data_root (videos)" in problems[0]
    assert "`allow_outside: true`" in problems[0]
    assert Path(path).name in problems[0]


@pytest.mark.parametrize("data_format", LISTS)
def test_allow_outside_allows_it(here, data_format):
    name, _ = write_list_of(data_format, "../other/1.mp4")
    settings = here.settings(
        data_format=data_format.partition(",")[0], ann_file_train=name, allow_outside=True
    )
    assert len(lists_of(settings).splits["train"]) == 2


def test_metadata_names_files_beside_itself_by_way_of_its_parent(here):
    here.write(videos__a__metadata_dot_csv="file_name,label\n1.mp4,x\n../b/1.mp4,y\n")
    settings = here.settings(ann_file_train="videos/a/metadata.csv")
    found = lists_of(settings).splits["train"]
    assert list(found.paths) == ["a/1.mp4", "b/1.mp4"]


def test_ten_of_each_list_are_named_and_the_others_counted(here):
    text = "".join(f"../other/{i}.mp4 {i % 2}\n" for i in range(50))
    here.write(l_dot_txt=text, v_dot_txt="../other/1.mp4 0\n")
    problems = here.problems("l.txt", ann_file_val="v.txt")
    assert len(problems) == 12
    assert problems[0].startswith("l.txt:1: clip `../other/0.mp4` is outside")
    assert problems[10] == "... and 40 more like these."
    assert problems[11].startswith("v.txt:1: ")


def test_folders_of_frames_count_like_files(here):
    here.frames("f")
    here.write(l_dot_txt="f 0\n../other/frames 1\n")
    assert "l.txt:2: clip `../other/frames` is outside" in here.problems("l.txt")[0]


def test_a_list_to_test_is_held_to_it_without_settings(here):
    here.write(t_dot_txt="../other/1.mp4\n")
    with pytest.raises(ListingError, match=r"t\.txt:1: .* outside data_root"):
        read_test(Settings(data_root="videos", ann_file_test="t.txt"), ["x", "y"])
