"""Recordings with labelled segments → segments found in other recordings, by the real commands."""

import json

import numpy as np
import pytest

from autox_video import AutoXVideo
from autox_video.cli.main import main
from autox_video.prediction.timeline import timeline
from tests.datasets import TINY, command, write_config
from tests.videos import write_video

pytestmark = pytest.mark.slow

FPS, SECONDS = 8, 20
GREY, FLASHES = (110, 110, 110), {"red": (220, 40, 40), "blue": (40, 40, 220)}


def recording(path, seed):
    """Write a grey recording with red and blue flashes; give its segments."""
    rng = np.random.default_rng(seed)
    segments, start = [], float(rng.uniform(1, 3))
    while start < SECONDS - 4:
        length = float(rng.uniform(1.5, 3))
        segments.append((round(start, 2), round(start + length, 2), str(rng.choice([*FLASHES]))))
        start += length + float(rng.uniform(2, 4))
    colours = np.tile(np.array(GREY), (FPS * SECONDS, 1))
    for first, last, name in segments:
        colours[round(first * FPS) : round(last * FPS)] = FLASHES[name]
    noise = rng.integers(-25, 26, size=(len(colours), 36, 48, 3))
    frames = np.clip(colours[:, None, None] + noise, 0, 255).astype(np.uint8)
    write_video(path, frames, fps=FPS)
    return [f"{path.name},{name},{first},{last}" for first, last, name in segments]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("localisation")
    (root / "videos").mkdir()
    for split, count in (("train", 6), ("test", 2)):
        rows = ["path,label,start,end"]
        for number in range(count):
            rows += recording(root / f"videos/{split}{number}.mp4", len(rows) + 100 * number)
        (root / f"{split}.csv").write_text("\n".join(rows) + "\n")
    keys = {**TINY, "epoch": 4, "clip_len": 8, "work_dir": "work", "search": "off"}
    del keys["video_length"]
    keys |= {"data_root": "videos", "ann_file_train": "train.csv", "ann_file_test": "test.csv"}
    config = write_config(root / "config.yaml", **keys)
    trained = command("autotrain.py", config, cwd=root, timeout=600)
    assert trained.returncode == 0, trained.stderr
    return root, config, trained.stdout


def test_segments_are_found_in_other_recordings(run):
    root, config, output = run
    assert "3 classes" in output  # red, blue and the background
    assert "temporal head" in output
    assert "sliding windows" in output
    tested = command("autotest.py", config, cwd=root, timeout=600)
    assert tested.returncode == 0, tested.stderr
    content = json.loads((root / "work/results.json").read_text())
    metrics = content["metrics"]
    assert content["classes"] == ["blue", "red"]
    assert metrics["recordings"] == 2
    assert metrics["mAP@0.5"] > 0.9
    assert metrics["f1@50"] > 0.9
    assert metrics["intervals"]["mAP@0.5"][0] <= metrics["mAP@0.5"]
    for record in content["predictions"]:
        assert record["status"] == "ok"
        assert len(record["segments"]) == pytest.approx(len(record["labelled"]), abs=1)
        assert {part["class"] for part in record["segments"]} <= {"red", "blue"}


def test_a_second_start_leaves_the_model_as_it_is(run):
    root, config, _ = run
    before = (root / "work/best.safetensors").read_bytes()
    again = command("autotrain.py", config, cwd=root, timeout=600)
    assert again.returncode == 0, again.stderr
    assert (root / "work/best.safetensors").read_bytes() == before


def test_the_model_file_alone_finds_segments(run, tmp_path):
    root, _, _ = run
    model = tmp_path / "best.safetensors"
    model.write_bytes((root / "work/best.safetensors").read_bytes())
    loaded = AutoXVideo.load(model, workers=0)
    assert loaded.classes == ("blue", "red")
    [prediction] = loaded.predict(root / "videos/test0.mp4")
    assert prediction.windows.starts[0] == 0
    assert prediction.windows.ends[-1] == pytest.approx(SECONDS)
    result = json.loads((root / "work/results.json").read_text())["predictions"][0]
    found = timeline(prediction, loaded.temporal.options)
    assert [(s.name, round(s.start, 3)) for s in found] == [
        (s["class"], s["start"]) for s in result["segments"]
    ]


def test_the_command_uses_the_options_chosen_in_training(run, tmp_path):
    root, _, _ = run
    out = tmp_path / "out.json"
    words = [root / "work/best.safetensors", root / "videos/test0.mp4", "--timeline", "--out", out]
    assert main(["predict", *map(str, words)]) == 0
    result = json.loads((root / "work/results.json").read_text())["predictions"][0]
    assert json.loads(out.read_text())["predictions"][0]["timeline"] == result["segments"]


def test_classification_can_be_asked_for(run):
    root, config, _ = run
    words = ("task=classification", "work_dir=clips", "--plan")
    planned = command("autotrain.py", config, *words, cwd=root, timeout=600)
    assert planned.returncode == 0, planned.stderr
    record = json.loads((root / "clips/record.json").read_text())
    assert record["data"]["classes"] == ["blue", "red"]
    assert record["data"]["task"] == "single_label"
