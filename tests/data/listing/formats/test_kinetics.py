"""Kinetics' lists, with the clips by any of their names."""

import math

from tests.places import named

KINETICS = "label,youtube_id,time_start,time_end,split\n"


def kinetics_rows(split, *names):
    return "".join(f"riding a bike,{n},5,15,{split}\n" for n in names)


def test_kinetics_files_are_found_by_their_names(place):
    rows = 'riding a bike,-ab_c,5,15,train\n"ski, jump",xyz,100,110,train\n'
    place.write(k__train_dot_csv=KINETICS + rows)
    place.write(k__val_dot_csv=KINETICS + kinetics_rows("val", "vvv"))
    place.videos("train/riding_a_bike/-ab_c_000005_000015.mp4", "xyz_000100_000110.mkv")
    place.videos("vvv_000005_000015.webm")
    listing = place.read("k/train.csv", ann_file_val="k/val.csv")
    assert named(listing, "train") == {
        "train/riding_a_bike/-ab_c_000005_000015.mp4": "riding a bike",
        "xyz_000100_000110.mkv": "ski, jump",
    }
    assert named(listing, "val") == {"vvv_000005_000015.webm": "riding a bike"}
    assert listing.train.segments is None


def test_clips_that_are_gone_are_counted_and_named(place):
    rows = "".join(f"{'ab'[i % 2]},id{i:02d},1,11,train\n" for i in range(20))
    place.write(train_dot_csv=KINETICS + rows)
    place.videos(*(f"id{i:02d}_000001_000011.mp4" for i in range(20) if i not in (3, 7, 8, 19)))
    listing = place.read("train.csv")
    assert len(listing.train) + len(listing.val) == 16
    assert listing.notes[0] == (
        "train.csv: 4 of 20 Kinetics clips skipped, not found under videos: "
        "id03_000001_000011, id07_000001_000011, id08_000001_000011, ..."
    )


def test_a_list_of_which_most_is_missing_is_a_mistake(place):
    place.write(train_dot_csv=KINETICS + kinetics_rows("train", "a", "b", "c"))
    place.videos("b_000005_000015.mp4")
    (problem,) = place.problems("train.csv")
    assert problem.startswith("train.csv:2: a_000005_000015 was not found under data_root (videos)")
    assert "2 of the 3 Kinetics clips" in problem


def test_one_kinetics_file_may_hold_all_splits_and_a_test_list_no_labels(place):
    rows = "".join(
        f"{label},{label}{split},0,10,{split}\n"
        for label in "ab"
        for split in ("train", "val", "test")
    )
    place.write(all_dot_csv=KINETICS + rows)
    place.write(test_dot_csv="youtube_id,time_start,time_end,split\natest,0,10,test\n")
    place.videos(*(f"{c}{s}_000000_000010.mp4" for c in "ab" for s in ("train", "val", "test")))
    listing = place.read("all.csv")
    assert [len(s) for s in (listing.train, listing.val, listing.test)] == [2, 2, 2]
    listing = place.read("all.csv", ann_file_test="test.csv")
    assert (listing.test.paths, listing.test.labels) == (("atest_000000_000010.mp4",), None)
    assert "all.csv: 2 clips for testing not used, as ann_file_test is set." in listing.notes


def test_kinetics_faults(place):
    rows = "a,x,zero,10,train\na,y,0\n,z,0,10,train\na,w,0,10,elsewhere\n"
    place.write(train_dot_csv=KINETICS + rows)
    assert place.problems("train.csv") == [
        "train.csv:2: `zero`, `10` are not numbers of seconds.",
        "train.csv:3: there are 3 columns, not 5.",
        "train.csv:4: `z_000000_000010` has no label.",
    ]
    place.write(train_dot_csv=KINETICS + "a,w,0,10,train\na,v,0,10,elsewhere\n")
    assert place.problems("train.csv") == [
        "train.csv:3: the split `elsewhere` is not train, val or test."
    ]
    place.write(train_dot_csv="path,label\na.mp4,0\n")
    assert place.problems("train.csv", data_format="kinetics") == [
        "train.csv:1: a Kinetics list must have the columns youtube_id, time_start, time_end."
    ]


def test_kinetics_clips_by_shorter_names_and_whole_videos(place):
    rows = "".join(f"{'ab'[i]},id{i},{10 * i},{10 * i + 10},train\n" for i in range(2))
    place.write(train_dot_csv=KINETICS + rows, v_dot_csv="path,label\nx/id0_0_10.mp4,a\n")
    place.videos("x/id0_0_10.mp4", "x/id1.mkv", "v.mp4")
    place.write(v_dot_csv="path,label\nv.mp4,a\n")
    listing = place.read("train.csv", ann_file_val="v.csv")
    assert listing.train.paths == ("x/id0_0_10.mp4", "x/id1.mkv")
    assert listing.train.segments == ((0.0, math.inf), (10.0, 20.0))
    assert "train.csv: 1 clip read from time_start to time_end of a whole video" in listing.notes[0]
