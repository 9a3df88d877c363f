import pprint
from functools import cache

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import DefaultScope

from autox_video.backbones.libraries.mmaction2_configs import read_config, zoo_models
from autox_video.backbones.libraries.mmaction2_model import Mmaction2Model
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import ConfigError
from tests.backbones.libraries.tiny_recognisers import model_entry

SHAPES = {
    # name: (channels, side, frames, frames per second, seconds of a clip)
    "x3d_m": (432, 224, None, 6, 16 / 6),
    "x3d_s": (432, 160, None, 5, 13 / 5),
    "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb": (2304, 224, 32, 15, 32 / 15),
    "slowonly_imagenet-pretrained-r50_32xb8-8x8x1": (2048, 224, None, 3.75, 32 / 15),
    "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb": (2048, 224, 8, 4, None),
    "tanet_imagenet-pretrained-r50_8xb8-dense-1x1x8": (2048, 224, 8, 3.75, 32 / 15),
    "tpn-slowonly_r50": (2048, 224, None, 3.75, 32 / 15),
    "i3d_imagenet-pretrained-r50-heavy": (2048, 224, None, 15, 32 / 15),
    "r2plus1d_r34_8xb8-32x2x1": (512, 224, None, 15, 32 / 15),
    "ircsn_ig65m-pretrained-r50-bnfrozen": (2048, 224, None, 15, 32 / 15),
    "timesformer_divST": (1536, 224, 8, 0.9375, 128 / 15),
    "mvit-base-p244_32x3x1": (1536, 224, 32, 10, 3.2),
    "uniformer-small": (512, 224, None, 7.5, 32 / 15),
    "uniformerv2-base-p16-res224_clip-pre_u8": (1536, 224, 8, 4, None),
    "vit-base-p16_videomae-k400-pre": (768, 224, 16, 7.5, 32 / 15),
    "vit-small-p16_videomaev2-vit-g-dist-k710-pre": (384, 224, 16, 7.5, 32 / 15),
}
NOT_BUILT = {
    "ResNetTIN": "tin_shift",
    "MobileOneTSM": "mmpretrain",
    "mmpretrain.MobileOne": "mmpretrain",
    "mmcls.ResNeXt": "mmpretrain",
    "timm.swin_base_patch4_window7_224": "timm:NAME",
    "torchvision.densenet161": "timm:NAME",
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_clip_is_that_of_the_config(name):
    channels, side, frames, rate, span_sec = SHAPES[name]
    spec = BACKBONES[f"mmaction2:{name}"]
    assert (spec.channels, spec.resolution, spec.frames) == (channels, side, frames)
    assert spec.frames_per_sec == rate and spec.is_library and spec.stages > 1
    assert spec.span_sec == (None if span_sec is None else pytest.approx(span_sec))


@pytest.mark.parametrize("name", ["x3d_m", "timesformer_divST", "tsm_imagenet-pretrained-r101"])
def test_normalisation_is_that_of_the_data_preprocessor(name):
    spec = BACKBONES[f"mmaction2:{name}"]
    entry = read_config(_config(name))["model"]["data_preprocessor"]
    with DefaultScope.overwrite_default_scope("mmaction"):
        preprocess = MODELS.build(entry)
    frames = torch.randint(0, 256, (1, 4, 3, 16, 16), dtype=torch.uint8)
    if entry.get("format_shape", "NCHW") == "NCTHW":
        frames = frames.transpose(1, 2)
    theirs = preprocess({"inputs": [frames[0]], "data_samples": None})["inputs"]
    channel = frames.shape.index(3)
    shape = [1] * 5
    shape[channel] = 3
    mean, std = (torch.tensor(values).view(shape) for values in (spec.mean, spec.std))
    torch.testing.assert_close(theirs, (frames - mean) / std, rtol=1e-5, atol=1e-5)


def _config(name):
    return next(m.config for n, m in zoo_models().items() if n.startswith(name))


def test_numbers_of_parameters_are_as_published():
    # Published with the head: X3D-M 3.794322 M, of which 432 x 2048 and 2048 x 400 + 400.
    head = (432 * 2048 + 2048 * 400 + 400) / 1e6
    assert BACKBONES["mmaction2:x3d_m"].parameters_millions + head == pytest.approx(3.794322)
    videomae = BACKBONES["mmaction2:vit-base-p16_videomae-k400-pre"]
    assert videomae.parameters_millions == pytest.approx(86.2, abs=0.05)
    assert videomae.gmacs_per_clip * 2 == pytest.approx(180, rel=0.01)


@cache
def zoo():
    """The value `model` of each config in the zoo, by name."""
    return {name: read_config(found.config)["model"] for name, found in zoo_models().items()}


@pytest.mark.slow
def test_every_kind_of_model_in_the_zoo_is_built():
    kinds = {}
    for full_name, model in zoo().items():
        name = next((name for name in SHAPES if full_name.startswith(name)), None)
        kind = (model["type"], model["backbone"]["type"])
        if name or kind not in kinds:  # one that another test has built, if there is one
            kinds[kind] = (name or full_name, model)
    for name, model in kinds.values():
        if model["backbone"]["type"] not in NOT_BUILT:
            assert BACKBONES[f"mmaction2:{name}"].parameters_millions > 1


@pytest.mark.parametrize("kind", NOT_BUILT)
def test_a_model_that_needs_another_package_says_so(kind):
    name = next(name for name, model in zoo().items() if model["backbone"]["type"] == kind)
    with pytest.raises(ConfigError, match=NOT_BUILT[kind]):
        BACKBONES[f"mmaction2:{name}"]


def config_file(folder, model, name="mine.py"):
    sample = [{"type": "SampleFrames", "clip_len": 8, "frame_interval": 3}]
    text = f"model = {pprint.pformat(model)}\ntrain_pipeline = {sample}\n"
    (folder / name).write_text(text, encoding="utf-8")
    return f"mmaction2:{folder / name}"


def test_a_config_of_ones_own(tmp_path):
    name = config_file(tmp_path, model_entry("slowonly"))
    spec = BACKBONES[name]
    assert (spec.channels, spec.frames_per_sec, spec.resolution) == (256, 10, 224)
    assert spec.span_sec == pytest.approx(0.8)
    assert spec.mean == (114.75, 116, 118) and spec.std == (57, 58.4, 60)
    built = MODELS.build({**spec.config, "frames": 8, "side": 32, "drop_path_rate": 0.0})
    assert isinstance(built, Mmaction2Model)
    assert built(torch.zeros(1, 3, 8, 32, 32)).shape[1] == 256


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"type": "BMN"}, "is BMN; it must be one of Recognizer2D"),
        ({"type": "Recognizer3D"}, "have a backbone"),
        ({**model_entry("x3d"), "data_preprocessor": {"mean": [1, 2]}}, "data_preprocessor"),
        ({**model_entry("x3d"), "backbone": {"type": "X3D", "se_style": "x"}}, "cannot build"),
        ({**model_entry("x3d"), "backbone": {"type": "Nothing"}}, "needs Nothing"),
    ],
)
def test_a_config_of_another_kind_is_an_error(tmp_path, model, words):
    with pytest.raises(ConfigError, match=words):
        BACKBONES[config_file(tmp_path, model)]
