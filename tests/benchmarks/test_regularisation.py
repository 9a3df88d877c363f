"""The script that compares settings: which clips it takes, and what it does not run again."""

import json
import os

from benchmarks import regularisation
from benchmarks.regularisation import Arm
from benchmarks.suite_systems import Data


def test_a_part_of_a_set_has_the_first_clips_of_each_class(tmp_path, monkeypatch):
    train = tmp_path / "train_list.txt"
    train.write_text("".join(f"{i}.mp4 {name}\n" for i in range(5) for name in ("a", "b")))
    whole = Data("some", tmp_path, train, tmp_path / "test_list.txt", ("a", "b"))
    monkeypatch.setattr(regularisation, "made_data", lambda name, out: whole)
    assert regularisation.data_of("some", tmp_path) == (whole, 10)
    data, clips = regularisation.data_of("some:5", tmp_path)
    assert (data.name, clips) == ("some:4", 4)
    lines = ["0.mp4 a", "1.mp4 a", "0.mp4 b", "1.mp4 b"]
    assert data.train.read_text().splitlines() == lines
    assert train.read_text().count("\n") == 10


def test_what_has_a_row_is_not_run_again(tmp_path, monkeypatch):
    data = Data("some", tmp_path, tmp_path, tmp_path, ("a", "b"))
    arms = [Arm(data, 10, word, 0, 100, "none") for word in ("plain", "ema=0.99")]
    ran = []

    def run(arm, folder):
        ran.append((arm.word, len(os.sched_getaffinity(0))))
        return {"key": arm.key, "top1": 0.5, "loss": 1.0}

    monkeypatch.setattr(regularisation, "run", run)
    row = {"key": arms[0].key, "top1": 0.9, "loss": 0.2}
    (tmp_path / "regularisation.jsonl").write_text(json.dumps(row) + "\n")
    rows = regularisation.run_all(arms, tmp_path)
    assert ran == [("ema=0.99", 1)]
    assert [row["top1"] for row in rows] == [0.9, 0.5]
    assert regularisation.run_all(arms, tmp_path) == rows and len(ran) == 1
