"""Which clips are tested."""

from pathlib import Path

import pytest

from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import ConfigError, ListingError
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.written_list import write_list
from autox_video.evaluation.tested_clips import Model, clips_to_test
from autox_video.tasks.task import TASKS
from autox_video.training.checkpoints.model_record import root_digest


@pytest.fixture
def settings_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train/a/1.mp4", "train/b/1.mp4", "test/a/2.mp4", "test/b/2.mp4"):
        Path("videos", name).parent.mkdir(parents=True, exist_ok=True)
        Path("videos", name).touch()

    def settings_of(**given):
        given = {"data_root": "videos", "work_dir": "work", **given}
        return settings_from_mapping(given, "test")

    return settings_of


def chosen(settings, *, task="single_label", whole_folder=False):
    model = Model(("a", "b"), root_digest("videos"), TASKS[task])
    return clips_to_test(settings, model, whole_folder=whole_folder)


def test_the_folders_for_testing_are_tested(settings_of):
    assert chosen(settings_of()).paths == ("test/a/2.mp4", "test/b/2.mp4")
    assert chosen(settings_of()).labels == (0, 1)


def test_the_clips_for_testing_of_a_training_list_are_tested(settings_of):
    rows = ["training,train/a/1.mp4,a", "test,test/a/2.mp4,a,0,1", "test,test/a/2.mp4,b,0,1"]
    Path("l.csv").write_text("\n".join(rows))
    found = chosen(settings_of(ann_file_train="l.csv"), task="multi_label")
    assert (found.paths, found.labels) == (("test/a/2.mp4",), ((0, 1),))
    assert found.segments == ((0.0, 1.0),)


def test_a_test_list_of_several_classes(settings_of):
    Path("t.txt").write_text("test/a/2.mp4 a;b\ntest/b/2.mp4 b\n")
    settings = settings_of(ann_file_test="t.txt")
    assert chosen(settings, task="multi_label").labels == ((0, 1), (1,))


def test_without_clips_to_test_a_list_is_asked_for(settings_of):
    Path("l.txt").write_text("train/a/1.mp4 a\ntrain/b/1.mp4 b\n")
    with pytest.raises(ConfigError, match="ann_file_test: there is no list of clips to test"):
        chosen(settings_of(ann_file_train="l.txt"))


def test_every_clip_of_a_folder(settings_of):
    assert len(chosen(settings_of(), whole_folder=True)) == 4


def test_clips_set_aside_are_inside_data_root(settings_of):
    Path("work/split").mkdir(parents=True)
    clips = ClipTable(("test/a/2.mp4", "two\nlines.mp4", "../other/1.mp4"), (0, 1, 1))
    write_list("work/split/test.csv", clips)
    with pytest.raises(ListingError, match=r"split/test\.csv:5: clip `\.\./other/1\.mp4` is out"):
        chosen(settings_of())
    assert chosen(settings_of(allow_outside=True)) == clips


def touch(*files):
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()


@pytest.fixture
def divided(settings_of):
    """A run that divided the clips of class folders in `old`."""
    names = [f"{label}/{n}.mp4" for label in "ab" for n in range(3)]
    touch(*(f"old/{name}" for name in names))
    Path("work/split").mkdir(parents=True)
    for n, name in enumerate(("train", "val", "test")):
        write_list(f"work/split/{name}.csv", ClipTable((names[n], names[n + 3]), (0, 1)))

    def clips_of(root, **keys):
        return clips_to_test(
            settings_of(data_root=root, **keys),
            Model(("a", "b"), root_digest("old"), TASKS["single_label"]),
            whole_folder=False,
        )

    return clips_of


def test_clips_set_aside_are_those_of_the_run(divided):
    assert divided("old") == divided("./old/") == ClipTable(("a/2.mp4", "b/2.mp4"), (0, 1))


def test_clips_that_were_moved_are_still_those_set_aside(divided):
    Path("old").rename("new")
    assert divided("new").paths == ("a/2.mp4", "b/2.mp4")


def test_another_folder_is_tested_as_a_whole_with_the_labels_of_its_folders(divided, capsys):
    touch("new/day/b/1.mp4", "new/a/2.mp4", "new/a/3.mp4", "new/a/4.zip")
    assert divided("new") == ClipTable(("a/2.mp4", "a/3.mp4", "day/b/1.mp4"), (0, 0, 1))
    said = capsys.readouterr()
    assert "Testing 3 clips of new, labelled by their folders" in said.out
    assert ".zip (1)" in said.err


def test_another_folder_without_classes_is_predicted(divided):
    touch("new/1.mp4", "new/x/2.mp4")
    assert divided("new") == ClipTable(("1.mp4", "x/2.mp4"), None)


def test_another_folder_half_of_whose_clips_are_in_classes_is_refused(divided):
    touch("new/a/1.mp4", "new/c/2.mp4")
    with pytest.raises(ListingError, match=r"1 clip of new not in a class folder: c/2\.mp4"):
        divided("new")


def test_another_folder_with_clips_for_testing_is_tested_on_those(divided):
    touch(*(f"new/{split}/{label}/9.mp4" for split in ("train", "test") for label in "ab"))
    assert divided("new").paths == ("test/a/9.mp4", "test/b/9.mp4")
