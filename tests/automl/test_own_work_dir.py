"""Work dirs that hold the run of other clips."""

import pytest

from autox_video.automl.own_work_dir import refuse_run_of_others
from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import CheckpointError, ConfigError
from autox_video.planning.record import write_stored


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run on a/clips in work_dirs/clips, and another folder of that name."""
    monkeypatch.chdir(tmp_path)
    for folder in ("a/clips", "b/clips", "work_dirs/clips"):
        (tmp_path / folder).mkdir(parents=True)
    write_stored(tmp_path / "work_dirs/clips", {"data": {"data_root": str(tmp_path / "a/clips")}})
    (tmp_path / "work_dirs/clips/latest.pth").touch()
    return tmp_path


def refuse(*, fresh=False, **keys):
    refuse_run_of_others(settings_from_mapping(keys, "test"), fresh=fresh)


def test_another_folder_of_the_same_name_is_refused(run):
    for root in ("b/clips", str(run / "b" / "clips"), "s3://bucket/clips"):
        with pytest.raises(CheckpointError, match=r"a run on .*a/clips, not on .*-2, or .*--fresh"):
            refuse(data_root=root)


def test_the_same_folder_is_not(run):
    (run / "link").mkdir()
    (run / "link" / "clips").symlink_to(run / "a" / "clips")
    for root in ("a/clips", "./a/../a/clips/", "link/clips"):
        refuse(data_root=root)


def test_what_the_user_says_is_not_refused(run):
    refuse(data_root="b/clips", fresh=True)
    refuse(data_root="b/clips", work_dir="work_dirs/clips")


def test_clips_that_were_moved_are_left_to_the_comparison_of_clips(run):
    (run / "a" / "clips").rmdir()
    refuse(data_root="b/clips")


def test_a_plan_alone_is_no_run(run):
    (run / "work_dirs/clips/latest.pth").unlink()
    refuse(data_root="b/clips")


@pytest.mark.parametrize("record", ["work_dirs/clips", "work_dirs/clips/record.json"])
def test_a_run_is_not_repeated_in_its_own_folder(run, record):
    with pytest.raises(ConfigError, match=r"give the new run another folder, .*clips-2"):
        refuse(data_root="a/clips", from_plan=record, fresh=True)
    refuse(data_root="a/clips", from_plan=record, work_dir="new")
