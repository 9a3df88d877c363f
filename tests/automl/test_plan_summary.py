"""What is shown of a run before it trains."""

from types import SimpleNamespace

import pytest

from autox_video.automl.plan_summary import clips_text, show_plan, show_summary
from autox_video.core.console import showing
from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.planning.predicted_time import predict
from tests.planning.test_plan import GPU, STATS, SWIN_B, plan_for
from tests.planning.test_predicted_time import CLIPS, MEASURED

GOOD = ClipFacts(8, 2.0, 4.0, 48, 36, "h264", None)
BAD = ClipFacts(0, 0.0, 0.0, 0, 0, "", "cut off")


def split(good, bad=0):
    count = good + bad
    return ClipTable(
        [f"{n}.mp4" for n in range(count)], [0] * count, facts=[GOOD] * good + [BAD] * bad
    )


LISTING = SimpleNamespace(
    splits={"train": split(384, 1), "val": split(96), "test": split(160, 1)}, classes=("a",) * 8
)


def summary(capsys, tmp_path, plan, **prediction):
    predicted = predict(MEASURED, plan, CLIPS, used_sec=4.0)
    prepared = SimpleNamespace(inspected=LISTING)
    show_summary(prepared, plan, prediction.get("prediction", predicted), tmp_path / "work")
    shown = capsys.readouterr()
    assert shown.err == ""
    return dict(line.split(maxsplit=1) for line in shown.out.splitlines())


def test_skipped_clips_are_counted():
    assert clips_text(LISTING) == "640 in 8 classes: 384 train, 96 validation, 160 test; 2 skipped"
    only = SimpleNamespace(splits={"train": split(3), "val": split(1)}, classes=("a",))
    assert clips_text(only) == "4 in 1 class: 3 train, 1 validation"


def test_a_summary_of_a_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = summary(capsys, tmp_path, plan_for())
    assert list(lines) == ["Clips", "Model", "Input", "Training", "Time", "Choices"]
    assert lines["Model"].startswith("conv_nano, ") and "from scratch" in lines["Model"]
    assert lines["Training"].endswith("float32, CPU")
    assert lines["Choices"].startswith("work/record.json")
    assert all(len(text) <= 70 for text in lines.values())


def test_weights_and_a_budget_and_several_gpus(capsys, tmp_path):
    from dataclasses import replace

    gpus = replace(GPU, processes=4, local_processes=4)
    plan = plan_for(STATS, gpus, SWIN_B, time_budget="10m")
    lines = summary(capsys, tmp_path, plan)
    assert "weights b.pth" in lines["Model"] and lines["Training"].endswith("4 GPUs")
    assert "(time_budget: 10 min 00 s); bottleneck: " in lines["Time"]


def test_a_probe_has_no_epochs(capsys, tmp_path):
    lines = summary(capsys, tmp_path, plan_for(backbone="descriptors"), prediction=None)
    assert list(lines) == ["Clips", "Model", "Input", "Choices"]
    assert lines["Model"] == "descriptors, fixed features; only the head is trained"
    assert "batch" not in lines["Input"]


@pytest.mark.parametrize(
    ("verbose", "detail", "shown"), [("auto", True, False), (True, True, True)]
)
def test_the_table_of_choices_is_for_who_asks(capsys, verbose, detail, shown):
    plan = plan_for()
    with showing(verbose):
        show_plan(plan, predict(MEASURED, plan, CLIPS, used_sec=4.0), detail=detail)
    out = capsys.readouterr().out
    assert ("weight_decay" in out) is shown and "Predicted time" not in out


def test_a_plan_tells_the_parts_of_its_time(capsys):
    plan = plan_for()
    show_plan(plan, predict(MEASURED, plan, CLIPS, used_sec=4.0), detail=False)
    out = capsys.readouterr().out
    assert "weight_decay" in out and "Predicted time: " in out and "evaluating" in out
