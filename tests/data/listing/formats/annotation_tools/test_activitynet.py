"""ActivityNet's JSON."""

import json

import pytest

from tests.data.listing.formats.annotation_tools.rows import rows_of


def video(*parts, subset="training", **more):
    annotations = [{"label": label, "segment": [start, end]} for label, start, end in parts]
    return {"subset": subset, "annotations": annotations, "duration": 2, "url": "u", **more}


def write(place, **videos):
    place.write(t_dot_json=json.dumps({"version": "1", "taxonomy": [], "database": videos}))


def test_subsets_are_splits_and_videos_may_be_called_v(place):
    place.videos("v_x.mp4")
    write(
        place,
        a=video(("run", 0, 1), ("walk", 0.5, 1.5), ("run", 1.25, 2)),
        x=video(("walk", 1.5, 3.0), subset="validation"),
        b=video(subset="testing"),
        c=video(("walk", 0, 1), filename="b.mp4"),
    )
    listing = place.read("t.json")
    assert rows_of("t.json", "train") == [
        ("a.mp4", "run", 0.0, 1.0),
        ("a.mp4", "walk", 0.5, 1.5),
        ("a.mp4", "run", 1.25, 2.0),
        ("sub/b.mp4", "walk", 0.0, 1.0),
    ]
    assert rows_of("t.json", "val") == [("v_x.mp4", "walk", 1.5, 3.0)]
    assert "t.json: 1 clip without a label skipped, the first at t.json:1." in listing.notes


def test_a_video_that_is_gone_is_counted(place):
    write(place, a=video(("run", 0, 1)), b=video(("walk", 0, 1)), gone=video(("run", 0, 1)))
    listing = place.read("t.json", ann_file_val="v.csv")
    assert len(listing.train) == 2
    assert (
        "t.json: 1 of 3 ActivityNet clips skipped, not found under videos: gone." in listing.notes
    )


def test_two_classes_of_one_segment_make_it_multi_label(place):
    write(place, a=video(("run", 0, 1), ("walk", 0, 1), ("run", 0, 1)), b=video(("run", 0, 1)))
    listing = place.read("t.json", ann_file_val="v.csv")
    assert listing.multi_label
    assert listing.train.labels == ((0, 1), (0,))


def test_a_list_of_validation_and_test_videos_only(place):
    write(place, a=video(("run", 0, 1), subset="Validation"), b=video(("run", 0, 1), subset="Test"))
    assert place.problems("t.json") == [
        "t.json: there are no clips for training, only for val, test."
    ]


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        ({"segment": [0, 1]}, "there is no label"),
        ({"label": "run", "segment": [1]}, "the segment `[1]` is not a start and an end"),
        ({"label": "run", "segment": [2, 1]}, "the segment ends at 1 s, which is not after"),
        ({"label": "run", "segment": [-1, 1]}, "the start `-1` is not a time of 0 or more"),
    ],
)
def test_faults_name_the_annotation(place, annotation, why):
    write(
        place,
        a={"subset": "training", "annotations": [{"label": "run", "segment": [0, 1]}, annotation]},
    )
    (problem,) = place.problems("t.json", ann_file_val="v.csv")
    assert problem.startswith(f"t.json: video `a`, annotation 2: {why}")


def test_an_empty_database(place):
    write(place)
    assert place.problems("t.json") == ["t.json: there are no annotated videos or segments."]
    place.write(t_dot_json='{"database": [1]}')
    assert place.problems("t.json", data_format="activitynet") == [
        "t.json:1: there is no object `database` of videos."
    ]
