"""What is drawn on a frame."""

import numpy as np
import pytest

from autox_video.prediction.annotation import fonts
from autox_video.prediction.annotation.overlay import (
    BACKGROUND,
    MARK,
    Overlay,
    colour_of,
    lanes_of,
)
from autox_video.prediction.timeline import Segment


def segment(index, start, end, name="run", score=0.9):
    return Segment(index, name, start, end, score)


def test_the_strip_shows_each_segment_in_its_colour():
    segments = [segment(0, 0.0, 2.0), segment(1, 5.0, 10.0)]
    overlay = Overlay((100, 96), segments, (0.0, 10.0))
    assert overlay.strip.shape == (4, 100, 3)
    assert (overlay.strip[:, :20] == colour_of(0)).all()
    assert (overlay.strip[:, 20:50] == BACKGROUND).all()
    assert (overlay.strip[:, 50:] == colour_of(1)).all()
    late = Overlay((100, 96), [segment(0, 5.0, 7.0)], (5.0, 15.0))
    assert (late.strip[:, :20] == colour_of(0)).all() and (late.strip[:, 20:] == BACKGROUND).all()
    drawn = overlay.draw(np.zeros((96, 100, 3), np.uint8), 5.0)
    assert (drawn[-4:, 49:51] == MARK).all() and (drawn[-4:, 51] == colour_of(1)).all()
    for second in (0.0, 10.0, 11.0):  # also at and after the end
        drawn = overlay.draw(np.zeros((96, 100, 3), np.uint8), second)
        assert (drawn[-4:] == MARK).all(axis=2).all(axis=0).sum() in (1, 2)


def test_a_frame_is_not_changed_in_place():
    pixels = np.zeros((96, 100, 3), np.uint8)
    Overlay((100, 96), [segment(0, 0.0, 1.0)], (0.0, 1.0)).draw(pixels, 0.5)
    assert not pixels.any()


def test_segments_that_overlap_have_lanes():
    segments = [segment(0, 0, 4), segment(1, 2, 6), segment(2, 4, 8), segment(3, 5, 6)]
    assert lanes_of(segments) == [0, 1, 0, 2]
    overlay = Overlay((80, 24 * 12), segments[:2], (0.0, 8.0))
    assert (overlay.strip[:6, 30] == colour_of(0)).all()
    assert (overlay.strip[6:, 30] == colour_of(1)).all()


def test_current_segments_are_the_most_probable_first():
    segments = [segment(0, 0, 4, score=0.6), segment(1, 1, 2), segment(2, 1, 3, score=0.7)]
    overlay = Overlay((80, 96), segments, (0.0, 8.0))
    assert [s.index for s in overlay.current(1.5)] == [1, 2, 0]
    assert [s.index for s in overlay.current(2.0)] == [2, 0]
    assert [s.index for s in overlay.current(3.9)] == [0]
    assert overlay.current(4.0) == []


def ink(name, size=(400, 96)):
    """How much of the line of a class is not background, right of the score."""
    overlay = Overlay(size, [segment(0, 0.0, 1.0, name)], (0.0, 1.0))
    line = overlay.draw(np.zeros((size[1], size[0], 3), np.uint8), 0.5)[:15, 45:].astype(int)
    return int((line.sum(axis=2) > 3 * 128).sum())


@pytest.mark.parametrize("name", ["run", "идти", "περπατώ", "הליכה", "مشى", "naïve", "Đi bộ"])
def test_letters_of_many_scripts_are_drawn(name, capsys):
    assert ink(name) > 20
    assert fonts.font_of(name, 10) is not None and capsys.readouterr().err == ""


def test_letters_are_joined_and_from_right_to_left():
    assert fonts.features.check("raqm"), "Pillow's wheels have it"
    font = fonts.font_of("مشى", 40)
    joined, apart = font.getlength("مشى"), sum(font.getlength(letter) for letter in "مشى")
    assert joined < apart
    # Right to left: the mask begins with the last letter.
    pair, last = (
        np.asarray(font.getmask(text)).reshape(-1, font.getmask(text).size[0])
        for text in ("אל", "ל")
    )
    assert pair[:, : last.shape[1] // 2].any()


def test_a_class_that_no_font_can_draw_is_replaced_and_said(monkeypatch, capsys):
    monkeypatch.setattr(fonts, "_system_fonts", lambda: ())
    assert ink("歩く") == ink("class 0") > 20
    said = capsys.readouterr().err
    assert "no font on this machine can draw the class 歩く" in " ".join(said.split())
    assert "`class 0`" in said
    monkeypatch.setattr(fonts.features, "check", lambda name: False)
    assert fonts.font_of("הליכה", 10) is None and fonts.font_of("run", 10) is not None


def test_control_characters_are_shown_escaped():
    assert ink("a\nb") > ink("ab") and ink("a\udcffb") > 0


def test_long_names_are_cut_and_small_frames_are_drawn_on():
    assert ink("long " * 50, (200, 96)) > 20
    for size in ((48, 24), (17, 16), (8, 6)):
        overlay = Overlay(size, [segment(0, 0.0, 1.0, "name" * 20)] * 6, (0.0, 1.0))
        drawn = overlay.draw(np.zeros((size[1], size[0], 3), np.uint8), 0.5)
        assert drawn.shape == (size[1], size[0], 3)
