"""metadata.csv and metadata.jsonl, in data_root and as lists."""

import json
import math
import os

import pytest

from autox_video.data.listing.listing import read_test
from tests.places import named


def test_metadata_csv_in_data_root(place):
    place.videos(*(f"clips/{i}.mp4" for i in range(10)))
    rows = "".join(f"clips/{i}.mp4,{'walk' if i % 2 else 'run'}\n" for i in range(10))
    place.write(videos__metadata_dot_csv="file_name,label\n" + rows)
    listing = place.read()
    assert listing.classes == ("run", "walk")
    assert sum(map(len, (listing.train, listing.val, listing.test))) == 10
    assert (
        named(listing, "val").items()
        <= {f"clips/{i}.mp4": "walk" if i % 2 else "run" for i in range(10)}.items()
    )


def test_metadata_without_labels_is_passed_over_for_class_folders(place):
    place.videos(*(f"{name}/{i}.mp4" for name in ("walk", "run") for i in range(4)))
    for text in ("file_name,caption\nwalk/1.mp4,hello\n", "subject,age\n1,30\n"):
        place.write(videos__metadata_dot_csv=text)
        assert place.read().classes == ("run", "walk")
    place.write(videos__metadata_dot_csv="file_name,caption\nwalk/1.mp4,hello\n")
    assert place.problems(data_format="metadata") == [
        "videos/metadata.csv: the clips have no labels; the columns are `file_name`, `caption`; "
        "name the clip column path, video, filename or file_name, and the label column "
        "label, class or category."
    ]
    os.remove("videos/metadata.csv")
    place.write(videos__metadata_dot_jsonl='{"file_name": "walk/1.mp4", "text": "x"}')
    assert place.read().classes == ("run", "walk")


def test_metadata_in_the_folders_of_the_splits(place):
    for split in ("train", "validation", "test"):
        place.videos(f"{split}/a.mp4", f"{split}/b.mp4")
        lines = [json.dumps({"file_name": f"{c}.mp4", "label": i}) for i, c in enumerate("ab")]
        place.write(**{f"videos__{split}__metadata_dot_jsonl": "\n".join(lines)})
    listing = place.read()
    assert listing.train.paths == ("train/a.mp4", "train/b.mp4")
    assert listing.val.paths == ("validation/a.mp4", "validation/b.mp4")
    assert listing.test.labels == (0, 1)
    assert not listing.named
    assert read_test(place.settings(), ("0", "1")) == listing.test


def test_a_metadata_list_by_name_with_segments_and_several_labels(place):
    place.videos("t/a.mp4", "t/b.mp4")
    rows = [
        {"file_name": "a.mp4", "labels": ["x", "y"]},
        {"file_name": "a.mp4", "labels": ["x"], "start": 2, "end": 4.5},
        {"file_name": "b.mp4", "labels": ["y"]},
        {"file_name": "b.mp4", "labels": [], "start": 1},
    ]
    place.write(videos__t__metadata_dot_jsonl="\n".join(map(json.dumps, rows)))
    place.write(videos__v_dot_csv="path,label,start\nt/b.mp4,x,9\n")
    listing = place.read("videos/t/metadata.jsonl", ann_file_val="videos/v.csv", multi_label=True)
    assert listing.train.paths == ("t/a.mp4", "t/a.mp4", "t/b.mp4", "t/b.mp4")
    assert listing.train.labels == ((0, 1), (0,), (1,), ())
    assert listing.train.segments == ((0, math.inf), (2, 4.5), (0, math.inf), (1, math.inf))


def test_metadata_faults(place):
    place.write(a_dot_jsonl='{"file_name": "a.mp4", "label": 1}\n{"label": 1}\n[1]\n')
    assert place.problems("a.jsonl") == ["a.jsonl:3: each line must be a JSON object, {...}."]
    place.write(a_dot_jsonl='{"file_name": "a.mp4", "label": 1}\n{"label": 1}\n')
    assert place.problems("a.jsonl") == ["a.jsonl:2: there is no text under the key `file_name`."]
    assert place.problems(data_format="metadata") == [
        "data_root: there is no metadata.csv or metadata.jsonl in videos; put it next to the "
        "clips, or set ann_file_train."
    ]


@pytest.mark.parametrize("times", [("start_time", "end_time"), ("time_start", "time_end")])
def test_both_kinds_of_metadata_know_the_same_columns(place, times):
    place.videos("a.mp4", "b.mp4", "v.mp4")
    rows = [{"file_name": f"{c}.mp4", "label": c, times[0]: 1, times[1]: "00:02.5"} for c in "ab"]
    place.write(videos__metadata_dot_jsonl="\n".join(map(json.dumps, rows)))
    place.write(v_dot_csv="path,label\nv.mp4,a\n")
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    place.write(videos__metadata_dot_csv="\n".join(lines))
    for file in ("videos/metadata.jsonl", "videos/metadata.csv"):
        listing = place.read(file, ann_file_val="v.csv")
        assert listing.train.segments == ((1.0, 2.5), (1.0, 2.5))
