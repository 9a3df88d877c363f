"""Backbone, list format, decoder, metric and task of a user's own module, in real runs."""

import json
import os
import subprocess
import sys

import pytest

from tests.datasets import COLOURS, REPOSITORY, TINY, colour_clip, command, write_config

PARTS = '''
"""What a user adds."""

import numpy as np
from mmaction.registry import MODELS
from torch import nn

from autox_video.backbones.backbone import Backbone, Block
from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES, DECODERS, LIST_FORMATS
from autox_video.data.listing.formats.list_format import ListFormat
from autox_video.data.listing.reading.table import Table
from autox_video.metrics.metric import METRICS, Metric
from autox_video.tasks.classification.single_label import SingleLabel
from autox_video.tasks.task import TASKS
from autox_video.video.decoders.pyav import PyAVDecoder


class Mixing(Block):
    def __init__(self, drop_path):
        super().__init__(drop_path)
        self.layer = nn.Conv3d(6, 6, 1)

    def forward(self, x):
        return self.add(x, self.layer)


@MODELS.register_module()
class Toy(Backbone):
    def __init__(self, drop_path_rate=0.0, with_cp=False, precision="float32", compile=False):
        super().__init__(with_cp=with_cp, precision=precision)
        self.stem = nn.Conv3d(3, 6, (1, 8, 8), stride=(1, 8, 8))
        self.block = Mixing(drop_path_rate)

    def forward(self, x):
        return self.run_block(self.block, self.stem(x))


BACKBONES.register("toy")(
    BackboneSpec(
        module="my_parts",
        config={"type": "Toy"},
        channels=6,
        parameters_millions=0.01,
        gib_per_clip=0.01,
        gmacs_per_clip=0.01,
        resolution=64,
        scratch_clips=0,
        scratch_lr=1e-2,
    )
)


class Arrows(ListFormat):
    """`LABEL <- PATH` in each line."""

    def recognises(self, source, reading):
        return bool(source.head) and all(" <- " in line for line in source.head)

    def read(self, source, reading):
        table = Table(source.path)
        for number, line in source.lines():
            label, _, path = line.partition(" <- ")
            table.add(number, path, label)
        table.check(may_lack_labels=False)
        return table


LIST_FORMATS.register("arrows")(Arrows())


@DECODERS.register("counting")
class Counting(PyAVDecoder):
    decoder = "counting"


def within_one(scores, labels):
    """Share of clips whose class is at most one away from the predicted one."""
    return float((np.abs(scores.argmax(1) - labels) <= 1).mean())


class Ordinal(SingleLabel):
    """Classes in an order."""

    name = "ordinal"
    main_scores = ("within_one", "within_one")

    def loss(self, logits, targets, *, smoothing):
        losses = super().loss(logits, targets, smoothing=smoothing)
        return {"loss_cls": 2 * losses["loss_cls"]}

    def right(self, scores, labels):
        return (np.abs(scores.argmax(-1) - labels) <= 1) * 1.0

    def predicted(self, scores, classes):
        mean = float(np.dot(scores, range(len(classes))))
        return {**super().predicted(scores, classes), "mean": round(mean, 3)}


TASKS.register("ordinal")(Ordinal())
METRICS.register("within_one")(Metric("at most one off", ("ordinal",), within_one, is_share=True))
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the module, a config that names it, and lists in the format of its own."""
    root = tmp_path_factory.mktemp("custom")
    (root / "my_parts.py").write_text(PARTS)
    (root / "videos").mkdir()
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        lines = []
        for index, colour in enumerate(COLOURS):
            for number in range(count):
                name = f"{split}_{colour}_{number}.mp4"
                colour_clip(root / "videos" / name, colour, seed=10 * index + number)
                lines.append(f"{colour} <- {name}\n")
        (root / f"{split}.lst").write_text("".join(lines))
    keys = {
        **TINY,
        "custom_imports": ["my_parts"],
        "backbone": "toy",
        "task": "ordinal",
        "decoder": "counting",
        "data_root": "videos",
        "ann_file_train": "train.lst",
        "ann_file_val": "val.lst",
        "ann_file_test": "test.lst",
        "work_dir": "run",
    }
    write_config(root / "config.yaml", **keys)
    return root


@pytest.fixture(scope="module")
def trained(folder):
    """The folder after two epochs of training."""
    done = command("autotrain.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_users_parts_train_and_test_by_the_commands(trained):
    choices = json.loads((trained / "run/record.json").read_text())["choices"]
    assert (choices["backbone"]["value"], choices["decoder"]["value"]) == ("toy", "counting")
    events = [json.loads(line) for line in (trained / "run/metrics.jsonl").read_text().splitlines()]
    assert any(0 <= event.get("within_one", -1) <= 1 for event in events)
    done = command("autotest.py", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "at most one off" in done.stdout
    content = json.loads((trained / "run/results.json").read_text())
    assert content["decoder"] == "counting"
    assert set(content["classes"]) == set(COLOURS)
    record = content["predictions"][0]
    expected = sum(share * index for index, share in enumerate(record["scores"]))
    assert record["mean"] == pytest.approx(expected, abs=2e-3)
    scores = [clip["scores"] for clip in content["predictions"]]
    labels = [clip["label"] for clip in content["predictions"]]
    near = [abs(s.index(max(s)) - label) <= 1 for s, label in zip(scores, labels, strict=True)]
    assert content["metrics"]["within_one"] == pytest.approx(sum(near) / len(near))
    assert "within_one" in content["metrics"]["intervals"]


def test_without_the_module_its_names_are_not_known(folder):
    done = command("autotrain.py", "custom_imports=[]", cwd=folder)
    assert done.returncode == 2
    assert "backbone" in done.stderr and "toy" in done.stderr and "Traceback" not in done.stderr


def test_a_module_that_is_missing_is_named(folder):
    done = command("autotrain.py", "custom_imports=[my_part]", cwd=folder)
    assert done.returncode == 2
    assert "my_part" in done.stderr and "Traceback" not in done.stderr


PYTHON = """
from autox_video import AutoXVideo

model = AutoXVideo().read_cfg("config.yaml", ["epoch=3"])
best = model.fit()
assert 0 <= best["within_one"] <= 1 and best["headline"]["score"] == best["within_one"]
assert len(model.transform()) == 6
"""


@pytest.mark.slow
def test_a_run_of_a_users_parts_is_resumed_from_python(trained):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", PYTHON],
        cwd=trained,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Resuming after epoch 2 of 3" in done.stdout and "epoch 3" in done.stdout
