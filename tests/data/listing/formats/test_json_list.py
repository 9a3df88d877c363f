"""Lists in JSON of all kinds: read, or refused in one sentence."""

import json

import pytest

from tests.places import named

CLIPS = {"a_0.mp4": "run", "a_1.mp4": "walk", "a_2.mp4": "run"}
RECORDS = [{"video": path, "label": label} for path, label in CLIPS.items()]


@pytest.fixture
def place(place):
    """Clips, of which v.mp4 is for validation."""
    place.videos(*CLIPS, "v.mp4")
    place.write(v_dot_csv="path,label\nv.mp4,run\n")
    return place


def stem(path):
    return path[:-4]


def annotation(label, **more):
    """Give an annotation as Label Studio exports it."""
    return {"result": [{"type": "choices", "value": {"choices": [label]}, **more}]}


LABEL_STUDIO = [
    {
        "id": i,
        "data": {"video": f"/data/upload/1/0a1b2c3d-{path}"},
        "annotations": [annotation(label)],
    }
    for i, (path, label) in enumerate(CLIPS.items())
]
FIFTYONE = {
    "classes": ["run", "walk"],
    "labels": {stem(path): int(label == "walk") for path, label in CLIPS.items()},
}
COCO = {
    "videos": [{"id": i, "file_name": path} for i, path in enumerate(CLIPS)],
    "categories": [{"id": 7, "name": "run"}, {"id": 9, "name": "walk"}],
    "annotations": [
        {"id": i, "video_id": i, "category_id": 9 if label == "walk" else 7}
        for i, label in enumerate(CLIPS.values())
    ],
}


@pytest.mark.parametrize(
    "content",
    [
        RECORDS,
        {"clips": RECORDS, "version": 1},
        {"clips": RECORDS, "people": [{"name": "x", "age": 3}]},
        CLIPS,
        {stem(path): label for path, label in CLIPS.items()},
        {path: {"label": label, "quality": 3} for path, label in CLIPS.items()},
        {"run": ["a_0.mp4", "a_2.mp4"], "walk": ["a_1.mp4"]},
        {"path": list(CLIPS), "label": list(CLIPS.values())},
        {"path": dict(enumerate(CLIPS)), "label": dict(enumerate(CLIPS.values()))},
        [list(pair) for pair in CLIPS.items()],
        [{"filepath": f"/x/{p}", "ground_truth": {"label": c}} for p, c in CLIPS.items()],
        {"samples": [{"vid_name": stem(p), "action": c} for p, c in CLIPS.items()]},
        LABEL_STUDIO,
        FIFTYONE,
        COCO,
    ],
)
def test_kinds_that_are_read(place, content):
    place.write(t_dot_json=json.dumps(content, indent=1))
    listing = place.read("t.json", ann_file_val="v.csv")
    assert named(listing, "train") == CLIPS
    assert listing.classes == ("run", "walk")


@pytest.mark.parametrize("key", ["annotations", "segments", "events"])
def test_records_with_several_annotations_each(place, key):
    parts = [{"label": "run", "start": 0, "end": 2}, {"label": "walk", "segment": [2.5, 4]}]
    place.write(t_dot_json=json.dumps([{"file": "a_0.mp4", key: parts}]))
    listing = place.read("t.json", ann_file_val="v.csv")
    assert listing.train.paths == ("a_0.mp4", "a_0.mp4")
    assert (listing.train.labels, listing.train.segments) == ((0, 1), ((0, 2), (2.5, 4)))


def test_kinetics_in_json(place):
    place.videos("a_0_000003_000013.mp4")
    segments = {"a_0": ("run", [3.0, 13.0]), "a_1": ("walk", [1.0, 11.0])}
    videos = {
        name: {"annotations": {"label": label, "segment": times}, "subset": "train", "url": "u"}
        for name, (label, times) in segments.items()
    }
    place.write(t_dot_json=json.dumps(videos))
    listing = place.read("t.json", ann_file_val="v.csv")
    assert listing.train.paths == ("a_0_000003_000013.mp4", "a_1.mp4")
    assert listing.train.segments[1] == (1.0, 11.0)


def test_one_file_of_all_splits(place):
    content = {"train": RECORDS, "validation": [{"video": "v.mp4", "label": "run"}]}
    place.write(t_dot_json=json.dumps(content))
    listing = place.read("t.json")
    assert (named(listing, "train"), named(listing, "val")) == (CLIPS, {"v.mp4": "run"})


def test_lines_of_json_know_their_times(place):
    times = {"start_time": "00:01", "end_time": "00:02,5"}
    lines = [{"path": path, "class": label, **times} for path, label in CLIPS.items()]
    place.write(t_dot_jsonl="\n".join(map(json.dumps, lines)))
    listing = place.read("t.jsonl", ann_file_val="v.csv")
    assert named(listing, "train") == CLIPS
    assert listing.train.segments == ((1.0, 2.5),) * 3


def test_what_is_missing_is_named_with_its_line(place):
    place.write(t_dot_json=json.dumps([*RECORDS, {"video": "gone.mp4", "label": "run"}], indent=1))
    (problem,) = place.problems("t.json", ann_file_val="v.csv")
    assert problem.startswith("t.json:15: clip ")
    assert problem.endswith("/gone.mp4 does not exist.")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"images": [], "categories": [], "annotations": []}, "this JSON is COCO"),
        ({"_via_settings": {}, "_via_img_metadata": {}}, "a project of VIA 2"),
        ([{"data_row": {"id": "1"}, "projects": {}}], "a Labelbox export"),
        ({"videos": [{"video_id": "v"}], "sentences": [{"caption": "x"}]}, "an MSR-VTT list"),
        ({"database": {"a": {"annotations": [{"x": 1}]}}}, "label"),
        ({"database": [1]}, "format is not supported (an object with the keys database)"),
        ({"database": {"a": 1}}, "in ActivityNet's format, but parts of it are missing or invalid"),
        ({"a": [{"x": 1}], "b": [{"y": 2}]}, "format is not supported (an object with the keys a"),
        ([1, 2], "format is not supported (an array of 2 values)"),
        ([], "the list is empty"),
        (
            [{"video": "a_0.mp4", "x": 1}],
            "no labels; its keys are `video`, `x`; name the clip column",
        ),
    ],
)
def test_others_are_refused_in_one_sentence(place, content, what):
    place.write(t_dot_json=json.dumps(content))
    (problem,) = place.problems("t.json")
    assert problem.startswith("t.json")
    assert what in problem
    assert '"' not in problem and "[{" not in problem


@pytest.mark.parametrize("text", ['[{"video": "a.mp4",\n', "{\n", "{'a.mp4': 'run'}", '{"a": 1} x'])
def test_what_is_meant_to_be_json_is_no_list_of_lines(place, text):
    place.write(t_dot_json=text)
    (problem,) = place.problems("t.json")
    assert "this is not valid JSON (" in problem


def test_names_that_begin_like_json_are_names(place):
    place.videos("[a] 1.mp4", "{b} 1.mp4")
    place.write(t_dot_txt="[a] 1.mp4 run\n{b} 1.mp4 walk\n")
    listing = place.read("t.txt", ann_file_val="v.csv")
    assert listing.train.paths == ("[a] 1.mp4", "{b} 1.mp4")


def test_clips_of_splits_without_labels_are_not_taken_for_classes(place):
    content = {"train": ["a_0.mp4", "a_1.mp4"], "val": ["a_2.mp4"]}
    place.write(l_dot_json=json.dumps(content))
    (problem,) = place.problems("l.json")
    assert "no labels" in problem


def test_one_hot_labels_in_json_are_refused(place):
    content = [{"path": "a_0.mp4", "label": [1, 0, 0]}, {"path": "a_1.mp4", "label": [0, 1, 0]}]
    place.write(l_dot_json=json.dumps(content))
    (problem,) = place.problems("l.json")
    assert "one-hot" in problem


def test_what_is_in_the_pictures_is_not_what_the_clip_is(place):
    records = [{**record, "objects": [{"label": "person", "bbox": [1, 2]}]} for record in RECORDS]
    place.write(t_dot_json=json.dumps(records))
    assert named(place.read("t.json", ann_file_val="v.csv"), "train") == CLIPS


def test_pairs_of_times_by_other_names(place):
    records = [{**record, "time": [0.01, 0.02]} for record in RECORDS]
    place.write(t_dot_json=json.dumps(records))
    assert place.read("t.json", ann_file_val="v.csv").train.segments == ((0.01, 0.02),) * 3
