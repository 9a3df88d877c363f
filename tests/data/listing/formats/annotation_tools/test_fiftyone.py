"""FiftyOne's temporal detections."""

import json

import pytest

from tests.data.listing.formats.annotation_tools.rows import rows_of


def read(place, labels, classes=("run", "walk", "jump"), **given):
    classes = classes and list(classes)
    place.write(labels_dot_json=json.dumps({"classes": classes, "labels": labels}))
    return place.read("labels.json", ann_file_val="v.csv", **given)


def rows(place, labels, classes=None):
    place.write(labels_dot_json=json.dumps({"classes": classes, "labels": labels}))
    return rows_of("labels.json")


def problems(place, labels, classes=("run", "walk")):
    place.write(labels_dot_json=json.dumps({"classes": classes, "labels": labels}))
    return place.problems("labels.json", ann_file_val="v.csv")


def test_supports_are_first_and_last_frames_from_1(place):
    parts = [{"label": 0, "support": [1, 12]}, {"label": 1, "support": [7, 24], "confidence": 0.5}]
    listing = read(place, {"a": parts, "b": [{"label": 1, "support": [13, 13]}], "v": None})
    assert rows_of("labels.json") == [
        ("a.mp4", "run", 0.0, 1.0),
        ("a.mp4", "walk", 0.5, 2.0),
        ("sub/b.mp4", "walk", 1.0, 1.083333),
    ]
    assert listing.classes == ("run", "walk")
    assert any("1 clip without a label skipped" in note for note in listing.notes)
    assert any("1 of the 3 classes in its classes ignored" in note for note in listing.notes)


def test_timestamps_are_seconds_and_labels_may_be_names(place):
    parts = [{"label": "run", "timestamps": [0.25, 1.5], "attributes": {"x": 1}}]
    assert rows(place, {"sub/b": parts}) == [("sub/b.mp4", "run", 0.25, 1.5)]


def test_the_folder_data_and_a_manifest(place):
    place.videos("data/a.mp4")
    parts = [{"label": "run", "timestamps": [0, 1]}]
    assert rows(place, {"a": parts})[0][0] == "data/a.mp4"
    place.write(data_dot_json=json.dumps({"uuid": "/home/someone/sub/b.mp4"}))
    assert rows(place, {"uuid": parts})[0][0] == "sub/b.mp4"


@pytest.mark.parametrize(
    ("detection", "why"),
    [
        ({"label": 2, "support": [1, 2]}, "the class index 2 is not in the 2 `classes`"),
        ({"label": 0, "support": [5, 4]}, "the support [5, 4] is not a first and a last frame"),
        ({"label": 0, "support": [0, 4]}, "the support [0, 4] is not a first and a last frame"),
        ({"support": [1, 4]}, "there is no label"),
        ({"label": 0}, "there are neither `support` (two frame numbers) nor `timestamps`"),
        (
            {"label": 0, "timestamps": [2, 1]},
            "the segment ends at 1 s, which is not after its start",
        ),
    ],
)
def test_faults_name_the_detection(place, detection, why):
    good = {"label": 0, "support": [1, 4]}
    (problem,) = problems(place, {"a": [good, detection]})
    assert problem.startswith(f"labels.json: video `a`, detection 2: {why}")


def test_whole_videos_are_still_read(place):
    listing = read(place, {"a": 0, "b": 1})
    assert [row[:2] for row in rows_of("labels.json")] == [("a.mp4", "run"), ("sub/b.mp4", "walk")]
    assert listing.train.segments is None
