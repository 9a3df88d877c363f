"""Parts of videos given in frames: in seconds once the videos were opened, and everywhere alike."""

import json
import math
import os

import numpy as np
import pytest

from autox_video.data.listing.listing import read_test
from autox_video.data.listing.reading import frame_segments
from autox_video.video.open_video import open_video
from tests.places import Place
from tests.videos import numbered_frames, read_numbers, write_video


@pytest.fixture
def place(tmp_path, monkeypatch):
    """a.mp4 and b.mp4 of 24 frames, 12 and 24 a second; c.mp4 cannot be read."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("videos")
    for name, fps in (("a.mp4", 12), ("b.mp4", 24), ("v.mp4", 12)):
        write_video(f"videos/{name}", numbered_frames(24), fps=fps)
    (tmp_path / "videos/c.mp4").touch()
    return Place()


def rounded(segments):
    return [tuple(np.round(each, 6).tolist()) for each in segments]


HEADER = "path,label,start_frame,end_frame\n"


def test_frames_are_divided_by_each_videos_rate(place):
    place.write(t_dot_csv=HEADER + "a.mp4,x,0,12\na.mp4,y,12,24\nb.mp4,y,6,12\nb.mp4,x,12,\n")
    place.write(v_dot_csv=HEADER + "v.mp4,x,3,9\n")
    listing = place.read("t.csv", ann_file_val="v.csv", ann_file_test="v.csv")
    assert rounded(listing.train.segments) == [(0, 1), (1, 2), (0.25, 0.5), (0.5, math.inf)]
    assert rounded(listing.val.segments) == rounded(listing.test.segments) == [(0.25, 0.75)]
    alone = read_test(place.settings(ann_file_test="v.csv"), ("x", "y"))
    assert alone.segments == listing.test.segments


PHONE_MS = np.cumsum([0, *[40] * 11, *[200] * 6, *[20] * 6])
"""24 frames of a clip that was filmed in the dark for a while: 25, then 5, then 50 a second."""


@pytest.mark.parametrize("name", ["p.mp4", "p.mkv"])
@pytest.mark.parametrize("frames", [(0, 24), (10, 14), (12, 13), (17, 24), (23, 24)])
def test_frames_of_a_variable_rate_are_those_frames(place, name, frames):
    write_video(f"videos/{name}", numbered_frames(24), times_ms=PHONE_MS.tolist())
    start, end = frames
    place.write(t_dot_csv=f"{HEADER}{name},x,{start},{end}\na.mp4,y,0,6\n")
    place.write(v_dot_csv="path,label\nv.mp4,x\n")
    (first, last), other = place.read("t.csv", ann_file_val="v.csv").train.segments
    assert first == pytest.approx(PHONE_MS[start] / 1000)
    with open_video(f"videos/{name}") as video:
        ends = np.append(PHONE_MS / 1000, video.seconds)
        shown = video.frames_at(np.arange(first, last - 0.001, 0.01))
    assert last == pytest.approx(ends[end])
    assert read_numbers(shown) == sorted(read_numbers(shown))
    assert set(read_numbers(shown)) == set(range(start, end))
    assert other == pytest.approx((0, 0.5))


def test_frames_behind_the_end_of_a_variable_rate(place):
    write_video("videos/p.mp4", numbered_frames(24), times_ms=PHONE_MS.tolist())
    rows = "p.mp4,x,12,\np.mp4,x,20,48\np.mp4,x,48,50\np.mp4,y,,\na.mp4,y,0,6\n"
    place.write(t_dot_csv=HEADER + rows, v_dot_csv="path,label\nv.mp4,x\n")
    segments = place.read("t.csv", ann_file_val="v.csv").train.segments
    with open_video("videos/p.mp4") as video:
        seconds = video.timeline().seconds
    assert segments[0] == (pytest.approx(0.64), math.inf)
    assert segments[1] == pytest.approx((PHONE_MS[20] / 1000, 2 * seconds))
    assert segments[2] == pytest.approx((2 * seconds, 50 / 24 * seconds))
    assert segments[3] == (0.0, math.inf)


def test_only_videos_of_a_variable_rate_are_opened_anew(place, monkeypatch):
    write_video("videos/p.mp4", numbered_frames(24), times_ms=PHONE_MS.tolist())
    place.write(t_dot_csv=HEADER + "a.mp4,x,0,12\nb.mp4,y,6,12\np.mp4,x,3,9\np.mp4,y,0,3\n")
    place.write(v_dot_csv="path,label\nv.mp4,x\n")
    opened = []
    looked_up = frame_segments._times_of_frames
    monkeypatch.setattr(
        frame_segments,
        "_times_of_frames",
        lambda places, *rest, **more: opened.append(places) or looked_up(places, *rest, **more),
    )
    place.read("t.csv", ann_file_val="v.csv")
    assert opened == [["videos/p.mp4"] * 2]


def test_a_video_that_goes_away_meanwhile_is_named(place, monkeypatch):
    write_video("videos/p.mp4", numbered_frames(24), times_ms=PHONE_MS.tolist())
    place.write(t_dot_csv=HEADER + "p.mp4,x,3,9\na.mp4,y,0,3\n")
    place.write(v_dot_csv="path,label\nv.mp4,x\n")
    probe = frame_segments.inspect_clips

    def lose(*places, **more):
        found = probe(*places, **more)
        os.remove("videos/p.mp4")
        return found

    monkeypatch.setattr(frame_segments, "inspect_clips", lose)
    (problem,) = place.problems("t.csv", ann_file_val="v.csv")
    assert "p.mp4: there is no such file" in problem


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("path,label,onset_frame,offset_frame", "a.mp4,x,6,18"),
        ("path;label;Start (frame);Stop (frame)", "a.mp4;x;6;18"),
        ("path,label,start_frame,num_frames", "a.mp4,x,6,12"),
        ("path,label,start_frame,stop_frame,start_time,stop_time", "a.mp4,x,0,1,0.5,1.5"),
        ("path,label,start_ms,end_ms", "a.mp4,x,500,1500"),
        ("path,label,start,length", "a.mp4,x,0.5,1.0"),
    ],
)
def test_other_columns_for_the_same_part(place, header, row):
    place.write(t_dot_csv=f"{header}\n{row}\n{row.replace('a.mp4', 'b.mp4').replace('x', 'y')}\n")
    place.write(v_dot_csv="path,label\nv.mp4,x\n")
    listing = place.read("t.csv", ann_file_val="v.csv")
    assert rounded(listing.train.segments)[0] == (0.5, 1.5)


def test_json_with_frames(place):
    rows = [
        {"vid_name": name, "label": label, "start_frame": 6, "end_frame": 18}
        for label, name in enumerate("ab")
    ]
    place.write(t_dot_json=json.dumps(rows), v_dot_csv="path,label\nv.mp4,0\n")
    listing = place.read("t.json", ann_file_val="v.csv")
    assert rounded(listing.train.segments) == [(0.5, 1.5), (0.25, 0.75)]


def test_a_video_that_cannot_be_read_keeps_its_parts_apart(place):
    place.write(t_dot_csv=HEADER + "c.mp4,x,0,12\nc.mp4,y,12,24\na.mp4,y,0,6\n")
    place.write(v_dot_csv="path,label\nv.mp4,x\n")
    assert len(set(place.read("t.csv", ann_file_val="v.csv").train.segments)) == 3


def test_wrong_frames_are_named(place):
    rows = ["a.mp4,x,12,12", "a.mp4,x,0:01,12", "a.mp4,x,1.5,12", "a.mp4,x,-3,12", "a.mp4,x,9,3"]
    place.write(t_dot_csv=HEADER + "\n".join(rows))
    assert place.problems("t.csv") == [
        "t.csv:2: the segment ends at frame 12, which is not after its start at frame 12.",
        "t.csv:3: the start `0:01` is not a frame number (0, 1, 2, ...).",
        "t.csv:4: the start `1.5` is not a frame number (0, 1, 2, ...).",
        "... and 2 more like these.",
    ]


def test_no_video_outside_is_opened(place, monkeypatch):
    write_video("outside.mp4", numbered_frames(4), fps=4)
    place.write(t_dot_csv=HEADER + "../outside.mp4,x,0,2\na.mp4,y,0,6\n")
    place.write(v_dot_csv="path,label\nv.mp4,x\n")
    opened = []
    monkeypatch.setattr(
        "autox_video.data.listing.reading.frame_segments.inspect_clips",
        lambda paths, *_, **__: opened.append(paths),
    )
    (problem,) = place.problems("t.csv", ann_file_val="v.csv")
    assert "is outside data_root" in problem
    assert opened == []


def test_where_it_is_allowed_it_is(place):
    write_video("outside.mp4", numbered_frames(4), fps=4)
    place.write(t_dot_csv=HEADER + "../outside.mp4,x,0,2\na.mp4,y,0,6\n")
    place.write(v_dot_csv="path,label\nv.mp4,x\n")
    listing = place.read("t.csv", ann_file_val="v.csv", allow_outside=True)
    assert rounded(listing.train.segments) == [(0, 0.5), (0, 0.5)]
