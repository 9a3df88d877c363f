"""What the settings name, before it is checked across lists."""

import os
from pathlib import Path

import pytest

from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import InstallError, ListingError
from autox_video.data.listing.configured_lists import (
    check_root,
    may_name_test_clips,
    read_lists,
    reading_of,
)
from autox_video.data.listing.listing import read_listing, split_listing
from tests.servers import serve


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("videos")
    return tmp_path


def settings(**given):
    return settings_from_mapping({"data_root": "videos", "work_dir": "work", **given}, "test")


def read(**files):
    files = {"train": "auto", "val": "auto", "test": "auto", **files}
    return read_lists(files, reading_of(settings())).splits


def test_the_split_column_of_a_plain_list_is_followed_where_it_names_splits(here):
    Path("l.csv").write_text("path,label,split\na.mp4,x,train\nb.mp4,y,\nc.mp4,x,valid\n")
    found = read(train="l.csv")
    assert {name: list(split.paths) for name, split in found.items()} == {
        "train": ["a.mp4", "b.mp4"],
        "val": ["c.mp4"],
    }
    Path("l.csv").write_text("path,label,split\na.mp4,x,fold1\nb.mp4,y,fold2\n")
    found = read(train="l.csv")
    assert {name: list(split.paths) for name, split in found.items()} == {
        "train": ["a.mp4", "b.mp4"]
    }


def test_a_list_for_a_split_that_it_does_not_have(here):
    Path("l.csv").write_text("path,label,split\na.mp4,x,train\nc.mp4,x,val\n")
    with pytest.raises(
        ListingError, match=r"l\.csv: there are no clips for testing, only for train"
    ):
        read(train="l.csv", test="l.csv")


def test_where_test_clips_may_be_named(here):
    assert may_name_test_clips("l.csv", "videos")
    assert not may_name_test_clips("auto", "videos")
    os.mkdir("videos/Test")
    assert may_name_test_clips("auto", "videos")


def test_roots(here):
    assert check_root("videos") == Path("videos")
    assert check_root(f"file://{here}/videos") == here / "videos"
    assert check_root("memory://clips/") == "memory://clips"
    with pytest.raises(ListingError, match="data_root: no does not exist; relative paths start"):
        check_root("no")
    with pytest.raises(ListingError, match="data_root: nosuch://x: nosuch:// URLs are not"):
        check_root("nosuch://x")


def test_a_missing_package_is_said_before_anything_is_read(here, monkeypatch):
    from fsspec.registry import known_implementations

    missing = {"class": "no_such_package.Files", "err": "Install it"}
    monkeypatch.setitem(known_implementations, "s3a", missing)
    with pytest.raises(InstallError, match="pip install s3fs"):
        read_listing(settings(data_root="s3a://bucket"))
    Path("l.csv").write_text("path,label\ns3a://b/a.mp4,x\ns3a://b/b.mp4,y\n")
    Path("val.csv").write_text("path,label\nc.mp4,x\n")
    with pytest.raises(InstallError, match="pip install s3fs"):
        read_listing(settings(ann_file_train="l.csv", ann_file_val="val.csv", allow_outside=True))


def test_class_folders_of_a_web_server_that_lists_them(here):
    for name in ("run", "walk up"):
        os.mkdir(f"videos/{name}")
        for i in range(5):
            Path(f"videos/{name}/{i} x.mp4").touch()
    with serve(here) as server:
        found = split_listing(read_listing(settings(data_root=f"{server.address}/videos")))
    assert found.classes == ("run", "walk up")
    paths = {p for clips in (found.train, found.val, found.test) for p in clips.paths}
    assert paths == {f"{name}/{i} x.mp4" for name in ("run", "walk up") for i in range(5)}


def test_lists_and_class_names_of_a_web_server(here):
    Path("train.txt").write_text("a.mp4 0\nb.mp4 1\n")
    Path("val.txt").write_text("c.mp4 0\n")
    Path("classes.txt").write_text("run\nwalk\n")
    with serve(here) as server:
        lists = {f"ann_file_{name}": f"{server.address}/{name}.txt" for name in ("train", "val")}
        found = read_listing(settings(data_root=f"{server.address}/videos", **lists))
        assert (found.classes, found.named) == (("run", "walk"), True)
        assert found.train.paths == ("a.mp4", "b.mp4")
        Path("train.txt").write_text("a.mp4 0\nb.mp4\n")
        with pytest.raises(ListingError, match=r"http.*/train\.txt:2: `b\.mp4` has no label"):
            read_listing(settings(data_root=f"{server.address}/videos", **lists))
        with pytest.raises(ListingError, match=r"no\.txt: there is no such file on the server\."):
            read_listing(settings(ann_file_train=f"{server.address}/no.txt"))
