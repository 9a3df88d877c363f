"""VIA's projects and CSV exports."""

import json

import pytest

from tests.data.listing.formats.annotation_tools.rows import rows_of

ACTION = {"aname": "Action", "anchor_id": "FILE1_Z2_XY0", "type": 4, "desc": "", "options": {}}
NUMBERED = {**ACTION, "options": {"0": "run", "1": "walk"}, "default_option_id": "1"}


def mark(value, *times, view="1", xy=(), attribute="1"):
    return {"vid": view, "flg": 0, "z": list(times), "xy": list(xy), "av": {attribute: value}}


def project(*marks, attributes=None, files=None, views=None):
    files = files or [("a.mp4", 1, ""), ("", 2, "https://host/x/sub/b.mp4")]
    numbered = enumerate(files, 1)
    return {
        "project": {"pid": "p", "pname": "unnamed", "vid_list": ["1", "2"]},
        "config": {"file": {"loc_prefix": {"1": ""}}, "ui": {}},
        "attribute": attributes or {"1": ACTION},
        "file": {
            str(i): {"fid": str(i), "fname": name, "type": 4, "loc": loc, "src": src}
            for i, (name, loc, src) in numbered
        },
        "metadata": {f"1_{i:08d}": mark for i, mark in enumerate(marks, 1)},
        "view": views or {str(i): {"fid_list": [str(i)]} for i in (1, 2)},
    }


def read(place, content, **given):
    place.write(t_dot_json=json.dumps(content))
    return place.read("t.json", ann_file_val="v.csv", **given)


def rows(place, content, **options):
    place.write(t_dot_json=json.dumps(content, indent=1))
    return rows_of("t.json", **options)


def problems(place, content, **given):
    place.write(t_dot_json=json.dumps(content))
    return place.problems("t.json", ann_file_val="v.csv", **given)


def test_segments_of_several_videos(place):
    marks = mark("run", 0, 1.25), mark("walk", 0.5, 2), mark("walk", 1, 1.5, view="2")
    listing = read(place, project(*marks))
    assert rows_of("t.json") == [
        ("a.mp4", "run", 0.0, 1.25),
        ("a.mp4", "walk", 0.5, 2.0),
        ("sub/b.mp4", "walk", 1.0, 1.5),
    ]
    assert not listing.multi_label


def test_options_have_numbers_and_a_default(place):
    marks = mark("0", 0, 1), mark("_DEFAULT", 1, 2), mark("typed in", 0, 2)
    assert [row[1] for row in rows(place, project(*marks, attributes={"1": NUMBERED}))] == [
        "run",
        "walk",
        "typed in",
    ]


def test_several_options_are_several_classes(place):
    marks = mark("0,1", 0, 1), mark("1", 1, 2)
    listing = read(place, project(*marks, attributes={"1": {**NUMBERED, "type": 2}}))
    assert listing.multi_label
    assert listing.train.labels == ((0, 1), (1,))


def test_regions_and_still_frames_are_skipped(place):
    marks = (
        mark("run", 0, 1),
        mark("car", 0.5, xy=(2, 1, 1, 9, 9)),
        mark("run", 0.25),
        mark("walk", 1, 2),
    )
    listing = read(place, project(*marks))
    assert [row[1:] for row in rows_of("t.json")] == [("run", 0.0, 1.0), ("walk", 1.0, 2.0)]
    assert any(note.startswith("t.json: 2 regions or frames skipped") for note in listing.notes)
    assert problems(place, project(*marks[1:3])) == [
        "t.json: there are no annotated videos or segments."
    ]


def test_of_several_attributes_one_is_named(place):
    attributes = {"1": ACTION, "2": {**ACTION, "aname": "Person"}}
    marks = mark("run", 0, 1), mark("Ann", 0, 2, attribute="2"), mark("walk", 1, 2)
    content = project(*marks, attributes=attributes)
    assert problems(place, content) == [
        "t.json: several attributes have labels: `Action` (2), `Person` (1). Set label_field to "
        "the name of the one to learn from."
    ]
    assert [row[1] for row in rows(place, content, label_field="Action")] == [
        "run",
        "walk",
    ]
    assert problems(place, content, label_field="Verb") == [
        "t.json: label_field: there are no labels under the name Verb; attributes with labels: "
        "`Action` (2), `Person` (1)."
    ]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (mark("run", 2, 1), "the segment ends at 1 s, which is not after its start at 2 s"),
        (mark("run", -1, 1), "the start `-1` is not a time of 0 or more"),
        (mark("run", 0, 1, attribute="9"), "there is no attribute 9"),
        (mark("run", 0, 1, view="9"), "view 9 shows 0 files, not one video"),
    ],
)
def test_faults_name_the_metadata(place, wrong, why):
    (problem,) = problems(place, project(mark("run", 0, 1), wrong))
    assert problem.startswith(f"t.json: metadata 1_00000002: {why}")


def test_a_project_of_another_shape_is_a_fault(place):
    (problem,) = problems(place, {**project(), "metadata": {"1": {"av": 3}}})
    assert "this is a VIA project or CSV export, but parts of it are missing or invalid" in problem
    *_, problem = problems(place, project(mark("run", 0, 1), files=[("c.mp4", 1, "")]))
    assert "/videos/c.mp4 does not exist" in problem


CSV = """# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# Notes:
# - metadata of {""1"":""3""} indicates attribute with id "1" set to an option with id "3"
# ATTRIBUTE = {"1":{"aname":"Action","type":4,"options":{"0":"run","1":"walk"}}}
# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata
"1_a","[""a.mp4""]",0,"[0,1.25]","[]","{""1"":""0""}"
"1_b","[""a.mp4""]",0,"[0.5]","[2,1,1,9,9]","{""1"":""0""}"
"1_c","[""C:\\\\videos\\\\sub\\\\b.mp4""]",0,"[1,2]","[]","{""1"":""1""}"
"""
SEGMENTS = """# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# CSV_HEADER = metadata_id,file_list,temporal_segment_start,temporal_segment_end,metadata
"1_a","[""a.mp4""]",0,1.25,"{""Action"":""run""}"
"1_b","[""a.mp4""]",0.5,,"{""Action"":""run""}"
"1_c","[""sub/b.mp4""]",1,2,"{""Action"":""walk""}"
"""


@pytest.mark.parametrize(
    "text", [CSV, SEGMENTS, "\n".join(SEGMENTS.replace("# CSV_HEADER = ", "").split("\n")[1:])]
)
def test_csv_exports(place, text):
    place.write(t_dot_csv=text)
    listing = place.read("t.csv", ann_file_val="v.csv")
    assert rows_of("t.csv") == [("a.mp4", "run", 0.0, 1.25), ("sub/b.mp4", "walk", 1.0, 2.0)]
    assert any("1 region or still frame skipped" in note for note in listing.notes)


def test_faults_in_csv_name_the_line(place):
    rows = [
        '"1_d","[""a.mp4""]",0,"[2,1]","[]","{""1"":""0""}"',
        '"1_e","[""a.mp4"",""b.mp4""]",0,"[1,2]","[]","{""1"":""0""}"',
        '"1_f","a.mp4",0,"[1,2]","[]","{""1"":""0""}"',
    ]
    place.write(t_dot_csv=CSV + "\n".join(rows))
    columns = "metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata"
    assert place.problems("t.csv", ann_file_val="v.csv") == [
        "t.csv:10: metadata 1_e: it has 2 files, not one video.",
        f"t.csv:11: metadata 1_f: this is not `{columns}`.",
        "t.csv:9: metadata 1_d: the segment ends at 1 s, which is not after its start at 2 s.",
    ]
