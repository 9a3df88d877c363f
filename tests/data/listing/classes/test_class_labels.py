"""From labels as text to class indices."""

from array import array

import pytest

from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.classes.class_labels import (
    drop_placeholders,
    has_joined_labels,
    number_labels,
    say_indices,
)


def lists(**labels):
    """Give a list file for each split, one clip for each label in a blank-separated text."""
    found = {}
    for name, text in labels.items():
        texts = None if text is None else text.split()
        paths = [f"{name}{i}.mp4" for i in range(len(texts or "x"))]
        lines = array("L", range(1, len(paths) + 1))
        found[name] = ClipTable(paths, texts, lines=lines, source=f"{name}.txt")
    return found


def number(splits, *, names=None, **options):
    return number_labels(splits, names, **options)


@pytest.mark.parametrize(
    ("labels", "classes", "index"),
    [
        ("0 1 2", ("0", "1", "2"), {"0": 0, "1": 1, "2": 2}),
        ("02 1 0", ("0", "1", "2"), {"0": 0, "1": 1, "02": 2}),
        ("b a a10 a2", ("a", "a2", "a10", "b"), {"a": 0, "a2": 1, "a10": 2, "b": 3}),
    ],
)
def test_classes_from_the_lists(labels, classes, index):
    found = number(lists(train=labels, val=labels))
    assert (found.classes, found.index, found.problems) == (classes, index, [])
    assert found.named == (classes[0] == "a")


def test_given_names_are_the_classes_of_names_and_of_numbers():
    names = (("run", "jump"), "classes.txt")
    by_name = number(lists(train="jump run"), names=names)
    by_number = number(lists(train="1 0"), names=names)
    assert by_name.classes == by_number.classes == ("run", "jump")
    assert by_name.index == {"run": 0, "jump": 1}
    assert by_number.index == {"0": 0, "1": 1}
    assert by_name.named
    assert by_number.named


def test_folder_names_that_look_like_numbers_are_names():
    found = number(lists(train="10 2"), are_names=True)
    assert (found.classes, found.index) == (("2", "10"), {"2": 0, "10": 1})


def test_a_list_without_labels_counts_for_nothing():
    found = number(lists(train="0 1", test=None))
    assert (found.classes, found.problems) == (("0", "1"), [])


@pytest.mark.parametrize(
    ("splits", "options", "problem"),
    [
        (
            lists(train="0 1", val="0 25"),
            {"num_class": 2},
            "val.txt:2: label 25 is out of range: num_class is 2, so labels go from 0 to 1.",
        ),
        (
            lists(train="0 1 -1"),
            {},
            "train.txt:3: label -1 is not a class index (0, 1, 2, ...).",
        ),
        (
            lists(train="0 1 99999999999"),
            {},
            "train.txt:3: label 99999999999 is not a class index (0, 1, 2, ...).",
        ),
        (
            lists(train="0 1 2"),
            {"names": (("a", "b"), "classes.txt")},
            "train.txt:3: label 2 is out of range: classes.txt has 2 classes, so labels go from "
            "0 to 1.",
        ),
        (
            lists(train="run jmp"),
            {"names": (("run", "jump"), "classes.txt")},
            "train.txt:2: label `jmp` is not among the 2 classes in classes.txt "
            "(did you mean `jump`?).",
        ),
        (
            lists(train="0 1", val="0 walk"),
            {},
            "val.txt:2: label `walk` is a class name, but `0` at train.txt:1 is an integer; "
            "use only class indices or only class names, or list all of them in a class_names "
            "file.",
        ),
        (
            lists(train="run 3"),
            {},
            "train.txt:2: label `3` is an integer, but `run` at train.txt:1 is a class name; "
            "use only class indices or only class names, or list all of them in a class_names "
            "file.",
        ),
        (
            lists(train="a b"),
            {"num_class": 3},
            "num_class is 3, but the lists have 2 classes; set num_class: auto.",
        ),
        (
            lists(train="0 1"),
            {"num_class": 3, "names": (("a", "b"), "classes.txt")},
            "num_class is 3, but classes.txt has 2 classes; set num_class: auto.",
        ),
        (
            lists(train="0 0"),
            {},
            "train.txt: all clips are of the class `0`; at least two classes are needed.",
        ),
        (
            lists(train="a b", val="a c"),
            {},
            "train.txt: 1 of 3 classes have no training clips: `c` (in val.txt:2).",
        ),
        (
            lists(train="0 2"),
            {"num_class": 4},
            "train.txt: 2 of 4 classes have no training clips: `1`, `3`. Is num_class (4) right?",
        ),
    ],
)
def test_what_cannot_be_is_named_with_its_place(splits, options, problem):
    assert number(splits, **options).problems == [problem]


def test_at_most_ten_are_named():
    (problem,) = number(lists(train="0 20")).problems
    assert "`1`, `2`, `3`, `4`, `5`, `6`, `7`, `8`, `9`, `10` and 9 more." in problem
    wrong = number(lists(train=" ".join(map(str, range(30)))), num_class=5).problems
    assert len(wrong) == 11
    assert wrong[-1] == "... and 15 more like these."


# ---- several classes a clip ----


@pytest.mark.parametrize(
    ("labels", "names", "wanted"),
    [
        ("a;b a b", None, True),
        ("a;b a", None, True),
        ("a;b c", None, False),
        ("a b", None, False),
        ("0;2 1", None, True),
        ("a;b c", ("a", "b", "c"), True),
        ("a;b c", ("a;b", "c"), False),
        ("a;x a", ("a", "c"), False),
        ("a; b", None, False),
    ],
)
def test_several_classes_are_told_from_a_semicolon_in_a_name(labels, names, wanted):
    splits = lists(train=labels, test=None)
    names = names and (names, "classes.txt")
    assert has_joined_labels(splits, names) == wanted


def test_classes_of_joined_labels():
    found = number(lists(train="b;a c a;c;a", val="c;b"), multi_label=True)
    assert found.classes == ("a", "b", "c")
    assert found.index == {"b;a": (0, 1), "c": (2,), "a;c;a": (0, 2), "c;b": (1, 2)}
    found = number(lists(train="0;2 1"), multi_label=True)
    assert (found.classes, found.index) == (("0", "1", "2"), {"0;2": (0, 2), "1": (1,)})


def test_faults_in_joined_labels():
    found = number(lists(train="a;b a;2", val="b"), multi_label=True)
    assert found.problems[0].startswith("train.txt:2: label `2` is an integer, but `a` at ")
    found = number(lists(train="0 1", val="0;3"), multi_label=True, num_class=2)
    assert found.problems == [
        "val.txt:1: label 3 is out of range: num_class is 2, so labels go from 0 to 1."
    ]
    found = number(lists(train="a;b a", val="b;c"), multi_label=True)
    assert found.problems == [
        "train.txt: 1 of 3 classes have no training clips: `c` (in val.txt:1)."
    ]


# ---- what a label means ----


@pytest.mark.parametrize(
    ("labels", "names", "index"),
    [
        ("007 013 101", ("007", "013", "101"), {"007": 0, "013": 1, "101": 2}),
        ("0 1 2", ("1", "2", "0"), {"0": 2, "1": 0, "2": 1}),
        ("1 A b", ("1", "A", "b"), {"1": 0, "A": 1, "b": 2}),
        ("1 2 3", ("1", "2", "3"), {"1": 0, "2": 1, "3": 2}),
        ("0 1 02", ("0", "1", "2"), {"0": 0, "1": 1, "02": 2}),
        ("0 1", ("run", "walk"), {"0": 0, "1": 1}),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_label_that_is_a_class_is_that_class_in_training_and_testing(labels, names, index, split):
    found = number(lists(**{split: labels}), names=(names, "names.txt"))
    assert found.problems == []
    assert {label: found.index[label] for label in labels.split()} == index


def test_a_label_that_is_none_beside_some_that_are():
    found = number(lists(train="0 1 2"), names=(("1", "2", "3"), "names.txt"))
    assert found.problems == ["train.txt:1: label `0` is not among the 3 classes in names.txt."]


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        ("1 2 3", {}),
        ("1 2 3", {"names": (("a", "b", "c"), "names.txt")}),
        ("1 2 3", {"num_class": 3}),
    ],
)
def test_labels_from_one_are_refused_with_what_to_do(labels, options):
    problem = number(lists(train=labels), **options).problems
    text = " ".join(problem)
    assert "the labels go from 1 to 3, but class indices start at 0: subtract 1 from each" in text
    assert "class_names" in text


def test_numbers_with_gaps_say_how_to_make_them_names():
    (problem,) = number(lists(train="007 013 101")).problems
    assert problem.startswith("train.txt: 99 of 102 classes have no training clips: `0`, `1`")
    assert "to use numbers as class names" in problem


def test_whole_numbers_written_with_a_point_are_indices():
    found = number(lists(train="0.0 1.0 2"))
    assert (found.classes, found.problems) == (("0", "1", "2"), [])
    assert found.index["1.0"] == 1
    assert number(lists(train="1.0 2.5")).classes == ("1.0", "2.5")
    names = (("1.0", "2.0"), "names.txt")
    assert number(lists(train="1.0 2.0"), names=names).index == {"1.0": 0, "2.0": 1}


@pytest.mark.parametrize("other", ["red\u200b", "\ufeffred", "red\u2060"])
def test_labels_that_differ_in_nothing_that_is_seen_are_one(other):
    found = number(lists(train=f"red {other} blue", val="red"))
    assert found.classes == ("blue", "red")
    assert found.index[other] == found.index["red"] == 1
    (note,) = found.notes
    assert "differ from `red` only in invisible characters" in note
    assert ascii(other)[1:-1] in note
    given = number(lists(train=f"{other} blue"), names=(("red", "blue"), "names.txt"))
    assert given.index[other] == 0


def test_labels_in_another_case_are_two_classes():
    assert number(lists(train="red Red")).classes == ("Red", "red")


@pytest.mark.parametrize("label", ["-1", "?", "-", "unknown", "None", "-1.0"])
def test_labels_that_only_fill_the_column_of_a_test_list_are_none(label):
    test = lists(test=f"{label} {label}")["test"]
    entries, (note,) = drop_placeholders(test, ("run", "walk"))
    assert entries.labels is None
    assert f"`{label}`" in note
    assert drop_placeholders(test, (label, "walk")) == (test, [])


def test_a_test_list_of_one_class_is_said():
    test = lists(test="0 0 0")["test"]
    entries, (note,) = drop_placeholders(test, ("0", "1"))
    assert (entries, "all 3 clips have the label `0`" in note) == (test, True)
    for labels in ("0 1 0", "0 0"):
        test = lists(test=labels)["test"]
        assert drop_placeholders(test, ("0", "1")) == (test, [])


@pytest.mark.parametrize("filler", ["0", "x", "test"])
def test_labels_that_only_fill_the_column_of_a_test_list_are_named(filler):
    problems = number(lists(train="red blue", test=f"{filler} {filler} {filler}")).problems
    assert any("placeholder" in problem for problem in problems)
    if not filler.isdigit():
        problems = number(lists(test=f"{filler} {filler}"), names=(("red", "blue"), "m")).problems
        assert any("placeholder" in problem for problem in problems)


def test_classes_in_another_case_are_named_where_no_clip_is_for_training():
    (problem,) = number(lists(train="red blue", val="Red Blue")).problems
    assert "`Red` (in val.txt:1)" in problem
    assert problem.endswith("differ only in case: `blue`, `red`.")
    (problem,) = number(lists(train="RED"), names=(("red", "blue"), "names.txt")).problems
    assert "did you mean `red`?" in problem


@pytest.mark.parametrize(
    ("labels", "classes", "named"),
    [
        ("1 0 1", ("blue", "red"), ["0 is `blue`, 1 is `red`."]),
        ("red blue", ("blue", "red"), []),
        ("1 0", ("0", "1"), []),
        ("7 101", ("7", "101"), []),
    ],
)
def test_indices_of_named_classes_are_told(labels, classes, named):
    notes = say_indices(lists(test=labels)["test"], classes)
    assert len(notes) == len(named)
    assert all(note.endswith(end) for note, end in zip(notes, named, strict=True))
