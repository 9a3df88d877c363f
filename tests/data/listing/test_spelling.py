"""Spellings that look the same."""

import pytest

from autox_video.data.listing.spelling import as_drawn, as_seen, file_key, spelled_out


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("red", "red"),
        (" red  car ", "red car"),
        ("red\u200b", "red"),
        ("\ufeffred", "red"),
        ("r\u00aded", "red"),
        ("red\u00a0car", "red car"),
        ("red\u200f", "red"),
        ("red\ufe0f", "red"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("\u8df3\u821e", "\u8df3\u821e"),
    ],
)
def test_as_seen(text, wanted):
    assert as_seen(text) == wanted


def test_letters_that_are_drawn_alike():
    assert as_drawn("w\u0430ve") == "wave"  # Cyrillic a
    assert as_drawn("\uff57ave") == "wave"  # full width
    assert as_drawn("wave") != as_drawn("wane")


def test_what_cannot_be_seen_is_written_out():
    assert spelled_out("red\u200b car\u00a0") == "red\\u200b car\\xa0"
    assert spelled_out("Caf\u00e9") == "Caf\u00e9"


def test_file_keys():
    assert file_key("A\\B\\T\u00fcr.MP4") == file_key("a/b/Tu\u0308r.mp4")
    assert file_key("my%20clip.mp4") == "my clip.mp4"
    assert file_key("100%.mp4") == "100%.mp4"
