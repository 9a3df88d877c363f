"""Classes that are probably one."""

import pytest

from autox_video.data.listing.classes.similar_names import near_names


@pytest.mark.parametrize(
    ("clips", "words"),
    [
        ({"red": 4, "Red": 1, "RED": 1, "blue": 4}, ["`red` (4 clips)", "`RED` (1 clip)", "case"]),
        ({"red": 4, "red\u200b": 4}, ["`red\\u200b`", "invisible"]),
        ({"Caf\u00e9": 4, "Cafe\u0301": 4}, ["invisible"]),
        ({"wave": 4, "w\u0430ve": 4}, ["look alike"]),
        ({"stand up": 4, "stand_up": 4}, ["spaces, hyphens, underscores or dots"]),
        ({"stand up": 4, "StandUp": 4}, ["spaces, hyphens, underscores or dots"]),
        ({"Schl\u00e4ge": 4, "Schlage": 4}, ["accents"]),
        ({"fight": 8, "fihgt": 8}, ["`fihgt`", "`fight`", "typo"]),
        ({"running": 8, "runing": 8}, ["`runing`", "typo"]),
        ({"push up": 8, "push ups": 8}, ["typo"]),
        ({"jumping": 40, "jamping": 2}, ["`jamping` (2 clips)", "`jumping` (40 clips)"]),
        ({"jumping": 40, "jmping": 2}, ["`jmping`"]),
        ({"red": 4, "green": 4, "red, green": 2}, ["`red, green`", "`red;green`"]),
    ],
)
def test_near_names_are_named_in_one_sentence(clips, words):
    (sentence,) = near_names(clips)
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    "clips",
    [
        {"class1": 40, "class2": 2, "class10": 3},
        {"left": 8, "right": 8, "up": 8, "down": 8},
        {"walk": 8, "talk": 2, "run": 8},
        {"jumping": 8, "jamming": 8},
        {"drink": 8, "brink": 1},
        {"cat": 90, "car": 2},
        {"lake": 90, "like": 2},
        {"sitting": 8, "sifting": 8},
        {"ApplyEyeMakeup": 90, "ApplyLipstick": 5},
        {"a": 3, "b": 3, "a10": 3, "a1": 1},
        {"put it into": 90, "put it onto": 5},
        {"typeA": 90, "typeB": 5},
        {"group a": 90, "group b": 5},
        {"take and give": 2, "take": 9},
        {"0": 5, "00": 5},
    ],
)
def test_other_names_are_not(clips):
    assert near_names(clips) == []


def test_only_ten_groups_are_named():
    clips = {name: 1 for i in range(12) for name in (f"one{i}", f"One{i}")}
    found = near_names(clips)
    assert len(found) == 11
    assert found[-1] == "... and 2 more like these."


@pytest.mark.parametrize(
    ("clips", "named"),
    [
        ({"?": 1, "red": 8, "blue": 8}, "`?` (1 clip)"),
        ({"unknown": 1, "red": 8, "blue": 8}, "`unknown` (1 clip)"),
        ({"dummy": 8, "red": 8, "blue": 8}, "`dummy` (8 clips)"),
        ({"red|hot": 2, "red|cold": 2, "blue|hot": 2, "blue|cold": 2}, "`red;hot`"),
        ({"red, hot": 2, "red, cold": 2, "blue, hot": 2, "blue, cold": 2}, "`red;hot`"),
        ({"0.37": 1, "1.25": 1, "12.5": 1}, "decimal numbers"),
    ],
)
def test_classes_that_look_like_something_else_are_named(clips, named):
    (sentence,) = near_names(clips)
    assert named in sentence


@pytest.mark.parametrize(
    "clips",
    [
        {"none": 8, "left": 8, "right": 8},
        {"unknown": 40, "yes": 20, "no": 20},
        {"sport/red": 4, "sport/blue": 4, "sport/green": 4},
        {"rock, paper": 2, "salt & pepper": 2, "bow": 3},
        {"putting it down, so it stays": 3, "putting it down, so it falls": 3, "taking it": 4},
        {"1.0": 3, "2.5": 3},
        {"v1.2": 3, "v12": 3, "1-2": 3, "12": 3},
    ],
)
def test_ordinary_classes_are_not_named(clips):
    assert near_names(clips) == []
