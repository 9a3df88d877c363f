"""`autox-video predict`: sources, outputs and exit codes."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from autox_video.cli.main import main
from autox_video.video.open_video import open_video
from tests.datasets import REPOSITORY
from tests.jobs.predictions import make_clips, make_model, read
from tests.prediction.live_servers import live_server
from tests.prediction.test_video_model import moving
from tests.servers import serve
from tests.videos import decode_all, write_text_video

HERE = ["--device=cpu", "--workers=0"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("predict")
    make_model(root)
    make_clips(root / "clips")
    moving(root / "long.mp4", 60)
    write_text_video(root / "bad.mp4")
    return root


@pytest.fixture
def there(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def predict(there, tmp_path, capfd):
    """Give a function that predicts, and gives the exit code, the predictions and the output."""

    def predict(*words, out="x.json"):
        files = [f"--out={tmp_path / out}"] if out else []
        capfd.readouterr()
        code = main(["predict", "best.safetensors", *map(str, words), *files, *HERE])
        path = tmp_path / out if out else None
        return code, read(path) if path and path.exists() else None, capfd.readouterr()

    return predict


def command(*words, cwd, **options):
    """Start the command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "autox_video", "predict", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(words, cwd=cwd, env=environment, **pipes)


# ---- exit codes ----


@pytest.mark.parametrize(
    ("sources", "code"),
    [
        (["clips/red/0.mp4"], 0),
        (["bad.mp4", "clips/red/0.mp4"], 0),
        (["none.mp4", "clips/red/0.mp4"], 0),
        (["bad.mp4"], 2),
        (["bad.mp4", "none.mp4"], 2),
    ],
)
def test_the_command_fails_only_if_nothing_can_be_read(predict, sources, code):
    ended, predictions, shown = predict(*sources)
    assert ended == code
    assert [p["video"] for p in predictions] == sources
    for source, prediction in zip(sources, predictions, strict=True):
        is_bad = source in ("bad.mp4", "none.mp4")
        assert (prediction["status"] == "unreadable") == is_bad
        assert (f"{source}: cannot be read" in shown.err) == is_bad


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["*.mkv"], "no file matches"),
        (["clips/*.none"], "no file matches"),
        (["best*"], "no videos"),
        (["--top=0", "long.mp4"], "whole number from 1"),
        (["--top=x", "long.mp4"], "whole number from 1"),
        (["--workers=-1", "long.mp4"], "whole number from 0"),
        (["--threshold=2", "--timeline", "long.mp4"], "threshold"),
        (["--threshold=0.5", "long.mp4"], "--timeline"),
        (["--smoothing=1", "long.mp4"], "--timeline"),
        (["--data-root=none", "list.csv"], "none"),
        (["long.mp4", "camera:0"], "only source"),
        (["camera:0", "--timeline"], "no --timeline"),
        (["camera:0", "--out=x.csv"], ".jsonl"),
        (["camera:99"], "camera:99"),
        (["long.mp4", "--device=tpu"], "device"),
        (["long.mp4", "--out=none/x.json"], "no folder"),
        (["long.mp4", "--out=x.xml"], "suffix"),
        (["clips", "--out=x.srt"], "one video"),
        (["clips", "--annotate=x.mp4"], "folder"),
        (["long.mp4", "--annotate=x.avi"], "suffix"),
        (["clips", "--annotate=annotated"], "one by one"),
        (["long.mp4", "--annotate=none/x.mp4"], "no folder"),
        (["list.csv", "--out=list.csv", "--overwrite"], "source"),
        (["long.mp4", "--annotate=long.mp4", "--overwrite"], "itself"),
        (["long.mp4", "--data-root=clips"], "no source is a list"),
        ([""], "A source is empty"),
        (["--import=no_such_module", "long.mp4"], "no_such_module"),
    ],
)
def test_mistakes_end_in_a_sentence(there, capfd, words, reason):
    Path("list.csv").write_text("path\nlong.mp4\n")
    assert main(["predict", "best.safetensors", "--device=cpu", *words]) == 2
    shown = capfd.readouterr()
    assert reason in shown.err
    assert "Traceback" not in shown.err
    assert not Path("x.mp4").exists()


@pytest.mark.parametrize(
    "model", ["none.pth", "long.mp4", "clips", "list.txt", "https://h/m.pth", ""]
)
def test_what_is_no_model_ends_in_a_sentence(there, capfd, model):
    Path("list.txt").write_text("long.mp4\n")
    assert main(["predict", model, "long.mp4", *HERE]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


# ---- sources ----


def names(predictions):
    return [p["video"] for p in predictions]


def test_folders_globs_and_several_files(predict):
    folder = predict("clips/red")[1]
    assert names(folder) == ["clips/red/0.mp4", "clips/red/1.mp4", "clips/red/2.mp4"]
    assert names(predict("clips/*/0.mp4", "--overwrite")[1]) == [
        "clips/blue/0.mp4",
        "clips/green/0.mp4",
        "clips/red/0.mp4",
    ]
    assert len(predict("clips/**/*.mp4", "--overwrite")[1]) == 9
    several = predict("long.mp4", "clips/red", "clips/blue/*.mp4", "--overwrite")[1]
    assert names(several)[:2] == ["long.mp4", "clips/red/0.mp4"]
    assert len(several) == 7
    assert not any("label" in p for p in several)


def test_class_folders_give_labels_and_scores(predict):
    code, predictions, shown = predict("clips")
    assert code == 0
    assert [p["label"] for p in predictions] == [2] * 3 + [1] * 3 + [0] * 3
    assert "Test on 9 clips" in shown.out


def test_a_list_is_relative_to_its_folder_or_to_data_root(predict, there, tmp_path):
    (there / "clips" / "list.txt").write_text("red/0.mp4\nblue/1.mp4\n")
    assert names(predict("clips/list.txt")[1]) == ["clips/red/0.mp4", "clips/blue/1.mp4"]
    (tmp_path / "else.txt").write_text("red/0.mp4\nblue/1.mp4\n")
    listed = predict(tmp_path / "else.txt", "--data-root=clips", "--overwrite")[1]
    assert names(listed) == ["clips/red/0.mp4", "clips/blue/1.mp4"]


def test_a_list_may_name_videos_anywhere(predict, there, tmp_path):
    (tmp_path / "list.txt").write_text(f"{there / 'long.mp4'}\n{there / 'clips/red/0.mp4'}\n")
    assert predict(tmp_path / "list.txt")[0] == 0


def test_segments_of_a_list_are_predicted_and_named_in_each_output(predict, tmp_path):
    (tmp_path / "parts.csv").write_text("path,start,end\nlong.mp4,1.0,2.0\nlong.mp4,4.5,\n")
    words = [tmp_path / "parts.csv", "--data-root=."]
    code, predictions, shown = predict(*words)
    assert code == 0
    assert [(p["start"], p["end"]) for p in predictions] == [(1.0, 2.0), (4.5, None)]
    assert "long.mp4 (1.00 to 2.00 s)" in shown.out
    assert "long.mp4 (4.50 to 6.00 s)" in shown.out
    rows = predict(*words, out="x.csv")[1]
    assert [(float(row["start"]), float(row["end"])) for row in rows] == [(1.0, 2.0), (4.5, 6.0)]
    scores = [[float(row[f"score:{name}"]) for name in ("red", "green", "blue")] for row in rows]
    assert np.allclose(scores, [p["scores"] for p in predictions])
    assert not np.allclose(scores[0], scores[1], atol=1e-3)


def test_an_address_is_predicted_as_its_file(predict, there):
    with serve(there) as server:
        code, [remote], _ = predict(f"{server.address}/long.mp4")
        assert code == 0
        listed = predict(f"{server.address}/clips/red/", "--overwrite")[1]
        missing = predict(f"{server.address}/none.mp4", "--overwrite")
        assert missing[0] == 2 and "none.mp4: cannot be read" in missing[2].err
        for address in ("ftp://127.0.0.1:9/a.mp4", "foo://127.0.0.1/a.mp4"):
            code, _, shown = predict(address, "--overwrite")
            assert code == 2 and f"{address}: cannot be read" in shown.err
            assert "cannot be written" not in shown.err
    assert len(listed) == 3
    [local] = predict("long.mp4", "--overwrite")[1]
    assert remote["scores"] == local["scores"]


def test_a_folder_of_frames_is_a_video(predict, tmp_path):
    import cv2

    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(decode_all("clips/red/0.mp4")):
        cv2.imwrite(str(tmp_path / "frames" / f"{number:05d}.png"), frame[..., ::-1])
    code, predictions, _ = predict(tmp_path / "frames")
    assert code == 0
    assert names(predictions) == [str(tmp_path / "frames")]


ODD = [
    "a b.mp4",
    "-x.mp4",
    "[1].mp4",
    "x=y.mp4",
    "a,b;c.mp4",
    "naïve 視頻.mp4",
    "n\nl.mp4",
    "*.mp4",
]
ODD += ["%41#?.mp4", "ends .mp4", os.fsdecode(b"\xff\xfe.mp4"), "'q\".mp4", ".hidden.mp4", "UP.MP4"]


def test_odd_names(predict, tmp_path, monkeypatch):
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ODD:
        os.link("clips/red/0.mp4", folder / name)
    model = Path("best.safetensors").resolve()
    monkeypatch.chdir(folder)
    words = [str(model), *HERE, "--out", "../odd.json", "--", *ODD]
    assert main(["predict", *words]) == 0
    predictions = read(tmp_path / "odd.json")
    assert names(predictions) == ODD
    assert {p["status"] for p in predictions} == {"ok"}
    assert main(["predict", str(model), *HERE, "--out", "../odd.csv", "--", *ODD]) == 0
    assert [os.fsdecode(os.fsencode(row["video"])) for row in read(tmp_path / "odd.csv")] == ODD


# ---- outputs ----


def test_each_format_holds_the_same_predictions(predict, tmp_path):
    wanted = {p["video"]: p["class"] for p in predict("clips", "long.mp4", "bad.mp4")[1]}
    for row in predict("clips", "long.mp4", "bad.mp4", out="x.csv")[1]:
        assert (row["class"] or None) == wanted[row["video"]]
    code = main(
        [
            "predict",
            "best.safetensors",
            "clips",
            "long.mp4",
            "bad.mp4",
            *HERE,
            f"--out={tmp_path / 'x.parquet'}",
        ]
    )
    assert code == 0
    from autox_video.prediction.outputs.output_files import read_predictions

    stored = read_predictions(tmp_path / "x.parquet")
    assert stored.header.about["task"] == "single_label"
    found = {p.video: p.top(1)[0][0] if p.is_readable else None for p in stored.predictions}
    assert found == wanted


def test_a_timeline_is_shown_and_written(predict, tmp_path, capfd):
    _, [prediction], shown = predict("long.mp4", "--timeline", "--threshold=0", "--min-seconds=0")
    parts = prediction["timeline"]
    assert parts[0]["start"] == 0 and parts[-1]["end"] == pytest.approx(6.0)
    assert [a["end"] for a in parts[:-1]] == [b["start"] for b in parts[1:]]
    assert f"{len(parts)} segment" in shown.out
    _, [merged], _ = predict("long.mp4", "--timeline", "--min-seconds=60", "--overwrite")
    assert len(merged["timeline"]) <= 1
    _, [none], shown = predict("long.mp4", "--timeline", "--threshold=1", "--overwrite")
    assert none["timeline"] == [] and "probability of at least 1" in shown.out
    main(["predict", "best.safetensors", "long.mp4", f"--out={tmp_path / 'x.srt'}", *HERE])
    assert "00:00:00,000 --> " in (tmp_path / "x.srt").read_text()


def test_top_says_how_many_classes_are_shown(predict):
    one = predict("long.mp4", "--top=1", out=None)[2].out
    three = predict("long.mp4", "--top=99", out=None)[2].out
    shown = [sum(name in text for name in ("red", "green", "blue")) for text in (one, three)]
    assert shown == [1, 3]


def test_nothing_is_overwritten_unasked(predict, there, tmp_path):
    (tmp_path / "x.json").write_text("mine")
    code = main(["predict", "best.safetensors", "long.mp4", f"--out={tmp_path / 'x.json'}"])
    assert code == 2
    assert (tmp_path / "x.json").read_text() == "mine"
    assert predict("long.mp4", "--overwrite")[0] == 0
    assert len(read(tmp_path / "x.json")) == 1
    before = (there / "long.mp4").read_bytes()
    assert predict("long.mp4", "--annotate=long.mp4", "--overwrite", out=None)[0] == 2
    assert (there / "long.mp4").read_bytes() == before


def test_an_annotated_video_has_all_frames(predict, tmp_path):
    code, _, shown = predict("long.mp4", f"--annotate={tmp_path / 'a.mp4'}", out=None)
    assert code == 0 and "a.mp4" in shown.out
    with open_video(tmp_path / "a.mp4") as video:
        assert video.num_frames == 60
    code, predictions, _ = predict("clips/red", "bad.mp4", f"--annotate={tmp_path / 'several'}")
    assert code == 0 and len(predictions) == 4
    assert sorted(os.listdir(tmp_path / "several")) == ["0.mp4", "1.mp4", "2.mp4"]
    assert predict("clips/red", f"--annotate={tmp_path / 'several'}", out=None)[0] == 2


# ---- pipes and signals ----


@pytest.mark.slow
def test_a_closed_pipe_does_no_harm(there, tmp_path):
    process = command("best.safetensors", "clips", f"--out={tmp_path / 'x.csv'}", *HERE, cwd=there)
    process.stdout.close()
    assert process.wait(120) == 0
    assert process.stderr.read() == ""
    with open(tmp_path / "x.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 9


@pytest.mark.slow
def test_ctrl_c_ends_without_a_traceback(there, tmp_path):
    slow = tmp_path / "slow.mp4"
    moving(slow, 20_000)
    process = command(
        "best.safetensors",
        slow,
        f"--out={tmp_path / 'x.csv'}",
        "--timeline",
        "--device=cpu",
        "--workers=1",
        cwd=there,
    )
    time.sleep(12)
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaints == "Stopped.\n"
    assert os.listdir(tmp_path) == ["slow.mp4"]


@pytest.mark.slow
def test_a_live_source_gives_lines_until_it_is_stopped(there, tmp_path):
    out = tmp_path / "x.jsonl"
    with live_server() as server:
        words = ["best.safetensors", server.url("live.mjpg"), f"--out={out}", "--device=cpu"]
        process = command(*words, cwd=there)
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaints == "Stopped.\n"
    assert all(" s  " in line and "delay" in line for line in lines)
    records = list(map(json.loads, out.read_text().splitlines()))
    assert len(records) >= 4
    assert f"Predictions: {out} ({len(records)} lines)" in rest
    assert all(abs(sum(record["scores"]) - 1) < 1e-5 for record in records)


@pytest.mark.slow
def test_a_live_source_ends_with_its_reader(there):
    with live_server() as server:
        process = command("best.safetensors", server.url("live.mjpg"), "--device=cpu", cwd=there)
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
    assert process.stderr.read() == ""
