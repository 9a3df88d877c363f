"""The lines of metrics.jsonl."""

import json

from autox_video.training.hooks.metrics_file import MetricsFile

TORN = '{"event": "tra'


def train_event(step):
    return {"event": "train", "epoch": step, "iter": step}


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_events_of_steps_to_be_taken_again_are_dropped(tmp_path):
    MetricsFile(str(tmp_path)).drop_after(iteration=2, evaluated_epoch=1)  # there is no file
    events = [train_event(step) for step in (1, 2, 3)]
    events += [{"event": "val", "epoch": i, "iter": i} for i in (1, 2)]
    text = "".join(json.dumps(event) + "\n" for event in events)
    (tmp_path / "metrics.jsonl").write_text(text + TORN)
    MetricsFile(str(tmp_path)).drop_after(iteration=2, evaluated_epoch=1)
    kept = [(event["event"], event["iter"]) for event in lines_of(tmp_path)]
    assert kept == [("train", 1), ("train", 2), ("val", 1)]


def test_figures_that_are_none_become_null(tmp_path):
    event = {"loss": float("nan"), "top1": 0.5, "n": 3, "x": float("inf")}
    assert MetricsFile(str(tmp_path)).append(event) is None
    assert lines_of(tmp_path) == [{"loss": None, "top1": 0.5, "n": 3, "x": None}]


def test_a_line_that_waited_and_was_written_after_the_checkpoint_is_there_once(tmp_path):
    events = [train_event(step) for step in (1, 2, 3, 4)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in events[:2]))
    file = MetricsFile(str(tmp_path))
    file.waiting = events[1:3]
    file.drop_after(iteration=3, evaluated_epoch=0)
    file.append(events[3])
    assert lines_of(tmp_path) == events
