"""The columns of a table, by whatever name."""

import pytest

from autox_video.data.listing.reading.columns import find_columns


def read(header, *, need_labels=True):
    """Give what a header says: names of (paths, label, start, end, length, unit)."""
    found = find_columns(header, need_labels=need_labels)
    if found is None:
        return None
    times = (found.start, found.end, found.length)
    named = [None if i is None else found.names[i] for i in (found.paths[0], found.label, *times)]
    return (*named, found.unit if any(named[2:]) else None)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("path,label", ("path", "label", None, None, None, None)),
        (",video_name,tag", ("video_name", "tag", None, None, None, None)),
        ("clip_name,clip_path,label", ("clip_path", "label", None, None, None, None)),
        ("video;choice", ("video", "choice", None, None, None, None)),
        ("File Path\tActivity", ("File Path", "Activity", None, None, None, None)),
        ("Filename|Class Name", ("Filename", "Class Name", None, None, None, None)),
        ('"videoName","actionLabel"', ("videoName", "actionLabel", None, None, None, None)),
        ("id,label", ("id", "label", None, None, None, None)),
        ("path,label,start,end", ("path", "label", "start", "end", None, "s")),
        ("path,label,from,to", ("path", "label", "from", "to", None, "s")),
        ("path,label,t_start,t_end", ("path", "label", "t_start", "t_end", None, "s")),
        ("path,label,clip_start,clip_end", ("path", "label", "clip_start", "clip_end", None, "s")),
        ("path,label,start_ms,end_ms", ("path", "label", "start_ms", "end_ms", None, "ms")),
        ("path,label,start,duration", ("path", "label", "start", None, "duration", "s")),
        (
            "video_id,start_timestamp,stop_timestamp,start_frame,stop_frame,verb",
            ("video_id", "verb", "start_timestamp", "stop_timestamp", None, "s"),
        ),
        ("path,label,onset,offset", ("path", "label", "onset", "offset", None, "s")),
        (
            "path,label,Begin Time - ss.msec,End Time - ss.msec",
            ("path", "label", "Begin Time - ss.msec", "End Time - ss.msec", None, "s"),
        ),
        (
            "path,label,Begin Time - msec,End Time - msec",
            ("path", "label", "Begin Time - msec", "End Time - msec", None, "ms"),
        ),
        (
            "path,label,start,end,start_time,end_time",
            ("path", "label", "start_time", "end_time", None, "s"),
        ),
        ("path,label,first_name,last_name", ("path", "label", None, None, None, None)),
        ("path,label,num_frames,fps,duration", ("path", "label", None, None, None, None)),
        ("path,text", None),
        ("subject,age", None),
        ("a.mp4 0", None),
    ],
)  # fmt: skip
def test_headers(header, wanted):
    assert read(header) == wanted


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("start_frame", "end_frame"),
        ("frame_start", "frame_end"),
        ("startFrame", "stopFrame"),
        ("Start (frame)", "End (frame)"),
        ("first_frame", "last_frame"),
        ("onset_frame", "offset_frame"),
        ("begin_frame", "finish_frame"),
        ("start_frame_idx", "end_frame_number"),
    ],
)
def test_columns_of_frames(start, end):
    wanted = ("path", "label", start, end, None, "frame")
    assert read(f"path,label,{start},{end}") == wanted


def test_activitynets_columns_of_frames():
    header = "video-id,f-init,n-frames,video-frames,label-idx"
    assert read(header) == ("video-id", "label-idx", "f-init", None, "n-frames", "frame")


def test_a_number_of_frames_goes_with_the_first_one():
    wanted = ("path", "label", "start_frame", None, "num_frames", "frame")
    assert read("path,label,start_frame,num_frames") == wanted


def test_a_column_of_paths_alone_does_for_clips_without_labels():
    assert read("video_name", need_labels=False)[0] == "video_name"
    assert read("id", need_labels=False) is None


@pytest.mark.parametrize(
    ("header", "labels", "times"),
    [
        ("path,label,peak_frame", (), ("peak_frame",)),
        ("path,label,segment", (), ("segment",)),
        ("path,label,timestamp", (), ("timestamp",)),
        ("path,label,category", ("category",), ()),
        ("path,verb,noun", ("noun",), ()),
        ("path,label,label_id", (), ()),
        ("path,label,num_frames,frame_rate,created_at,lead_time,width", (), ()),
        ("path,label,start,end,start_frame,end_frame", (), ()),
    ],
)
def test_what_is_not_read_is_known(header, labels, times):
    found = find_columns(header, need_labels=True)
    assert (found.other_labels, found.other_times) == (labels, times)
