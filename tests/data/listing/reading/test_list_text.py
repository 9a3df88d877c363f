"""The text of list files, and files that are none."""

import pickle

import pytest

from autox_video.core.errors import ListingError
from autox_video.data.listing.reading.list_text import read_text, refuse_markup

TEXT = "path,label\nT\u00fcr.mp4,0\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings(tmp_path, encoding):
    (tmp_path / "l.csv").write_bytes(TEXT.encode(encoding))
    assert read_text(tmp_path / "l.csv") == TEXT


def test_line_ends_of_old_macs(tmp_path):
    (tmp_path / "l.csv").write_bytes(b"a.mp4 0\rb.mp4 1\r")
    assert read_text(tmp_path / "l.csv") == "a.mp4 0\nb.mp4 1\n"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04rest", "Excel or OpenDocument"),
        (b"\xd0\xcf\x11\xe0rest", "old Excel"),
        (b"PAR1rest", "Parquet"),
        (b"\x1f\x8brest", "a gzip archive"),
        (pickle.dumps([("a.mp4", 0)]), "Python pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (TEXT.encode("utf-16-le"), "looks like UTF-16"),
        (TEXT.encode("latin-1"), "this is not UTF-8 text; save it as UTF-8"),
        (b"a\0b c\n", "this is not text (it contains a null byte)"),
    ],
)
def test_files_that_are_no_text_are_named(tmp_path, data, what):
    (tmp_path / "l.csv").write_bytes(data)
    with pytest.raises(ListingError) as caught:
        read_text(tmp_path / "l.csv")
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<?xml version='1.0'?>\n<annotations><task/></annotations>", "a CVAT export (XML)"),
        ("<?xml version='1.0'?>\n<ANNOTATION_DOCUMENT AUTHOR=''>", "ELAN"),
        ("<!DOCTYPE html>\n<html>", "a web page (HTML)"),
        ("<clips><clip/></clips>", "XML"),
        ("- path: a.mp4\n  label: run\n", "YAML"),
        ("train:\n  - a.mp4\n", "YAML"),
        ("a.mp4: run\nb.mp4: walk\n", "YAML"),
    ],
)
def test_markup_is_named(text, what):
    with pytest.raises(ListingError) as caught:
        refuse_markup(text, "list.txt")
    assert what in str(caught.value)


@pytest.mark.parametrize(
    "text", ["<odd> name.mp4 0\n", "- a.mp4 0\n", "a: b.mp4 0\n", "a.mp4 x: y\n"]
)
def test_names_with_such_signs_are_no_markup(text):
    refuse_markup(text, "list.txt")
