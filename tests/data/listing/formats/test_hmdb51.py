"""HMDB51's folder of lists."""

from autox_video.data.listing.listing import read_test
from tests.places import named


def hmdb(place, count=4):
    for name in ("wave", "chew"):
        lines = [f"{name}_{i}.avi {(1, 2, 0, 1)[i % 4]} \n" for i in range(count)]
        place.write(**{f"hmdb__{name}_test_split1_dot_txt": "".join(lines)})
        place.write(**{f"hmdb__{name}_test_split2_dot_txt": f"{name}_0.avi 2\n{name}_1.avi 1\n"})
        place.videos(*(f"{name}/{name}_{i}.avi" for i in range(count)))


def test_hmdb51_is_a_folder_of_lists_for_training_and_testing(place):
    hmdb(place)
    listing = place.read("hmdb")
    assert listing.classes == ("chew", "wave")
    assert sorted((*listing.train.paths, *listing.val.paths)) == [
        f"{name}/{name}_{i}.avi" for name in ("chew", "wave") for i in (0, 3)
    ]
    assert named(listing, "test") == {"chew/chew_1.avi": "chew", "wave/wave_1.avi": "wave"}
    test = read_test(place.settings(ann_file_train="hmdb"), ("chew", "wave"))
    assert test == listing.test


def test_hmdb51_has_three_divisions(place):
    hmdb(place)
    test = read_test(place.settings(ann_file_train="hmdb", official_split=2), ("chew", "wave"))
    assert test.paths == ("chew/chew_0.avi", "wave/wave_0.avi")
    assert place.problems("hmdb", official_split=3) == [
        "hmdb: there are no CLASS_test_split3.txt files in it."
    ]


def test_hmdb51_clips_of_one_name_go_by_their_folder(place):
    place.write(hmdb__a_test_split1_dot_txt="x.avi 1\ny.avi 1\nt.avi 2\n")
    place.write(hmdb__b_test_split1_dot_txt="x.avi 1\nz.avi 1\nu.avi 2\n")
    place.videos("a/x.avi", "a/y.avi", "a/t.avi", "b/x.avi", "b/z.avi", "b/u.avi")
    listing = place.read("hmdb")
    found = {**named(listing, "train"), **named(listing, "val")}
    assert found == {"a/x.avi": "a", "a/y.avi": "a", "b/x.avi": "b", "b/z.avi": "b"}


def test_a_folder_of_other_files_is_no_list(place):
    place.write(other__x_dot_txt="a")
    assert place.problems("other") == [
        "other is a folder without known lists; name the list file itself."
    ]


def test_hmdb51_clips_whose_names_begin_with_a_hash(place):
    for name in ("wave", "chew"):
        place.write(
            **{f"hmdb__{name}_test_split1_dot_txt": "#1 a.avi 1 \n# note\nb.avi 1 \n#c.avi 2 \n"}
        )
        place.videos(*(f"{name}/{clip}" for clip in ("#1 a.avi", "b.avi", "#c.avi")))
    listing = place.read("hmdb")
    assert sorted((*listing.train.paths, *listing.val.paths)) == [
        "chew/#1 a.avi", "chew/b.avi", "wave/#1 a.avi", "wave/b.avi",
    ]  # fmt: skip
    assert listing.test.paths == ("chew/#c.avi", "wave/#c.avi")
