"""A folder with a bound on its size."""

import pytest

from autox_video.core.sized_folder import read_sized_folder, size_of


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("auto", ("auto", None)),
        ("/fast/clips", ("/fast/clips", None)),
        ("/fast/clips:200G", ("/fast/clips", 200 << 30)),
        ("clips:1.5 TiB", ("clips", 3 << 39)),
        ("a:b/c:20mb", ("a:b/c", 20 << 20)),
        ("a:b/c", ("a:b/c", None)),
    ],
)
def test_folder_and_size(text, wanted):
    assert read_sized_folder(text) == wanted


@pytest.mark.parametrize("text", ["clips:", "clips:20", "clips:20X", "clips:0G", "clips:G"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="size"):
        read_sized_folder(text)


def test_sizes_are_said():
    assert [size_of(n) for n in (0, 1023, 1536, 5 << 30, 3 << 40)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 KiB",
        "5.0 GiB",
        "3.0 TiB",
    ]
