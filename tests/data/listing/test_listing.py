"""Whole listings: lists and folders in, checked splits and classes out."""

import os
from pathlib import Path

import pytest

from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import ListingError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.listing import read_listing, read_test, split_listing
from tests.places import named
from tests.videos import real_clips

TRAIN = "a 1.mp4 0\nb.mp4 1\n"
VAL = "c.mp4 0\nd.mp4 1\n"


def list_of(file):
    """Give the settings that name a list of clips to test in videos."""
    return settings_from_mapping({"data_root": "videos", "ann_file_test": file}, "test")


class Place:
    """A folder with `videos` and list files in it, the current one."""

    def videos(self, *paths):
        for path in paths:
            Path("videos", path).parent.mkdir(parents=True, exist_ok=True)
            Path("videos", path).touch()

    def read(self, train=None, val=None, test=None, **given):
        """Write these lists and read the listing that they make."""
        for name, text in (("train", train), ("val", val), ("test", test)):
            if text is not None:
                Path(f"{name}.txt").write_text(text, encoding="utf-8")
                given[f"ann_file_{name}"] = f"{name}.txt"
        given = {"data_root": "videos", "work_dir": "work", **given}
        return split_listing(read_listing(settings_from_mapping(given, "test")))

    def problems(self, *lists, **given):
        with pytest.raises(ListingError) as caught:
            self.read(*lists, **given)
        return list(caught.value.problems)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = Place()
    place.videos("a 1.mp4", "b.mp4", "c.mp4", "d.mp4")
    return place


@pytest.fixture
def empty_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("videos")
    return Place()


def files_under(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def test_lists_with_class_indices(place):
    listing = place.read(TRAIN, VAL, "b.mp4 1\nc.mp4 0\n")
    assert listing.data_root == Path("videos")
    assert listing.classes == ("0", "1")
    assert not listing.named
    assert listing.train == ClipTable(("a 1.mp4", "b.mp4"), (0, 1))
    assert listing.val == ClipTable(("c.mp4", "d.mp4"), (0, 1))
    assert listing.test == ClipTable(("b.mp4", "c.mp4"), (1, 0))
    assert not Path("work").exists()


def test_lists_with_class_names(place):
    listing = place.read("a 1.mp4 walk\nb.mp4\tjump up\n", "c.mp4\tjump up\n")
    assert listing.classes == ("jump up", "walk")
    assert listing.named
    assert (listing.train.labels, listing.val.labels) == ((1, 0), (0,))
    assert listing.test is None


def test_class_names_beside_the_list_name_the_indices(place):
    Path("classes.txt").write_text("walk\njump\n")
    listing = place.read(TRAIN, VAL)
    assert (listing.classes, listing.named) == (("walk", "jump"), True)
    assert listing.train.labels == (0, 1)


def test_absolute_paths_and_an_unlabelled_test_list(place):
    inside = Path("videos").absolute()
    listing = place.read(TRAIN.replace("b.mp4", f"{inside}/b.mp4"), VAL, "c.mp4\na 1.mp4\n")
    assert listing.train.paths == ("a 1.mp4", f"{inside}/b.mp4")
    assert listing.test == ClipTable(("c.mp4", "a 1.mp4"), None)


def test_missing_clips_are_named_with_file_and_line(place):
    found = place.problems(TRAIN + "\nno.mp4 1\n", VAL + "no more.mp4 1\n")
    assert found == [
        f"train.txt:4: clip {Path('videos/no.mp4').absolute()} does not exist.",
        f"val.txt:3: clip {Path('videos/no more.mp4').absolute()} does not exist.",
    ]


def test_at_most_ten_missing_clips_are_named(place):
    found = place.problems(TRAIN + "".join(f"no{i}.mp4 1\n" for i in range(30)), VAL)
    assert len(found) == 11
    assert found[-1] == "... and 20 more like these."


@pytest.mark.parametrize("count", [2, 40])
def test_missing_clips_are_found_in_small_and_large_folders(place, count):
    names = [f"f/{i}.mp4" for i in range(count)]
    place.videos(*names)
    Path("videos/f/1.mp4").unlink()
    Path("videos/f/link.mp4").symlink_to("0.mp4")
    Path("videos/f/broken.mp4").symlink_to("nowhere")
    Path("videos/f/folder.mp4").mkdir()
    extra = ["f/link.mp4", "f/broken.mp4", "f/folder.mp4"]
    found = place.problems(TRAIN + "".join(f"{name} 1\n" for name in [*names, *extra]), VAL)
    missing = [Path("videos/f", name).absolute() for name in ("1.mp4", "broken.mp4", "folder.mp4")]
    line = len(names) + 2
    assert found == [
        f"train.txt:4: clip {missing[0]} does not exist.",
        f"train.txt:{line + 2}: clip {missing[1]} is a broken link to nowhere.",
        f"train.txt:{line + 3}: {missing[2]} is a folder, not a clip.",
    ]


def test_if_all_clips_are_missing_data_root_is_suspected(place):
    os.mkdir("elsewhere")
    (problem,) = place.problems(TRAIN, VAL, data_root="elsewhere")
    first = Path("elsewhere/a 1.mp4").absolute()
    assert problem.startswith("train.txt:1: none of the ")
    assert f" exists, for example {first}. data_root" in problem
    assert "data_root (elsewhere) is probably wrong" in problem
    assert f"relative paths start from {Path.cwd()}" in problem


def test_a_label_may_have_spaces(place):
    listing = place.read("a 1.mp4 stand up\nb.mp4 sit down\n", "c.mp4 stand up\n")
    assert listing.classes == ("sit down", "stand up")
    assert (listing.train.paths, listing.train.labels) == (("a 1.mp4", "b.mp4"), (1, 0))


def test_a_data_root_that_is_no_folder(place):
    (problem,) = place.problems(TRAIN, VAL, data_root="nowhere")
    assert problem.startswith("data_root: nowhere does not exist; relative paths start from /")
    (problem,) = place.problems(TRAIN, VAL, data_root="train.txt")
    assert problem.startswith("data_root: train.txt is not a folder")


def test_problems_of_all_lists_come_at_once(place):
    found = place.problems("", "x.mp4\n", ann_file_test="no.txt")
    assert [problem.split(":")[0] for problem in found] == ["train.txt", "val.txt", "no.txt"]


def test_problems_of_different_kinds_come_at_once(place):
    found = place.problems(TRAIN + "no.mp4 7\n", VAL + "./b.mp4 1\n", num_class=2)
    assert [problem.split(" ")[0] for problem in found] == [
        "train.txt:3:",
        "val.txt:3:",
        "train.txt:3:",
    ]
    assert "label 7 is out of range: num_class is 2, so labels go from 0 to 1." in found[0]
    assert found[1] == (
        "val.txt:3: clip `./b.mp4` is also a training clip (train.txt:2); validation clips must "
        "not be used for training."
    )
    assert "no.mp4 does not exist" in found[2]


def test_a_clip_listed_twice(place):
    listing = place.read(TRAIN + "./b.mp4 1\n", VAL)
    assert listing.train.paths == ("a 1.mp4", "b.mp4")
    assert listing.notes == (
        "train.txt: 1 duplicate line ignored, for example train.txt:3, which repeats train.txt:2.",
    )
    assert place.problems(TRAIN + "./b.mp4 0\n", VAL) == [
        "train.txt:3: clip `./b.mp4` has the label `0` here but `1` at train.txt:2; keep one of "
        "the two lines."
    ]


def test_test_clips_that_are_elsewhere_too_are_said(place):
    listing = place.read(TRAIN, VAL, "b.mp4 1\nc.mp4 0\nd.mp4 1\n")
    assert len(listing.notes) == 2
    assert listing.notes[0].startswith(
        "The test split shares 1 of its 3 clips with the train split"
    )
    assert listing.notes[1].startswith(
        "The test split shares 2 of its 3 clips with the val split: "
    )


def test_a_training_list_alone_is_divided_and_stays_so(place):
    names = [f"{label}{i}.mp4" for label in "xy" for i in range(10)]
    place.videos(*names)
    train = "".join(f"{name} {name[0]}\n" for name in names)
    first = place.read(train)
    assert (len(first.train), len(first.val), first.test) == (16, 4, None)
    assert sorted(first.val.labels) == [0, 0, 1, 1]
    assert "16 for train, 4 for val. WORK_DIR/split keeps the split." in first.notes[0]
    assert files_under("work") == ["split/train.csv", "split/val.csv"]
    again = place.read(train, seed=5)
    assert (again.train, again.val, again.notes) == (first.train, first.val, ())
    other = place.read(train, seed=5, work_dir="other")
    assert other.val != first.val


def test_nothing_is_written_when_there_is_a_problem(place):
    place.problems(TRAIN + VAL + "no.mp4 0\n")
    assert not Path("work").exists()


def test_class_folders_are_divided_and_stay_so(empty_place):
    clips = [f"{name}/{i}.mp4" for name in ("walk", "jump") for i in range(20)]
    empty_place.videos(*clips)
    first = empty_place.read()
    assert (first.classes, first.named) == (("jump", "walk"), True)
    assert (len(first.train), len(first.val), len(first.test)) == (28, 6, 6)
    for split in (first.train, first.val, first.test):
        wanted = tuple(int(path.startswith("walk")) for path in split.paths)
        assert split.labels == wanted
    assert files_under("videos") == sorted(clips)
    empty_place.videos("new/1.mp4", "jump/new.mp4")
    again = empty_place.read()
    for split in ("train", "val", "test"):
        assert named(first, split).items() <= named(again, split).items()
    assert again.classes == ("jump", "new", "walk")
    assert sum(map(len, again.splits.values())) == 42
    assert "2 clips are new (jump/new.mp4, new/1.mp4)" in " ".join(again.notes)


def test_class_folders_with_a_test_list_keep_its_clips_out_of_training(empty_place):
    empty_place.videos(*(f"{name}/{i}.mp4" for name in "ab" for i in range(5)))
    listing = empty_place.read(test="a/0.mp4 a\n./b/0.mp4 b\n")
    assert listing.test == ClipTable(("a/0.mp4", "./b/0.mp4"), (0, 1))
    assert (len(listing.train), len(listing.val)) == (6, 2)
    assert not {"a/0.mp4", "b/0.mp4"} & {*listing.train.paths, *listing.val.paths}


def test_split_folders_are_taken_as_they_are(empty_place):
    empty_place.videos("train/a/1.mp4", "train/b/1.mp4", "val/a/2.mp4", "test/b/2.mp4")
    listing = empty_place.read()
    assert listing.train == ClipTable(("train/a/1.mp4", "train/b/1.mp4"), (0, 1))
    assert listing.val == ClipTable(("val/a/2.mp4",), (0,))
    assert listing.test == ClipTable(("test/b/2.mp4",), (1,))
    assert not Path("work").exists()


def test_folders_called_like_numbers_are_names(empty_place):
    empty_place.videos(*(f"{name}/{i}.mp4" for name in ("10", "2") for i in range(3)))
    listing = empty_place.read()
    assert (listing.classes, listing.named) == (("2", "10"), True)


def test_one_class_is_too_few(empty_place):
    empty_place.videos("a/1.mp4", "a/2.mp4")
    (problem,) = empty_place.problems()
    assert problem == "videos: all clips are of the class `a`; at least two classes are needed."


def test_a_work_dir_that_cannot_be_written(place):
    Path("work").touch()
    with pytest.raises(ResourceError, match="cannot be written"):
        place.read("a 1.mp4 0\nb.mp4 1\nc.mp4 0\nd.mp4 1\n")


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("b.mp4 1\na 1.mp4 0\n", (1, 0)),
        ("b.mp4 jump\na 1.mp4 walk\n", (1, 0)),
        ("b.mp4\na 1.mp4\n", None),
        ("b.mp4\na 1.mp4\n./b.mp4\n", None),
    ],
)
def test_a_test_list_for_a_model(place, content, labels):
    Path("test.txt").write_text(content)
    found = read_test(list_of("test.txt"), ("walk", "jump"))
    assert found == ClipTable(("b.mp4", "a 1.mp4"), labels)


def test_classes_that_are_called_like_numbers_go_by_name(place):
    Path("test.txt").write_text("b.mp4 10\na 1.mp4 2\n")
    assert read_test(list_of("test.txt"), ("2", "10")).labels == (1, 0)


def test_a_test_list_that_does_not_fit_the_model(place):
    Path("test.txt").write_text("b.mp4 2\nno.mp4 0\n")
    with pytest.raises(ListingError) as caught:
        read_test(list_of("test.txt"), ("walk", "jump"))
    assert caught.value.problems == (
        "test.txt:1: label 2 is out of range: the model has 2 classes, so labels go from 0 to 1.",
        f"test.txt:2: clip {Path('videos/no.mp4').absolute()} does not exist.",
    )


def test_a_config_of_the_seed_system_on_real_clips(tmp_path):
    root = real_clips()
    given = {
        "data_root": str(root / "videos"),
        **{
            f"ann_file_{n}": str(root / f"annotations/{n}_list.txt")
            for n in ("train", "val", "test")
        },
        "video_length": 2,
        "num_class": 25,
        "work_dir": str(tmp_path),
    }
    listing = read_listing(settings_from_mapping(given, "test"))
    assert (len(listing.train), len(listing.val), len(listing.test)) == (150, 50, 50)
    assert listing.classes == tuple(map(str, range(25)))
    with pytest.raises(ListingError, match=r"train_list\.txt:\d+: label 24 is out of range"):
        read_listing(settings_from_mapping({**given, "num_class": 24}, "test"))


def test_near_names_and_other_readings_are_in_the_notes(place):
    place.videos("d.mp4")
    listing = place.read("a 1.mp4 fight\nb.mp4 fihgt\n", "c.mp4 fight\n")
    assert any("`fihgt`" in note and "typo" in note for note in listing.notes)
    # Of classes without names there is nothing to be said.
    assert place.read(TRAIN, VAL).notes == ()


@pytest.mark.parametrize(
    ("content", "labels", "words"),
    [
        ("path,label\nb.mp4,-1\na 1.mp4,-1\n", None, "which is ignored"),
        ("path,label\nb,jump\na 1.avi,walk\n", (1, 0), "found under a different spelling"),
        ("path,label,foo_frame\nb.mp4,1\na 1.mp4,0\n", (1, 0), "not used: `foo_frame`"),
    ],
)
def test_how_a_test_list_was_read_is_told(place, content, labels, words):
    Path("test.csv").write_text(content)
    notes = []
    found = read_test(list_of("test.csv"), ("walk", "jump"), on_note=notes.append)
    assert found.labels == labels
    assert any(words in note for note in notes)


def test_two_numbers_behind_a_test_clip_are_read_as_for_the_model(place):
    Path("test.txt").write_text("b.mp4 2 1\na 1.mp4 1 2\n")
    classes = ("x", "y", "z")
    assert read_test(list_of("test.txt"), classes).labels == (1, 2)
    found = read_test(list_of("test.txt"), classes, multi_label=True)
    assert found.labels == ((1, 2), (1, 2))
