"""Clips added, removed, moved and renamed after a run."""

import json
from pathlib import Path

import pytest

from autox_video.data.listing.written_list import read_list
from tests.cli.test_main import refused
from tests.datasets import TINY, colour_clip, hash_of, write_config

pytestmark = pytest.mark.slow


def clips(folder, label, names, colour=None):
    (folder / label).mkdir(parents=True, exist_ok=True)
    for name in names:
        seed = hash_of(label + name)
        colour_clip(folder / label / f"{name}.mp4", colour or label, seed=seed)


def sides(work):
    """Give the split of each clip, by its path."""
    split = {name: read_list(work / "split" / f"{name}.csv") for name in ("train", "val", "test")}
    return {path: name for name, table in split.items() for path in table.paths}


def test_one_sentence_and_one_command(tmp_path, command_here):
    videos, work = tmp_path / "videos", tmp_path / "work"
    clips(videos, "red", "abcdefgh")
    clips(videos, "green", "abcdefgh")
    keys = {**TINY, "epoch": 1, "data_root": "videos", "work_dir": "work"}
    write_config(tmp_path / "config.yaml", **keys)
    done = command_here("autotrain.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((work / "record.json").read_text())["finished"] is True
    first, weights = sides(work), (work / "best.pth").read_bytes()

    clips(videos, "red", "ijkl")
    clips(videos, "blue", "abcdef")
    (videos / "green").rename(videos / "lime")
    (videos / "red" / "a.mp4").rename(videos / "red" / "z.mp4")
    (videos / "red" / "b.mp4").unlink()
    (videos / "red" / "c.mp4").rename(videos / "lime" / "x.mp4")
    sentence = refused(command_here("autotrain.py", cwd=tmp_path))
    assert (
        "10 clips are new (6 in `blue`, 4 in `red`), 1 is gone (red/b.mp4), 1 was moved or renamed "
        "(red/z.mp4), 1 has another class (lime/x.mp4: red -> lime); class `green` was renamed to "
        "`lime`; class `blue` is new. To train on the clips as they are now, run the same command "
        "with --fresh: known clips keep their side of the split"
    ) in sentence
    assert (work / "best.pth").read_bytes() == weights

    done = command_here("autotrain.py", "--fresh", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "15 clips keep their split" in " ".join(done.stderr.split())
    now = sides(work)
    names = {"red/a.mp4": "red/z.mp4", "red/c.mp4": "lime/x.mp4"}
    for path, side in first.items():
        if path != "red/b.mp4":
            assert now[names.get(path, path.replace("green/", "lime/"))] == side
    assert {name for path, name in now.items() if path.startswith("blue/")} == {
        "train",
        "val",
        "test",
    }
    assert len(now) == len(list(Path(videos).rglob("*.mp4"))) == 25
    # The same command again has nothing to say.
    done = command_here("autotrain.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_weights_of_an_earlier_run_are_never_validated_on_their_own_clips(tmp_path, command_here):
    videos = tmp_path / "videos"
    for colour in ("red", "green"):
        clips(videos, colour, "abcdefghij")
    keys = {**TINY, "epoch": 1, "data_root": "videos", "work_dir": "one"}
    write_config(tmp_path / "config.yaml", **keys)
    assert command_here("autotrain.py", cwd=tmp_path).returncode == 0
    first = sides(tmp_path / "one")
    sentence = refused(
        command_here("autotrain.py", "--fresh", "load_from=one/best.pth", cwd=tmp_path)
    )
    assert "load_from: one/best.pth is part of the run that --fresh moves aside" in sentence

    for path in sorted((videos / "red").iterdir()):
        path.rename(path.with_name(f"moved {path.name}"))
    words = ("load_from=one/best.pth", "work_dir=two", "seed=9")
    done = command_here("autotrain.py", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    now = sides(tmp_path / "two")
    assert {path.replace("moved ", ""): side for path, side in now.items()} == first
    trained = sum(side == "train" for side in first.values())
    assert f"the weights were trained on {trained} of these clips" in done.stderr
    assert "kept the head of 2 known classes" in done.stdout

    lists = {"train": "val", "val": "train"}
    for name, other in lists.items():
        paths = [path for path, side in now.items() if side == other]
        text = "".join(f"{path},{path.split('/')[0]}\n" for path in paths)
        (tmp_path / f"{name}.csv").write_text("path,label\n" + text)
    words = ("load_from=one/best.pth", "work_dir=three", "ann_file_train=train.csv")
    done = command_here("autotrain.py", *words, "ann_file_val=val.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"trained on {trained} of {trained} validation clips" in done.stderr
