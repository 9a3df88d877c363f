"""Results that are there already, and what becomes of them."""

import json

import pytest

from autox_video.data.clip_table import ClipTable
from autox_video.evaluation.kept_results import is_of_clips, keep_other_results
from autox_video.metrics.results import Prediction, Provenance, results


def content(*predictions, sha="s", decoder="pyav", root="/d"):
    return results(predictions, Provenance("c", "w", sha, decoder, ("a", "b"), root))


A, B = Prediction("a.mp4", 0, (0.9, 0.1)), Prediction("b.mp4", 1, (0.9, 0.1))
PART = Prediction("a.mp4", 0, (0.9, 0.1), segment=(1.0, float("inf")))


def test_results_of_the_same_test_are_replaced(tmp_path):
    path = tmp_path / "r.json"
    keep_other_results(path, content(A, B))
    path.write_text(json.dumps(content(A, B)))
    keep_other_results(path, content(A, B))
    assert list(tmp_path.iterdir()) == [path]


def test_results_of_before_name_no_folder_of_their_clips(tmp_path):
    path = tmp_path / "r.json"
    before = content(A, B)
    del before["data_root"]
    path.write_text(json.dumps(before))
    keep_other_results(path, content(A, B))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "other",
    [
        json.dumps(content(A, B, sha="other")),
        json.dumps(content(A)),
        json.dumps(content(A, B, decoder="decord")),
        json.dumps(content(PART, B)),
        json.dumps(content(A, B, root="/night")),
        '{"name": "mine"}',
        "[1]",
        "no JSON",
    ],
)
def test_anything_else_is_kept_under_another_name(other, tmp_path, capsys):
    path = tmp_path / "r.json"
    (tmp_path / "r-1.json").write_text("kept before")
    path.write_text(other)
    keep_other_results(path, content(A, B))
    assert (tmp_path / "r-2.json").read_text() == other
    assert (tmp_path / "r-1.json").read_text() == "kept before"
    assert f"they are now in {tmp_path / 'r-2.json'}" in capsys.readouterr().out
    keep_other_results(path, content(A, B))
    assert len(list(tmp_path.iterdir())) == 3


def test_whether_results_are_of_these_clips():
    found = json.loads(json.dumps(content(A, B)))
    assert is_of_clips(found, ClipTable(("a.mp4", "b.mp4"), (0, 1)))
    assert not is_of_clips(found, ClipTable(("a.mp4", "b.mp4"), (1, 1)))
    assert not is_of_clips(found, ClipTable(("a.mp4",), (0,)))
    assert not is_of_clips(found, ClipTable(("a.mp4", "b.mp4"), None))
    part = json.loads(json.dumps(content(PART)))
    assert is_of_clips(part, ClipTable(("a.mp4",), (0,), ((1.0, float("inf")),)))
    assert not is_of_clips(part, ClipTable(("a.mp4",), (0,), ((2.0, float("inf")),)))
    several = Prediction("a.mp4", (0, 1), (0.9, 0.8), multi_label=True)
    found = json.loads(json.dumps(content(several)))
    assert is_of_clips(found, ClipTable(("a.mp4",), ((0, 1),)))
