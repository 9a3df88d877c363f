"""Vertex AI's lists."""

import json
import math

from autox_video.data.listing.listing import read_test
from autox_video.data.listing.reading.segments import EXAMPLE
from tests.places import named


def test_vertex_csv_with_ml_use_and_segments(place):
    place.videos("a.mp4", "deep/b.mp4")
    rows = [
        "training,gs://bucket/a.mp4,walk,0,1.5",
        "training,gs://bucket/a.mp4,run,1.5,inf",
        "validation,gs://bucket/deep/b.mp4,walk,,",
        "test,gs://bucket/deep/b.mp4,run,2,3",
        "UNASSIGNED,gs://bucket/a.mp4,run,7,8",
    ]
    place.write(data_dot_csv="\n".join(rows))
    listing = place.read("data.csv")
    assert listing.classes == ("run", "walk")
    assert listing.train.paths == ("a.mp4", "a.mp4", "a.mp4")
    assert listing.train.segments == ((0, 1.5), (1.5, math.inf), (7, 8))
    assert listing.train.labels == (1, 0, 0)
    assert (listing.val.paths, listing.val.segments) == (("deep/b.mp4",), None)
    assert listing.test.segments == ((2.0, 3.0),)
    assert read_test(place.settings(ann_file_train="data.csv"), ("run", "walk")) == listing.test


def test_vertex_csv_without_ml_use(place):
    place.videos(*(f"{i}.mp4" for i in range(10)))
    rows = [f"gs://b/{i}.mp4,{'ab'[i % 2]},0.0,10.0" for i in range(10)]
    place.write(data_dot_csv="\n".join([*rows, "gs://b/1.mp4,,,"]))
    listing = place.read("data.csv")
    assert len(listing.train) == 8
    assert listing.train.segments[0] == (0.0, 10.0)
    assert "data.csv: 1 clip without a label skipped, the first at data.csv:11." in listing.notes


def test_vertex_segments_with_two_labels_are_of_two_classes(place):
    place.videos("a.mp4", "b.mp4", "c.mp4")
    rows = ["training,gs://x/a.mp4,cat,0,5", "training,gs://x/a.mp4,dog,0,5"]
    rows += ["training,gs://x/b.mp4,dog,0,5", "validation,gs://x/c.mp4,cat,0,5"]
    place.write(data_dot_csv="\n".join(rows))
    listing = place.read("data.csv")
    assert listing.multi_label
    assert listing.train.labels == ((0, 1), (1,))
    (problem,) = place.problems("data.csv", multi_label=False)
    assert problem.startswith("data.csv:2: clip `a.mp4` has the label `dog` here but `cat` at")


def test_vertex_jsonl(place):
    place.videos("a.mp4", "b.mp4")
    use = "aiplatform.googleapis.com/ml_use"
    rows = [
        {
            "videoGcsUri": "gs://bucket/a.mp4",
            "timeSegmentAnnotations": [
                {"displayName": "walk", "startTime": "1.0s", "endTime": "2.5s"},
                {"displayName": "run", "startTime": "4.0s", "endTime": "Infinity"},
            ],
            "dataItemResourceLabels": {use: "training"},
        },
        {
            "videoGcsUri": "gs://bucket/b.mp4",
            "classificationAnnotation": {"displayName": "walk"},
            "dataItemResourceLabels": {use: "test"},
        },
        {
            "videoGcsUri": "gs://bucket/b.mp4",
            "timeSegmentAnnotations": [{"displayName": "run"}],
            "dataItemResourceLabels": {use: "validation"},
        },
    ]
    place.write(data_dot_jsonl="\n".join(map(json.dumps, rows)))
    listing = place.read("data.jsonl")
    assert listing.train.paths == ("a.mp4", "a.mp4")
    assert listing.train.segments == ((1.0, 2.5), (4.0, math.inf))
    assert named(listing, "test") == {"b.mp4": "walk"}
    assert named(listing, "val") == {"b.mp4": "run"}


def test_vertex_faults(place):
    place.videos("a.mp4")
    rows = [
        "training,gs://b/a.mp4,x,0,1",
        "train,gs://b/a.mp4,x,0,1",
        "training,gs://b/a.mp4,x,2,1",
        "training,gs://b/a.mp4,x,now,1",
        "training,,x,0,1",
        "training,gs://b/a.mp4,x,0,1,more",
    ]
    place.write(data_dot_csv="\n".join(rows))
    assert place.problems("data.csv", data_format="vertex_csv") == [
        "data.csv:2: ML_USE `train` is not one of training, validation, test, unassigned.",
        "data.csv:5: this is not `[ML_USE,]URI,label,start,end`.",
        "data.csv:6: this is not `[ML_USE,]URI,label,start,end`.",
        "data.csv:3: the segment ends at 1 s, which is not after its start at 2 s.",
        f"data.csv:4: the start `now` is not a time of 0 or more; {EXAMPLE}.",
    ]
    place.write(data_dot_jsonl='{"videoGcsUri": "gs://b/a.mp4"}\n{"videoGcsUri": ""}\n{"x"\n')
    (problem,) = place.problems("data.jsonl")
    assert problem.startswith("data.jsonl:3: this is not valid JSON (")


def test_clips_for_testing_alone_are_no_training_list_without_labels(place):
    place.videos("a.mp4")
    use = {"aiplatform.googleapis.com/ml_use": "test"}
    row = {"videoGcsUri": "gs://b/a.mp4", "dataItemResourceLabels": use}
    place.write(t_dot_jsonl=json.dumps(row), v_dot_csv="path,label\nb.mp4,x\n")
    (problem,) = place.problems("t.jsonl", ann_file_val="v.csv")
    assert "t.jsonl: the clips have no labels" in problem
