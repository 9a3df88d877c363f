"""Label Studio's JSON and JSON-MIN."""

import json

import pytest

from tests.data.listing.formats.annotation_tools.rows import rows_of

UPLOADED = "/data/upload/7/0a1b2c3d-a.mp4"
LOCAL = "/data/local-files/?d=recordings/sub/b.mp4"


def region(labels, *ranges, control="videoLabels", kind="timelinelabels", **value):
    """A region as exported; ranges are (first frame, last frame), counted from 1."""
    if ranges:
        value["ranges"] = [{"start": first, "end": last} for first, last in ranges]
    value[kind] = labels
    return {"id": "x", "type": kind, "from_name": control, "to_name": "video", "value": value}


def task(video, *results, number=1, data=(), **more):
    annotation = {"id": number, "was_cancelled": False, "result": list(results), **more}
    return {"id": number, "data": {"video": video, **dict(data)}, "annotations": [annotation]}


def read(place, tasks, **given):
    place.write(t_dot_json=json.dumps(tasks, indent=1))
    return place.read("t.json", ann_file_val="v.csv", **given)


def rows(place, tasks, **options):
    place.write(t_dot_json=json.dumps(tasks, indent=1))
    return rows_of("t.json", **options)


def problems(place, tasks, **given):
    place.write(t_dot_json=json.dumps(tasks, indent=1))
    return place.problems("t.json", ann_file_val="v.csv", **given)


def test_ranges_are_frames_from_1_at_the_rate_of_the_video(place):
    first = task(UPLOADED, region(["run"], (1, 12), (19, 24)), region(["walk"], (7, 18)))
    listing = read(place, [first, task(LOCAL, region(["walk"], (13, 24)), number=2)])
    assert rows_of("t.json") == [
        ("a.mp4", "run", 0.0, 1.0),
        ("a.mp4", "run", 1.5, 2.0),
        ("a.mp4", "walk", 0.5, 1.5),
        ("sub/b.mp4", "walk", 1.0, 2.0),
    ]
    assert any(
        "4 ranges of frame numbers read at the frame rate of the video" in note
        for note in listing.notes
    )
    assert any("2 videos found in data_root" in note for note in listing.notes)


@pytest.mark.parametrize("fps", [24, "24", 24.0])
def test_the_rate_in_the_data_of_a_task_comes_first(place, fps):
    with_rate = task(UPLOADED, region(["run"], (1, 24)), data={"fps": fps})
    without = task(LOCAL, region(["walk"], (7, 12)), number=2)
    assert rows(place, [with_rate, without]) == [
        ("a.mp4", "run", 0.0, 1.0),
        ("sub/b.mp4", "walk", 0.5, 1.0),
    ]


def test_boxes_tell_the_rate_but_label_nothing(place):
    value = {"sequence": [{"frame": 1}], "framesCount": 48, "duration": 2.0}
    box = region(["Man"], control="box", kind="labels", **value)
    assert rows(
        place,
        [
            task(UPLOADED, region(["run"], (25, 48)), box),
            task("sub/b.mp4", region(["walk"], (1, 6))),
        ],
    ) == [("a.mp4", "run", 1.0, 2.0), ("sub/b.mp4", "walk", 0.0, 0.5)]


def test_segments_in_seconds_and_imported_ranges_from_0(place):
    sound = region(["run"], kind="labels", start=0.25, end=1.75)
    assert rows(place, [task(UPLOADED, sound, region(["walk"], (0, 6)))]) == [
        ("a.mp4", "run", 0.25, 1.75),
        ("a.mp4", "walk", 0.0, 0.5),
    ]


def test_json_min(place):
    part = {"ranges": [{"start": 1, "end": 12}], "timelinelabels": ["run"]}
    record = {"video": UPLOADED, "id": 3, "videoLabels": [part], "annotator": 1, "annotation_id": 9}
    other = {"video": LOCAL, "id": 4, "annotator": 1, "annotation_id": 10}
    other["sound"] = [{"start": 1, "end": 2, "channel": 0, "labels": ["walk"]}]
    assert rows(place, [record]) == [("a.mp4", "run", 0.0, 1.0)]
    (problem,) = problems(place, [record, other])
    assert (
        "t.json: several labelling controls have labels: `videoLabels` (1), `sound` (1)" in problem
    )
    assert rows(place, [record, other], label_field="sound") == [("sub/b.mp4", "walk", 1.0, 2.0)]


def test_choices_and_tasks_without_labels(place):
    place.videos("w.mp4")
    tasks = [
        task(UPLOADED, region(["run", "walk"], kind="choices")),
        {"id": 2, "data": {"video": LOCAL}, "annotations": []},
        task("w.mp4", region(["run"], kind="choices"), number=3),
    ]
    listing = read(place, tasks)
    assert listing.multi_label and listing.train.segments is None
    assert listing.train.labels == ((0, 1), (0,))
    assert any(
        "1 clip without a label skipped, the first at t.json:" in note for note in listing.notes
    )


def test_of_several_annotations_ground_truth_counts(place):
    tasks = task(UPLOADED, region(["run"], (1, 12)))
    tasks["annotations"] += [{"id": 2, "result": [region(["run"], (1, 13))]}]
    (problem,) = problems(place, [tasks])
    assert problem == (
        f"t.json: task 1: the video `{UPLOADED}` has 2 annotations that differ; mark one as ground "
        "truth, or delete the others."
    )
    tasks["annotations"][1]["ground_truth"] = True
    assert rows(place, [tasks]) == [("a.mp4", "run", 0.0, 1.083333)]
    tasks["annotations"][1]["was_cancelled"] = True
    assert rows(place, [tasks]) == [("a.mp4", "run", 0.0, 1.0)]
    tasks["annotations"] += [json.loads(json.dumps(tasks["annotations"][0]))]
    assert rows(place, [tasks]) == [("a.mp4", "run", 0.0, 1.0)]


def test_faults_name_the_task(place):
    assert problems(place, [task(UPLOADED, region(["run"], (9, 4)), region(["run"], (1, 2)))]) == [
        "t.json: task 1, region 1: the segment ends at frame 4, which is not after its start at "
        "frame 8."
    ]
    assert problems(place, [task("", region(["run"], (1, 2)))]) == [
        "t.json: task 1: there is no video in its data."
    ]
    broken = region(["run"], (1, 2))
    for part in ({"start": 1}, {"start": 1, "end": 2.5}, {"start": 1, "end": float("inf")}, 3):
        broken["value"]["ranges"] = [part]
        assert problems(place, [task(UPLOADED, broken)]) == [
            "t.json: task 1, region 1: its ranges are not objects with the frames `start` and "
            "`end`."
        ]
    (problem,) = problems(place, [{"id": 1, "data": {"video": "a.mp4"}, "annotations": [1]}])
    assert problem.startswith("t.json: this is a Label Studio export, but parts of it are missing")
    missing = [
        task(UPLOADED, region(["run"], (1, 2))),
        task("/data/upload/7/0a1b2c3d-c.mp4", region(["run"], (1, 2))),
    ]
    *_, problem = problems(place, missing)
    assert problem.startswith("t.json:") and "/videos/c.mp4 does not exist" in problem


def test_a_video_in_another_folder_of_the_same_name_is_not_taken(place):
    *_, problem = problems(
        place, [task("/data/local-files/?d=other/b.mp4", region(["run"], (1, 2)))]
    )
    assert "other/b.mp4" in problem
    (problem,) = problems(place, [task("s3://bucket/c.mp4", region(["run"], (1, 2)))])
    assert "clip `s3://bucket/c.mp4` is outside data_root" in problem
    assert rows(place, [task("s3://bucket/a.mp4", region(["run"], (1, 6)))]) == [
        ("a.mp4", "run", 0.0, 0.5)
    ]


def test_two_videos_of_one_name_are_not_one_clip(place):
    again = task("/data/upload/7/ffffffff-a.mp4", region(["walk"], (1, 2)), number=2)
    assert problems(place, [task(UPLOADED, region(["run"], (1, 2))), again]) == [
        f"t.json: `{UPLOADED}` and `/data/upload/7/ffffffff-a.mp4` both match the clip `a.mp4`; if "
        "they are the same video, give both the same path, or else keep their folders in data_root."
    ]


def test_a_segment_with_two_labels_is_of_two_classes(place):
    regions = region(["run"], (1, 12)), region(["walk"], (1, 12)), region(["walk"], (13, 24))
    listing = read(place, [task(UPLOADED, *regions)])
    assert listing.multi_label
    assert listing.train.labels == ((0, 1), (1,))


def test_json_lines_and_the_formats_json_and_list(place):
    tasks = [task(UPLOADED, region(["run"], (1, 12)))]
    for name in ("json", "list", "label_studio"):
        assert rows(place, tasks, data_format=name) == [("a.mp4", "run", 0.0, 1.0)]
