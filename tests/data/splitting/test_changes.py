"""What has changed between two listings, in a table of cases."""

import pytest

from autox_video.data.splitting.changes import compare
from autox_video.data.splitting.known_clips import UNREADABLE, KnownClips


def clips(*rows, classes=None):
    """Give clips by rows of path (or key), class or classes, content and split."""
    columns = [], [], [], []
    for key, label, content, split in rows:
        label = (label,) if isinstance(label, str) else label
        content = content.encode() if isinstance(content, str) else content
        for column, value in zip(columns, (key, split, label, content), strict=True):
            column.append(value)
    names = classes or sorted({name for label in columns[2] for name in label or ()})
    return KnownClips(tuple(names), *map(tuple, columns))


def folder(**counts):
    """Give clips in class folders, each with a content of its own: wave=3 or wave=range(2, 5)."""
    rows = []
    for name, numbers in counts.items():
        numbers = range(numbers) if isinstance(numbers, int) else numbers
        rows += [(f"{name}/{i}.mp4", name, f"{name} {i}", "") for i in numbers]
    return clips(*rows)


def said(before, now):
    return compare(before, now).sentence()


def renamed_to(name, other, given, *, without_content=False):
    """Give clips of which a class folder is called otherwise."""
    rows = zip(given.keys, given.labels, given.digests, given.splits, strict=True)
    return clips(
        *(
            (
                key.replace(f"{name}/", f"{other}/"),
                tuple(other if n == name else n for n in label),
                b"" if without_content else digest,
                split,
            )
            for key, label, digest, split in rows
        )
    )


RUN_WAVE = folder(run=10, wave=10)


@pytest.mark.parametrize(
    ("before", "now", "sentence"),
    [
        (RUN_WAVE, RUN_WAVE, ""),
        (RUN_WAVE, folder(wave=10, run=10), ""),
        (RUN_WAVE, folder(run=10, wave=11), "1 clip is new (wave/10.mp4)"),
        (RUN_WAVE, folder(run=14, wave=18), "12 clips are new (8 in `wave`, 4 in `run`)"),
        (
            RUN_WAVE,
            folder(run=range(1, 10), wave=18, jump=4),
            "12 clips are new (8 in `wave`, 4 in `jump`), 1 is gone (run/0.mp4); class `jump` is "
            "new",
        ),
        (
            RUN_WAVE,
            folder(run=10),
            "10 clips are gone (10 in `wave`); class `wave` is gone",
        ),
        (RUN_WAVE, renamed_to("wave", "hi", RUN_WAVE), "class `wave` was renamed to `hi`"),
        (
            RUN_WAVE,
            renamed_to("wave", "hi", RUN_WAVE, without_content=True),
            "class `wave` was renamed to `hi`",
        ),
        (
            folder(run=10, wave=20),
            renamed_to("wave", "hi", folder(run=11, wave=range(2, 24))),
            "5 clips are new (4 in `hi`, 1 in `run`), 2 are gone (wave/0.mp4, wave/1.mp4); class "
            "`wave` was renamed to `hi`",
        ),
        (
            RUN_WAVE,
            clips(
                *((f"a/{i}", "run", f"run {i}", "") for i in range(10)),
                *((f"wave/{i}.mp4", "wave", f"wave {i}", "") for i in range(10)),
            ),
            "10 clips were moved or renamed (a/0, a/1, a/2, ...)",
        ),
        (
            RUN_WAVE,
            clips(
                *((f"run/{i}.mp4", "run", f"run {i}", "") for i in range(10)),
                *((f"wave/{i}.mp4", "wave", f"wave {i}", "") for i in range(8)),
                *((f"run/{i}x.mp4", "run", f"wave {i}", "") for i in (8, 9)),
            ),
            "2 clips have another class (wave -> run: 2)",
        ),
    ],
)
def test_sentences_on_class_folders(before, now, sentence):
    assert said(before, now) == sentence


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        ([("a", "x", "1", "train"), ("b", "y", "2", "val")], ""),
        ([("a", "x", "1", "val"), ("b", "y", "2", "val")],
         "1 clip is in another split (a: train -> val)"),
        ([("a", "y", "1", "train"), ("b", "y", "2", "val")],
         "1 clip has another class (a: x -> y)"),
        ([("a", "x", "other", "train"), ("b", "y", "2", "val")], ""),
        ([("b", "x", "1", "train"), ("a", "y", "2", "val")],
         "2 clips were moved or renamed (b, a)"),
        ([("a", "x", "1", "train"), ("b", None, "2", "val")], ""),
        ([("a", "x", "1", "train"), ("b", "y", "2", "val"), ("c", "y", UNREADABLE, "train")], ""),
    ],
)  # fmt: skip
def test_sentences_on_lists(now, sentence):
    before = clips(("a", "x", "1", "train"), ("b", "y", "2", "val"))
    assert said(before, clips(*now, classes=("x", "y"))) == sentence


def test_clips_that_could_not_be_read_may_go_or_move():
    before = clips(("a", "x", "1", ""), ("bad", "x", UNREADABLE, ""))
    assert said(before, clips(("a", "x", "1", ""))) == ""
    assert said(before, clips(("a", "x", "1", ""), ("bad", "x", "2", ""))) == ""


def test_classes_in_another_order_are_named():
    before = clips(("a", "x", "1", ""), ("b", "y", "2", ""))
    now = clips(("a", "x", "1", ""), ("b", "y", "2", ""), classes=("y", "x"))
    assert "in another order (number 0: `x` before, `y` now)" in said(before, now)
    more = clips(("a", "x", "1", ""), ("b", "y", "2", ""), classes=("x", "y", "z"))
    assert said(before, more) == "class `z` is new"


def test_parts_of_videos_are_clips_of_their_own():
    first, second = ("a.mp4", (0.0, 1.0)), ("a.mp4", (1.0, 2.0))
    before = clips((first, "x", "1", ""), (second, "y", "1", ""))
    assert said(before, clips((first, "x", "1", ""), (second, "y", "1", ""))) == ""
    moved = clips((("b.mp4", (0.0, 1.0)), "x", "1", ""), (("b.mp4", (1.0, 2.0)), "y", "1", ""))
    assert compare(before, moved).earlier == {0: 0, 1: 1}
    other = clips((first, "x", "1", ""), (("a.mp4", (1.0, float("inf"))), "y", "1", ""))
    assert said(before, other) == (
        "1 clip is new (a.mp4 from 1 to inf s), 1 is gone (a.mp4 from 1 to 2 s)"
    )


def test_renumbered_files_are_told_apart_by_content():
    """A clip that is put first shifts the names of all others."""
    before = clips(*((f"x/{i}.mp4", "x", f"{i}", "") for i in range(5)))
    now = clips(*((f"x/{i}.mp4", "x", f"{i - 1}", "") for i in range(6)))
    changes = compare(before, now)
    assert changes.earlier == {1: 0, 2: 1, 3: 2, 4: 3, 5: 4}
    assert changes.new == [0]


def test_copies_are_matched_once():
    before = clips(("a", "x", "1", ""), ("b", "x", "1", ""))
    changes = compare(before, clips(("c", "x", "1", ""), ("a", "x", "1", ""), ("d", "x", "1", "")))
    assert changes.earlier == {0: 1, 1: 0}
    assert changes.new == [2]


@pytest.mark.parametrize(
    ("now", "renamed"),
    [
        # half of it left, the rest under the new name, with many others
        (renamed_to("wave", "hi", folder(run=10, wave=range(5, 60))), {"wave": "hi"}),
        # too few of its clips are left
        (renamed_to("wave", "hi", folder(run=10, wave=range(6, 10))), {}),
        # split in two
        (
            clips(
                *((f"run/{i}.mp4", "run", f"run {i}", "") for i in range(10)),
                *((f"big/{i}.mp4", "big", f"wave {i}", "") for i in range(6)),
                *((f"small/{i}.mp4", "small", f"wave {i}", "") for i in range(6, 10)),
            ),
            {},
        ),
        # put together: the larger one counts
        (
            clips(
                *((f"all/r{i}.mp4", "all", f"run {i}", "") for i in range(10)),
                *((f"all/w{i}.mp4", "all", f"wave {i}", "") for i in range(9)),
            ),
            {"run": "all"},
        ),
        # the same file names, but other contents
        (
            clips(
                *((f"run/{i}.mp4", "run", f"run {i}", "") for i in range(10)),
                *((f"hi/{i}.mp4", "hi", f"hi {i}", "") for i in range(10)),
            ),
            {},
        ),
    ],
)
def test_when_a_class_counts_as_renamed(now, renamed):
    assert compare(RUN_WAVE, now).renamed == renamed


def test_two_classes_renamed_at_once_by_names_alone():
    now = renamed_to("run", "r", renamed_to("wave", "w", RUN_WAVE), without_content=True)
    changes = compare(RUN_WAVE, now)
    assert set(changes.renamed) == {"run", "wave"}
    assert set(changes.renamed.values()) == {"r", "w"}
    assert len(changes.earlier) == 20 and not changes.new


def test_a_renamed_class_in_clips_of_several():
    before = clips(*((f"{i}.mp4", ("a", "b") if i % 2 else ("b",), f"{i}", "") for i in range(6)))
    now = clips(*((f"{i}.mp4", ("b", "c") if i % 2 else ("b",), f"{i}", "") for i in range(6)))
    assert said(before, now) == "class `a` was renamed to `c`"
    other = clips(*((f"{i}.mp4", ("b", "c") if i % 2 else ("c",), f"{i}", "") for i in range(6)))
    assert said(before, other) == (
        "3 clips have another class (b -> c: 3); class `a` was renamed to `c`"
    )


def test_without_class_names_only_clips_are_compared():
    before = KnownClips((), ("a", "b"), ("train", "val"), (None, None), (b"", b""))
    now = clips(("a", "x", "1", ""), ("c", "y", "2", ""))
    assert said(before, now) == "1 clip is new (c), 1 is gone (b)"


@pytest.mark.parametrize(
    ("now", "adds_only"),
    [
        (RUN_WAVE, True),
        (folder(run=12, wave=10), True),
        (folder(run=10, wave=10, jump=2), True),
        (folder(run=9, wave=10), False),
        (renamed_to("wave", "hi", RUN_WAVE), False),
        (folder(run=10), False),
    ],
)
def test_whether_clips_are_added_only(now, adds_only):
    assert compare(RUN_WAVE, now).adds_only == adds_only
