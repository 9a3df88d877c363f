"""One list file, whatever it is written like, as columns."""

import math
import os

import pytest

from autox_video.core.errors import ListingError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.written_list import read_list, write_list


@pytest.mark.parametrize(
    "clips",
    [
        ClipTable(("a.mp4", "b c.mp4"), (0, 12)),
        ClipTable(("a, b.mp4", '"q".mp4', "#x.mp4", " s .mp4", "new\nline.mp4", "r\r.mp4"), None),
        ClipTable((os.fsdecode(b"\xe9.mp4"),), (3,)),
        ClipTable((), ()),
        ClipTable(("a", "b", "c"), ((0, 2), (), (11,))),
        ClipTable(("a", "a", "b"), (0, 1, 0), ((0.0, 1.5), (1.5, 2.25), (0.1, math.inf))),
        ClipTable(("a", "b"), ((1,), (0,)), ((0.0, math.inf), (1e-3, 2.0))),
        ClipTable(("a", "s3://b/c, d.mp4"), None, ((0.0, 1.0), (1.0, 2.0))),
    ],
)
def test_what_is_written_is_read_again(tmp_path, clips):
    path = tmp_path / "new" / "list.csv"
    write_list(path, clips)
    found = read_list(path)
    assert found.paths == clips.paths
    assert found.labels == clips.labels
    assert found.segments == clips.segments
    assert found.has_label_sets == clips.has_label_sets
    assert len(found) == len(clips.paths)


def test_a_written_list_of_parts_and_several_classes_is_plain_csv(tmp_path):
    clips = ClipTable(("a.mp4", "a.mp4"), ((0, 2), (1,)), ((0.5, 2.0), (2.0, math.inf)))
    write_list(tmp_path / "l.csv", clips)
    wanted = "path,labels,start,end\na.mp4,0;2,0.5,2.0\na.mp4,1,2.0,\n"
    assert (tmp_path / "l.csv").read_text() == wanted


def test_a_written_list_is_plain_csv(tmp_path):
    write_list(tmp_path / "l.csv", ClipTable(("a b.mp4", "c.mp4"), (1, 0)))
    assert (tmp_path / "l.csv").read_bytes() == b"path,label\na b.mp4,1\nc.mp4,0\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a.mp4 0\n",
        "path,label\na\n",
        "path,label\na,x\n",
        'path,label\n"a,1\n',
        "path,labels\na,1;x\n",
        "path,label,start,end\na,1,3,2\n",
        "path,label,start\na,1,3\n",
    ],
)
def test_a_damaged_written_list_is_one_sentence(tmp_path, content):
    path = tmp_path / "l.csv"
    path.write_text(content)
    with pytest.raises(ListingError, match=r"l\.csv: the list ") as caught:
        read_list(path)
    assert "\n" not in str(caught.value)


def test_a_written_list_that_is_gone_or_cannot_be_written(tmp_path):
    with pytest.raises(ListingError, match="cannot be read"):
        read_list(tmp_path / "l.csv")
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="cannot be written"):
        write_list(tmp_path / "file" / "l.csv", ClipTable((), ()))
