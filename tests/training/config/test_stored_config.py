"""A config.py as data: what training writes comes back, all else is refused, nothing runs."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.config import Config

from autox_video.core.errors import CheckpointError
from autox_video.training.config.build_config import TrainingData, build_config
from autox_video.training.config.stored_config import (
    CONFIG_BYTES_MAX,
    config_from_text,
    config_text,
    read_stored_config,
    refuse_incomplete,
)
from tests.planning.test_plan import SWIN_B, plan_for

NAMES = ("a b", "it's", 'say "x"', "back\\slash", "line\nbreak", "\x1b[31m", "日本", "\udcff")
DATA = TrainingData("/d", "/w/train.csv", "/w/val.csv", NAMES, num_train=10)


def plan(**keys):
    return replace(plan_for(videos_per_gpu=4, epoch=6, **keys), num_classes=len(NAMES))


PLANS = {
    "from scratch": plan(),
    "fine-tuning": plan(pretrained=SWIN_B),
    "without evaluation": plan(evaluation=0),
    "float16, strong, cached": replace(
        plan(precision="float16", augment="strong"), cache="/c d", cache_gib=3.0
    ),
    "other windows": replace(plan(backbone="swin_base"), window_size=[16, 7, 7], compile=True),
}


def by_mmengine(config):
    return config.pretty_text


@pytest.mark.parametrize("write", [config_text, by_mmengine])
@pytest.mark.parametrize("name", PLANS)
def test_what_training_writes_comes_back_equal(name, write, tmp_path):
    config = build_config(PLANS[name], DATA, "/w")
    again = config_from_text(write(config), "config.py")
    assert again.to_dict() == config.to_dict()
    assert write(again) == write(config)
    refuse_incomplete(again, "config.py")
    (tmp_path / "config.py").write_text(write(config))
    assert Config.fromfile(tmp_path / "config.py").to_dict() == config.to_dict()


def test_every_kind_of_value_comes_back():
    values = {
        "numbers": [1, -1, 0.5, -1e-8, 2**40, math.inf, -math.inf],
        "others": (True, False, None, "", "'", ()),
        "nested": {"a": [{"b": ({"c": 1},)}], "keys": {"not a name": 1, "x": {"0": 2}}},
        "empty": {"list": [], "dict": {}},
    }
    for write in (config_text, by_mmengine):
        again = config_from_text(write(Config(values)), "config.py").to_dict()
        assert again == values
        assert [type(v) for v in again["others"]] == [type(v) for v in values["others"]]
    assert math.isnan(config_from_text("x = nan", "config.py").x)
    assert config_from_text("x = float('-inf')", "config.py").x == -math.inf


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "from os import system",
        "open('ran', 'w')",
        "x = open('ran', 'w')",
        "x = __import__('os').system('touch ran')",
        "x = [open('ran', 'w') for _ in range(1)]",
        "x = dict(a=[(1, {'b': open('ran', 'w')})])",
        "x = dict(open('ran', 'w'))",
        "x = dict({'a': 1}, b=2)",
        "x = dict(**{'a': 1})",
        "x = {**{'a': 1}}",
        "x = [*[1]]",
        "x = float('1.5')",
        "x = f'{1}'",
        "x = (y := 1)",
        "x = lambda: 1",
        "x = 1 + 1",
        "x = not True",
        "x = -True",
        "x = ~1",
        "x = y",
        "x = os.system",
        "x = b'bytes'",
        "x = 1j",
        "x = ...",
        "x = {1, 2}",
        "x = {[]: 1}",
        "x = 0x" + "f" * 20,
        "x: int = 1",
        "x = y = 1",
        "x, y = 1, 2",
        "x.y = 1",
        "x += 1",
        "del x",
        "def f(): pass",
        "class C: pass",
        "_base_ = ['other.py']",
        "__class__ = 1",
        "filename = 'x'",
        "ok = 2",
        "x = dict(a=1, a=2)",
        "if True: x = 1",
        "{{ fileBasename }}",
        "x = '{{$HOME:x}}' % 1",
    ],
)
def test_anything_but_plain_values_is_refused_with_its_line(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.py").write_text(f"ok = 1\n\n{line}\n")
    with pytest.raises(CheckpointError, match=r"config\.py:3: .* never run"):
        read_stored_config("config.py")
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "(" * 100_000,
        "a = " + "[" * 190 + "]" * 190,
        "a = " + "-" * 100_000 + "1",
        "a = " + "not " * 100_000 + "1",
        "a" + ".b" * 100_000,
        "a = " + "1+" * 100_000 + "1",
        "a = " + "dict(a=" * 10_000,
        "a = " + "9" * 5000,
        "a = '\ud800'",
        "a = 'x\0'",
        "a = '",
        "a\rimport os\r",
    ],
)
def test_what_the_parser_cannot_take_ends_in_a_sentence(text):
    with pytest.raises(CheckpointError, match=r"config\.py:\d+: "):
        config_from_text(text, "config.py")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_stored_config(tmp_path)
    file = tmp_path / "config.py"
    file.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(CheckpointError, match=r"config\.py:2: this is not UTF-8"):
        read_stored_config(file)
    file.write_bytes(b"#" * (CONFIG_BYTES_MAX + 1))
    with pytest.raises(CheckpointError, match="larger than 4 MiB"):
        read_stored_config(file)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("classes", "abc"),
        ("classes", []),
        ("classes", [1]),
        ("model", None),
        ("model.type", "ClipHead"),
        ("model.backbone", []),
        ("model.cls_head.type", "VideoSwin"),
        ("test_item_shape", (1, 2, 3)),
        ("test_item_shape", (1, 2, 3, 4, True)),
        ("test_pipeline", {}),
        ("test_pipeline", [{}]),
        ("test_pipeline.0.clip_len", "a"),
        ("test_pipeline.0.frame_interval_sec", 0.0),
        ("test_pipeline.0.frame_interval_sec", "0.1"),
        ("test_pipeline.0.short_side", None),
        ("test_pipeline.1.crop", "middle"),
    ],
)
def test_a_config_that_lacks_what_a_test_needs_is_named(place, value):
    config = build_config(PLANS["from scratch"], DATA, "/w")
    *above, last = place.split(".")
    inside = config
    for key in above:
        inside = inside[int(key) if key.isdigit() else key]
    inside[last] = value
    with pytest.raises(CheckpointError, match=f"config.py: `{place}"):
        refuse_incomplete(config, "config.py")
