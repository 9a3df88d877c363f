"""The main job: what a work dir needs before it goes on."""

import pytest

from autox_video.jobs.train import _mend_record
from autox_video.planning.record import load_stored, write_record
from autox_video.training.checkpoints.checkpoint import write_checkpoint
from tests.planning.test_record import record_in


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"schema": 7, "digest": "0"}'])
@pytest.mark.parametrize("name", ["latest.pth", "previous.pth"])
def test_a_damaged_record_is_written_again_from_a_checkpoint(tmp_path, capsys, content, name):
    record = record_in(tmp_path)
    write_checkpoint(tmp_path / name, {"state_dict": {}, "meta": {"record": record.to_json()}})
    if content is not None:
        (tmp_path / "record.json").write_bytes(content)
    _mend_record(tmp_path)
    mended = load_stored(tmp_path)
    write_record(tmp_path, record)
    assert mended == load_stored(tmp_path)
    assert f"restored from {name}" in capsys.readouterr().err


def test_a_whole_record_stays_and_damaged_checkpoints_mend_none(tmp_path):
    (tmp_path / "latest.pth").write_bytes(b"damaged")
    _mend_record(tmp_path)
    assert load_stored(tmp_path) is None
    write_record(tmp_path, record_in(tmp_path))
    before = (tmp_path / "record.json").read_bytes()
    _mend_record(tmp_path)
    assert (tmp_path / "record.json").read_bytes() == before
