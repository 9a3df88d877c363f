from pathlib import Path

import pytest
from mmengine import Config

from autox_video.backbones.libraries.mmaction2_configs import (
    Sampling,
    crop_of,
    find_model,
    read_config,
    sampling_of,
    test_crop_of,
    zoo_models,
)
from autox_video.core.errors import ConfigError

PARTS = ("model", "train_pipeline", "val_pipeline", "test_pipeline")
SOME = [
    "x3d_m_16x5x1_facebook-kinetics400-rgb",
    "timesformer_divST_8xb8-8x32x1-15e_kinetics400-rgb",
    "ircsn_sports1m-pretrained-r152-bnfrozen_32x2x1-58e_kinetics400-rgb",
    "tsn_imagenet-pretrained-swin-transformer_32xb8-1x1x8-50e_kinetics400-rgb",
    "uniformerv2-large-p14-res336_clip-kinetics710-pre_u32_kinetics400-rgb",
]


def same_as_mmengine(name):
    path = zoo_models()[name].config
    ours, theirs = read_config(path), Config.fromfile(str(path)).to_dict()
    for part in PARTS:
        assert ours.get(part) == theirs.get(part), (name, part)


@pytest.mark.parametrize("name", SOME)
def test_configs_are_read_as_mmengine_reads_them(name):
    same_as_mmengine(name)


@pytest.mark.slow
def test_every_config_of_the_zoo_is_read_as_mmengine_reads_it():
    for name in zoo_models():
        same_as_mmengine(name)


def test_the_zoo_has_all_models_of_the_package():
    assert len(zoo_models()) == 121


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("x3d_m", "x3d_m_16x5x1_facebook-kinetics400-rgb"),
        ("uniformer-small", "uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb"),
        ("timesformer_divST", "timesformer_divST_8xb8-8x32x1-15e_kinetics400-rgb"),
        # It is also the beginning of another name.
        *[(n, n) for n in ("mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb",)],
    ],
)
def test_the_beginning_of_one_name_is_enough(name, full):
    assert find_model(name).name == full


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("slowfast_r50", "several.*slowfast_r50_8xb8-4x16x1.*slowfast_r50_8xb8-8x8x1"),
        ("x3d_l", "no model x3d_l; similar names: .*x3d_m_16x5x1"),
        ("x3", "no model x3; similar names"),
        ("csn", "similar names: ircsn_ig65m"),
    ],
)
def test_an_unknown_name_is_an_error_with_similar_names(name, words):
    with pytest.raises(ConfigError, match=words):
        find_model(name)


def write(folder, text, name="c.py"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_bases_are_merged_and_names_and_sums_are_understood(tmp_path):
    write(tmp_path, "model = dict(type='A', head=dict(a=1, b=2), neck=dict(c=3))\nn = 5", "base.py")
    path = write(
        tmp_path,
        """
import os
_base_ = ['./base.py']
n = 4
size = [n * 2, -n, 7 // 2, 1 / 4, (n, 'x'), None]
model = dict(head=dict(b=size), neck=dict(_delete_=True, **dict(d={'e': n + 1})))
unread = os.path.join('a', 'b')
""",
    )
    config = read_config(path)
    assert config["model"] == {
        "type": "A",
        "head": {"a": 1, "b": [8, -4, 3, 0.25, (4, "x"), None]},
        "neck": {"d": {"e": 5}},
    }
    assert config["n"] == 4 and "unread" not in config


def test_nothing_in_a_config_is_run(tmp_path):
    marker = tmp_path / "marker"
    path = write(
        tmp_path,
        f"open({str(marker)!r}, 'w')\nx = open({str(marker)!r}, 'w')\nmodel = dict(a=1)",
    )
    assert read_config(path)["model"] == {"a": 1}
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model = dict(", "cannot be read"),
        ("\nmodel = dict(type=str(1))", "line 2 of .*c.py contains code"),
        ("model = dict(type=unknown)", "line 1 of .*contains code"),
        ("_base_ = ['nowhere.py']", "nowhere.py cannot be read"),
    ],
)
def test_a_config_that_cannot_be_read_is_an_error(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        read_config(write(tmp_path, text))


def test_a_missing_config_is_an_error():
    with pytest.raises(ConfigError, match=r"nowhere.py cannot be read"):
        read_config(Path("nowhere.py"))


def step(kind, **keys):
    return {"val_pipeline": [{"type": "DecordInit"}, {"type": kind, **keys}]}


@pytest.mark.parametrize(
    ("config", "images", "expected"),
    [
        (step("SampleFrames", clip_len=16, frame_interval=5, num_clips=10), False, (16, 5)),
        (step("SampleFrames", clip_len=1, frame_interval=1, num_clips=8), True, (8, None)),
        (step("DenseSampleFrames", clip_len=1, num_clips=8), True, (8, 8.0)),
        (step("DenseSampleFrames", clip_len=1, num_clips=8, sample_range=32), True, (8, 4.0)),
        (step("DenseSampleFrames", clip_len=32, frame_interval=2), False, (32, 2)),
        (step("UniformSample", clip_len=8, num_clips=4), False, (8, None)),
        ({}, False, (None, None)),
    ],
)
def test_sampling(config, images, expected):
    assert sampling_of(config, sees_images=images) == Sampling(*expected)


def test_crops():
    centre, ten = {"type": "CenterCrop", "crop_size": (112, 112)}, {"crop_size": 256}
    scaled = {"type": "Resize", "scale": (224, 224), "keep_ratio": False}
    longer = {"type": "Resize", "scale": (-1, 256)}
    assert crop_of({"val_pipeline": [longer, centre]}) == 112
    assert crop_of({"train_dataloader": {"dataset": {"pipeline": [longer, scaled]}}}) == 224
    tested = {"test_pipeline": [longer, {"type": "ThreeCrop", **ten}]}
    assert crop_of(tested) is None and test_crop_of(tested) == 256
