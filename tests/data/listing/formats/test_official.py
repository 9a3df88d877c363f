"""Lists as those who publish data sets write them."""

import json
import math
import os

import pytest

from autox_video.data.listing.formats.detect import recognise
from autox_video.data.listing.formats.list_format import Reading
from autox_video.data.listing.listing import read_test
from tests.places import Place, named


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("videos")
    return Place()


# ---- UCF101 ----

UCF = {
    "ucf__classInd_dot_txt": "1 Archery\n2 Biking\n",
    "ucf__trainlist01_dot_txt": "Archery/v_Archery_g08_c01.avi 1\nBiking/v_Biking_g08_c01.avi 2\n",
    "ucf__testlist01_dot_txt": "Archery/v_Archery_g01_c01.avi\nBiking/v_Biking_g01_c01.avi\n",
}
UCF_CLIPS = [f"{c}/v_{c}_g{g}_c01.avi" for c in ("Archery", "Biking") for g in ("01", "08")]


def ucf(place):
    place.write(**UCF)
    place.videos(*UCF_CLIPS)


def test_ucf101_lists_are_read_as_they_are(place):
    ucf(place)
    listing = place.read("ucf/trainlist01.txt", ann_file_val="ucf/testlist01.txt")
    assert (listing.classes, listing.named) == (("Archery", "Biking"), True)
    assert named(listing, "train") == {
        "Archery/v_Archery_g08_c01.avi": "Archery",
        "Biking/v_Biking_g08_c01.avi": "Biking",
    }
    assert listing.val.labels == (0, 1)
    assert recognise("ucf/testlist01.txt", Reading("videos")) == "ucf101"


def test_ucf101_clips_are_found_in_other_folders_and_as_other_files(place):
    place.write(**UCF)
    place.videos("UCF-101/v_Archery_g08_c01.mp4", "UCF-101/Biking/v_Biking_g08_c01.avi")
    place.videos("v_Archery_g01_c01.avi", "v_Biking_g01_c01.avi")
    listing = place.read("ucf", ann_file_val="ucf/testlist01.txt")
    assert listing.train.paths == (
        "UCF-101/v_Archery_g08_c01.mp4",
        "UCF-101/Biking/v_Biking_g08_c01.avi",
    )


def test_a_folder_of_ucf101_lists_is_for_training_and_testing(place):
    ucf(place)
    place.write(ucf__trainlist02_dot_txt="Archery/v_Archery_g01_c01.avi 1\n")
    place.videos(*(f"{c}/v_{c}_g09_c01.avi" for c in ("Archery", "Biking")))
    more = "Archery/v_Archery_g09_c01.avi 1\nBiking/v_Biking_g09_c01.avi 2\n"
    place.write(ucf__trainlist01_dot_txt=UCF["ucf__trainlist01_dot_txt"] + more)
    listing = place.read("ucf")
    assert len(listing.train) + len(listing.val) == 4
    assert named(listing, "test") == {
        "Archery/v_Archery_g01_c01.avi": "Archery",
        "Biking/v_Biking_g01_c01.avi": "Biking",
    }
    test = read_test(place.settings(ann_file_train="ucf"), listing.classes)
    assert test == listing.test
    assert read_test(place.settings(ann_file_test="ucf"), listing.classes) == listing.test
    assert place.problems("ucf", official_split=3) == [
        "ucf/trainlist03.txt: there is no such list file."
    ]


def test_ucf101_faults_are_named_with_their_lines(place):
    ucf(place)
    place.write(
        ucf__trainlist01_dot_txt=UCF["ucf__trainlist01_dot_txt"]
        + "Archery/v_Archery_g09_c01.avi 2\nJuggling/v_Juggling_g01_c01.avi 3\nBiking\n"
    )
    found = place.problems("ucf/trainlist01.txt", data_format="ucf101")
    assert found == [
        "ucf/trainlist01.txt:3: the class number is 2, but Archery is 1 in classInd.txt.",
        "ucf/trainlist01.txt:4: class `Juggling` is not in classInd.txt.",
        "ucf/trainlist01.txt:5: `Biking` is not `CLASS/CLIP.avi NUMBER`.",
    ]


def test_ucf101_lists_without_the_class_numbers(place):
    ucf(place)
    os.remove("ucf/classInd.txt")
    listing = place.read("ucf/trainlist01.txt", ann_file_val="ucf/testlist01.txt")
    assert listing.classes == ("Archery", "Biking")


# ---- HMDB51 ----


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
        "hmdb: there is no CLASS_test_split3.txt in it."
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
    assert place.problems("other") == ["other is a folder; give the list file itself."]


# ---- Kinetics ----

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
        "Of 20 Kinetics clips in train.csv, 4 not under videos, so left out: "
        "id03_000001_000011, id07_000001_000011, id08_000001_000011, ..."
    )


def test_a_list_of_which_most_is_missing_is_a_mistake(place):
    place.write(train_dot_csv=KINETICS + kinetics_rows("train", "a", "b", "c"))
    place.videos("b_000005_000015.mp4")
    (problem,) = place.problems("train.csv")
    assert problem.startswith("train.csv:2: a_000005_000015 is nowhere under data_root (videos)")
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
    assert "2 clips of all.csv for testing not used: there is a list." in listing.notes


def test_kinetics_faults(place):
    rows = "a,x,zero,10,train\na,y,0\n,z,0,10,train\na,w,0,10,elsewhere\n"
    place.write(train_dot_csv=KINETICS + rows)
    assert place.problems("train.csv") == [
        "train.csv:2: `zero`, `10` are no seconds.",
        "train.csv:3: there are 3 columns, not 5.",
        "train.csv:4: `z_000000_000010` has no label.",
    ]
    place.write(train_dot_csv=KINETICS + "a,w,0,10,train\na,v,0,10,elsewhere\n")
    assert place.problems("train.csv") == [
        "train.csv:3: the split `elsewhere` is not train, val or test."
    ]
    place.write(train_dot_csv="path,label\na.mp4,0\n")
    assert place.problems("train.csv", data_format="kinetics") == [
        "train.csv:1: a Kinetics list has the columns youtube_id, time_start, time_end."
    ]


# ---- Something-Something V2 ----


def ssv2(place):
    names = {"Closing something": "0", "Opening something": "1", "Unused something": "2"}
    clips = [
        {"id": "78687", "label": "opening a box", "template": "Opening [something]"},
        {"id": "42326", "template": "Closing [something]", "placeholders": ["a door"]},
    ]
    place.write(
        s__something_something_v2_train_dot_json=json.dumps(clips, indent=2),
        s__something_something_v2_validation_dot_json=json.dumps(clips[:1]).replace("78687", "5"),
        s__something_something_v2_labels_dot_json=json.dumps(names),
        s__something_something_v2_test_dot_json='[{"id":"9"}]',
    )
    place.videos("20bn/78687.webm", "20bn/42326.webm", "20bn/5.webm", "20bn/9.webm")


def test_something_something_v2(place):
    ssv2(place)
    listing = place.read(
        "s/something_something_v2_train.json",
        ann_file_val="s/something_something_v2_validation.json",
        ann_file_test="s/something_something_v2_test.json",
    )
    assert listing.classes == ("Closing something", "Opening something")
    assert named(listing, "train") == {
        "20bn/78687.webm": "Opening something",
        "20bn/42326.webm": "Closing something",
    }
    assert (listing.test.paths, listing.test.labels) == (("20bn/9.webm",), None)
    assert listing.notes[0].startswith("1 of the 3 classes of s/something_something_v2_labels.json")


def test_something_something_faults(place):
    ssv2(place)
    place.write(a_dot_json='[{"id":"1", "template":\n"x"}, \n]', b_dot_json='[{"template":"x"}]')
    (problem,) = place.problems("a.json")
    assert problem.startswith("a.json:3: this is not valid JSON (")
    assert place.problems("b.json", data_format="ssv2") == [
        "b.json: clip 1 of the array has no `id`."
    ]
    place.write(s__labels_dot_json='{"x": 7}')
    os.remove("s/something_something_v2_labels.json")
    assert place.problems("s/something_something_v2_train.json") == [
        "s/labels.json: the 1 class numbers are not 0, 1, 2, ..."
    ]


# ---- Jester ----


def test_jester_with_folders_of_frames(place):
    place.write(
        j__jester_v1_train_dot_csv="34870;Drumming Fingers\n56557;Sliding Two Fingers Right\n",
        j__jester_v1_validation_dot_csv="9223;Drumming Fingers\n",
        j__jester_v1_test_dot_csv="77\n",
        j__jester_v1_labels_dot_csv="Sliding Two Fingers Right\nDrumming Fingers\n",
    )
    place.frames("20bn-jester-v1/34870", "20bn-jester-v1/56557", "77")
    place.videos("9223.webm")
    listing = place.read(
        "j/jester_v1_train.csv",
        ann_file_val="j/jester_v1_validation.csv",
        ann_file_test="j/jester_v1_test.csv",
    )
    assert listing.classes == ("Sliding Two Fingers Right", "Drumming Fingers")
    assert listing.train.paths == ("20bn-jester-v1/34870", "20bn-jester-v1/56557")
    assert listing.train.labels == (1, 0)
    assert (listing.val.paths, listing.val.labels) == (("9223.webm",), (1,))
    assert (listing.test.paths, listing.test.labels) == (("77",), None)


# ---- names that are not quite those of the lists ----


def test_kinetics_clips_by_shorter_names_and_whole_videos(place):
    rows = "".join(f"{'ab'[i]},id{i},{10 * i},{10 * i + 10},train\n" for i in range(2))
    place.write(train_dot_csv=KINETICS + rows, v_dot_csv="path,label\nx/id0_0_10.mp4,a\n")
    place.videos("x/id0_0_10.mp4", "x/id1.mkv", "v.mp4")
    place.write(v_dot_csv="path,label\nv.mp4,a\n")
    listing = place.read("train.csv", ann_file_val="v.csv")
    assert listing.train.paths == ("x/id0_0_10.mp4", "x/id1.mkv")
    assert listing.train.segments == ((0.0, math.inf), (10.0, 20.0))
    assert "train.csv: 1 clip read from time_start to time_end of a whole video" in listing.notes[0]


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


def test_ucf101_clips_in_another_case_or_with_backslashes(place):
    place.write(**{name: text.replace("/", "\\") for name, text in UCF.items()})
    place.videos(*(path.replace("v_Archery", "v_ArcHery") for path in UCF_CLIPS))
    listing = place.read("ucf/trainlist01.txt", ann_file_val="ucf/testlist01.txt")
    assert named(listing, "train") == {
        "Archery/v_ArcHery_g08_c01.avi": "Archery",
        "Biking/v_Biking_g08_c01.avi": "Biking",
    }
    assert listing.val.labels == (0, 1)


def test_json_with_ids_of_other_kinds_is_not_something_something(place):
    place.videos("1.mp4", "2.mp4", "v.mp4")
    rows = [{"id": 1, "label": "a", "video": "1.mp4"}, {"id": 2, "label": "b", "video": "2.mp4"}]
    place.write(t_dot_json=json.dumps(rows), v_dot_csv="path,label\nv.mp4,a\n")
    assert recognise("t.json", Reading("videos")) == "json"
    assert place.read("t.json", ann_file_val="v.csv").train.paths == ("1.mp4", "2.mp4")
