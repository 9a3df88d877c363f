"""plan.json: kept twice, and checked when read."""

import json

import pytest

from autox_video.core.errors import CheckpointError
from autox_video.planning.record import PLAN_SCHEMA, read_plan, write_plan, write_stored
from autox_video.run.work_dir import PLAN, PLAN_COPY
from tests.planning.test_plan import SWIN_B, plan_for

DATA = {"classes": ["a", "b"], "train": {"clips": 1, "sha256": "0", "left_out": [["x.mp4"]]}}


@pytest.fixture
def run(tmp_path):
    write_plan(tmp_path, plan_for(pretrained=SWIN_B), "f", DATA)
    return tmp_path


def test_what_is_written_is_read(run):
    stored = read_plan(run)
    assert (stored["schema"], stored["fingerprint"], stored["data"]) == (PLAN_SCHEMA, "f", DATA)
    assert stored["choices"]["backbone"]["value"] == "swin_base"
    assert (run / PLAN).read_bytes() == (run / PLAN_COPY).read_bytes()


def test_names_that_are_no_text_survive(tmp_path):
    write_stored(tmp_path, {"schema": PLAN_SCHEMA, "data": ["\udcff.mp4", "ü"]})
    assert read_plan(tmp_path)["data"] == ["\udcff.mp4", "ü"]


def damage(kind, path):
    content = path.read_bytes()
    if kind == "gone":
        path.unlink()
    elif kind == "a folder":
        path.unlink()
        path.mkdir()
    else:
        at = content.index(b'"swin_base"') + 3
        damaged = {
            "empty": b"",
            "zeros": bytes(len(content)),
            "cut": content[: len(content) // 2],
            "a flipped bit": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
            "no object": b"[]",
            "no key": b'{"schema": 6}',
            "deep": b"[" * 100_000,
        }
        path.write_bytes(damaged[kind])


KINDS = [
    "gone",
    "a folder",
    "empty",
    "zeros",
    "cut",
    "a flipped bit",
    "no object",
    "no key",
    "deep",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_plan_is_replaced_by_its_copy_with_a_note(run, capsys, kind):
    before = read_plan(run)
    assert capsys.readouterr().out == ""
    damage(kind, run / PLAN)
    assert read_plan(run) == before
    assert "plan.json: missing or damaged; its copy" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_copy_matters_only_where_the_plan_is_damaged_too(run, capsys, kind):
    damage(kind, run / PLAN_COPY)
    read_plan(run)
    assert capsys.readouterr().out == ""
    damage(kind, run / PLAN)
    with pytest.raises(CheckpointError, match=r"plan\.json: missing or damaged.*--fresh"):
        read_plan(run)


def test_a_run_of_another_version_is_refused(tmp_path):
    (tmp_path / PLAN).write_text('{"schema": 1, "fingerprint": "", "choices": {}}')
    with pytest.raises(CheckpointError, match=r"plan\.json: .* of another version"):
        read_plan(tmp_path)
    later = {**json.loads((tmp_path / PLAN).read_text()), "schema": PLAN_SCHEMA + 1}
    write_stored(tmp_path, later)
    with pytest.raises(CheckpointError, match=r"plan\.json: .* of another version"):
        read_plan(tmp_path)


def test_a_plan_of_another_run_is_refused_and_a_torn_change_is_not(run):
    kept = (run / PLAN_COPY).read_bytes()
    write_plan(run, plan_for(pretrained=SWIN_B, seed=1), "f", DATA)
    (run / PLAN_COPY).write_bytes(kept)
    with pytest.raises(CheckpointError, match=r"plan\.json: it and its copy .* different runs"):
        read_plan(run)
    same = {"lr": plan_for(pretrained=SWIN_B).lr}
    write_plan(run, plan_for(pretrained=SWIN_B, epoch=99, **same), "f", DATA)
    (run / PLAN_COPY).write_bytes(kept)  # killed between the two
    assert read_plan(run)["choices"]["epochs"]["value"] == 99
