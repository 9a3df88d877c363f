"""What a user gets for a mistake in a command: a sentence, exit code 2, no loss."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from autox_video.api import AutoXVideo
from autox_video.cli.main import main
from tests.datasets import (
    REPOSITORY,
    TINY,
    colour_clip,
    colour_data,
    command,
    write_config,
)
from tests.videos import (
    numbered_frames,
    truncate,
    write_empty_video,
    write_sound,
    write_text_video,
    write_video,
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return colour_data(tmp_path / "data", train=2, val=1, test=1)


def refused(done: subprocess.CompletedProcess) -> str:
    """The sentence of a command that must have refused without a traceback."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    return done.stderr


def config_for(tmp_path, data, **keys):
    work = {"work_dir": str(tmp_path / "work"), "test_results_path": str(tmp_path / "r.json")}
    return write_config(tmp_path / "config.yaml", **{**data, **TINY, **work, **keys})


def test_help_is_quick_and_lists_every_key(tmp_path):
    begin = time.perf_counter()
    done = command("autotrain.py", "--help", cwd=tmp_path)
    assert time.perf_counter() - begin < 5  # the benchmark measures; this only catches torch
    assert done.returncode == 0
    assert "videos_per_gpu" in done.stdout
    assert "my/clips" in done.stdout


@pytest.mark.slow
def test_missing_config(tmp_path):
    assert "config.yaml" in refused(command("autotrain.py", cwd=tmp_path))
    assert "nowhere.yaml" in refused(command("autotest.py", "nowhere.yaml", cwd=tmp_path))


def test_empty_config(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    assert "config.yaml" in refused(command("autotrain.py", cwd=tmp_path))


def test_unknown_key_and_wrong_type_are_reported_together(tmp_path, data):
    config_for(tmp_path, data, epoch="ten", video_lenght=2)
    sentence = refused(command("autotrain.py", "seed=-1", cwd=tmp_path))
    assert "video_length" in sentence
    assert "ten" in sentence
    assert "seed" in sentence


@pytest.mark.slow
def test_missing_list_and_missing_clip(tmp_path, data, command_here):
    config_for(tmp_path, data, ann_file_val=str(tmp_path / "no.txt"))
    assert "no.txt" in refused(command_here("autotrain.py", cwd=tmp_path))
    with open(data["ann_file_train"], "a") as file:
        file.write("absent.mp4 0\n")
    config_for(tmp_path, data)
    assert "train.txt:7" in refused(command_here("autotrain.py", cwd=tmp_path))


@pytest.mark.slow
def test_label_out_of_range(tmp_path, data, command_here):
    config_for(tmp_path, data, num_class=2)
    sentence = refused(command_here("autotrain.py", cwd=tmp_path))
    assert "train.txt:5" in sentence
    assert "num_class" in sentence


@pytest.mark.slow
def test_one_class(tmp_path, data, command_here):
    for split in ("train", "val", "test"):
        place = data[f"ann_file_{split}"]
        lines = [line for line in open(place) if line.endswith(" 0\n")]
        open(place, "w").writelines(lines)
    config_for(tmp_path, data)
    assert "class" in refused(command_here("autotrain.py", cwd=tmp_path))


@pytest.mark.slow
def test_all_clips_unreadable(tmp_path, data, command_here):
    for name in os.listdir(data["data_root"]):
        write_text_video(os.path.join(data["data_root"], name))
    config_for(tmp_path, data)
    assert "No readable training clips" in refused(command_here("autotrain.py", cwd=tmp_path))


@pytest.mark.slow
def test_strict_makes_an_unreadable_clip_an_error(tmp_path, data, command_here):
    write_empty_video(os.path.join(data["data_root"], "train red 0.mp4"))
    config_for(tmp_path, data, strict=True)
    sentence = refused(command_here("autotrain.py", cwd=tmp_path))
    assert "strict" in sentence and "train red 0.mp4" in sentence


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_work_dir_not_writable(tmp_path, data):
    (tmp_path / "locked").mkdir(mode=0o555)
    config_for(tmp_path, data, work_dir=str(tmp_path / "locked" / "work"))
    assert "work_dir" in refused(command("autotrain.py", cwd=tmp_path))


@pytest.mark.slow
def test_work_dir_below_a_file(tmp_path, data, command_here):
    (tmp_path / "file").write_text("")
    config_for(tmp_path, data, work_dir=str(tmp_path / "file" / "work"))
    assert "work_dir" in refused(command_here("autotrain.py", cwd=tmp_path))


@pytest.mark.slow
def test_device_that_is_not_there(tmp_path, data):
    config_for(tmp_path, data, device="cuda:7")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = command("autotrain.py", cwd=tmp_path, env=environment)
    assert "cuda:7" in refused(done)


@pytest.mark.slow
def test_results_path(tmp_path, data, command_here):
    config_for(tmp_path, data)
    done = command_here("autotest.py", "test_results_path=no/such/r.json", cwd=tmp_path)
    assert "no/such" in refused(done)
    done = command_here("autotest.py", "test_results_path=r.pkl", cwd=tmp_path)
    assert ".json" in refused(done)


@pytest.mark.slow
def test_testing_before_training(tmp_path, data, command_here):
    config_for(tmp_path, data)
    assert "autotrain.py" in refused(command_here("autotest.py", cwd=tmp_path))


@pytest.mark.slow
def test_odd_clips_are_named_or_used_and_nothing_stops(tmp_path, data, capsys):
    root = data["data_root"]
    odd = {
        "zero.mp4": write_empty_video,
        "text.mp4": write_text_video,
        "sound.mp4": write_sound,
    }
    for name, write in odd.items():
        write(os.path.join(root, name))
    torn = truncate(colour_clip(Path(root, "torn.mp4"), "red", seed=1), 0.5)
    colour_clip(Path(root, "odd size.mp4"), "green", seed=2, size=(17, 33))
    write_video(Path(root, "one frame.mp4"), numbered_frames(1))
    names = [*odd, torn.name, "odd size.mp4", "one frame.mp4"]
    for split in ("train", "test"):
        with open(data[f"ann_file_{split}"], "a") as file:
            file.writelines(f"{name} 1\n" for name in names)
    model = AutoXVideo().read_cfg(str(config_for(tmp_path, data, epoch=1)))
    model.fit(verbose=True)
    said = capsys.readouterr().out
    for name in (*odd, torn.name):
        assert name in said
    assert "4 clips cannot be read" in said
    model.transform()
    records = json.loads((tmp_path / "r.json").read_text())["predictions"]
    status = {r["video"]: r["status"] for r in records}
    assert {name for name, s in status.items() if s == "unreadable"} == {*odd, torn.name}
    assert status["odd size.mp4"] == status["one frame.mp4"] == "ok"


@pytest.mark.slow
def test_a_damaged_checkpoint_is_kept_and_the_one_before_it_used(
    tmp_path, data, capfd, command_here
):
    model = AutoXVideo().read_cfg(str(config_for(tmp_path, data, epoch=1)))
    model.fit()
    work = tmp_path / "work"
    truncate(work / "latest.pth", 0.5)
    size = (work / "latest.pth").stat().st_size
    model.fit()
    assert "latest.pth: the checkpoint is damaged" in capfd.readouterr().out
    assert (work / "latest.pth.damaged").stat().st_size == size
    for name in ("latest.pth", "previous.pth"):
        (work / name).write_bytes(b"")
    sentence = refused(command_here("autotrain.py", cwd=tmp_path))
    assert "latest.pth" in sentence and "previous.pth" in sentence and "--fresh" in sentence
    assert (work / "best.pth").is_file()


@pytest.mark.slow
def test_checkpoint_of_another_model(tmp_path, data, command_here):
    other = tmp_path / "other.pth"
    torch.save({"state_dict": {"conv.weight": torch.zeros(3, 3)}}, other)
    config_for(tmp_path, data, load_from=str(other))
    assert "other.pth" in refused(command_here("autotrain.py", cwd=tmp_path))


def test_the_installed_command_is_the_same(tmp_path):
    code = "from autox_video.cli.main import main; raise SystemExit(main(['train']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert "config.yaml" in refused(done)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["swin_nano", "conv_nano"])
def test_pretrained_weights_are_loaded_and_counted(tmp_path, data, backbone, capsys):
    from tests.backbones.weights.weight_files import weights_file

    path = weights_file(tmp_path / "w" / "mine.pth", backbone)
    config = config_for(tmp_path, data, epoch=1, load_from=str(path), backbone=backbone)
    AutoXVideo().read_cfg(str(config)).fit()
    said = capsys.readouterr().out
    assert f"mine.pth (mmaction2, {backbone}); skipped 2 head tensors of the file" in said
    plan = json.loads((tmp_path / "work" / "record.json").read_text())["choices"]
    assert plan["pretrained"]["value"] == str(path)
    assert plan["backbone_lr_mult"]["value"] == 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("words", "code"), [(["train", "c.yaml"], 2), (["check", "c.yaml"], 0)])
def test_where_nobody_reads_the_command_goes_on_quietly(words, code, tmp_path):
    for name in ("a/1.mp4", "b/1.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True)
        write_text_video(tmp_path / "videos" / name)
    (tmp_path / "c.yaml").write_text("data_root: videos\n")
    script = f"from autox_video.cli.main import main; raise SystemExit(main({words!r}))"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(tmp_path)},
    ) as process:  # fmt: skip
        process.stdout.close()
        said = process.stderr.read().decode()
        assert (process.wait(), "Traceback" in said, bool(said)) == (code, False, code == 2)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_named_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    keys = {**colour_data(tmp_path / "data", train=2, val=1, test=1), **TINY}
    (tmp_path / "file").write_text("")
    write_config(
        tmp_path / "config.yaml",
        **{**keys, "cache": str(tmp_path / "file" / "frames")},
        work_dir=str(tmp_path / "work"),
    )
    assert main(["train"]) == 2
    said = capsys.readouterr().err
    assert "cache: " in said and "cannot be written" in said
    assert "Traceback" not in said
