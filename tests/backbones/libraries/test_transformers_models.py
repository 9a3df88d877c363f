"""Names with `hf:`, the normalisation of the models, and the content of run records."""

import json

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from PIL import Image
from transformers.video_processing_utils import BaseVideoProcessor

from autox_video.backbones.libraries.transformers_models import spec
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import ConfigError
from autox_video.data.loading.preprocess import ClipPreprocessor
from tests.backbones.libraries.tiny_transformers import (
    CONFIGS,
    FRAMES,
    PX,
    VIDEOS,
    processor_of,
    saved,
)
from tests.servers import serve_weights, use_as_hub

COMMIT = "c" * 40
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
OLD = {
    "videomae": {"feature_extractor_type": "VideoMAEFeatureExtractor", "size": PX, **IMAGENET},
    "vivit": {
        **{"image_processor_type": "VivitImageProcessor", "offset": True, "do_normalize": True},
        **{"rescale_factor": 1 / 127.5, "size": {"shortest_edge": 40}},
        **{"image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        "crop_size": {"height": PX, "width": PX},
    },
    "timesformer": {
        **{"image_processor_type": "VideoMAEImageProcessor", "size": {"shortest_edge": PX}},
        **{"crop_size": {"height": PX, "width": PX}, **IMAGENET},
    },
    "convnext": {"feature_extractor_type": "ConvNextFeatureExtractor", "size": PX, **IMAGENET},
    "vit": {"size": PX, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
}
"""Files as they were written by earlier versions, or are on the hub today."""
OLD_NORMS = {
    "videomae": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "vivit": ((191.25,) * 3, (63.75,) * 3),
    "timesformer": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "convnext": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "vit": ((127.5,) * 3, (127.5,) * 3),
}


def edited(folder, name="config.json", **values):
    path = folder / name
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **values}))


@pytest.mark.parametrize("kind", CONFIGS)
def test_frames_are_normalised_as_by_the_models_own_processor(tmp_path, kind):
    saved(tmp_path, kind, has_head=False)
    found = BACKBONES[f"hf:{tmp_path}"]
    side = found.resolution
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, side, side, 3), dtype=np.uint8)
    processor = processor_of(kind)
    if isinstance(processor, BaseVideoProcessor):
        processor.do_resize = False
        clip = torch.from_numpy(frames).permute(0, 3, 1, 2)
        made = processor([clip], return_tensors="pt", do_sample_frames=False)
        wanted = next(iter(made.values()))[0]
    else:
        processor.do_resize = False
        made = processor([Image.fromarray(frame) for frame in frames], return_tensors="pt")
        wanted = made["pixel_values"].reshape(FRAMES, 3, side, side)
    normalise = ClipPreprocessor(mean=list(found.mean), std=list(found.std), num_classes=2)
    batch = {"inputs": torch.from_numpy(frames)[None, None], "labels": torch.tensor([0])}
    got = normalise(batch, training=False)["inputs"].reshape(3, FRAMES, side, side)
    torch.testing.assert_close(got.transpose(0, 1), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", OLD)
def test_preprocessor_files_of_earlier_versions_are_read(tmp_path, kind):
    saved(tmp_path, kind)
    for path in tmp_path.glob("*preprocessor_config.json"):
        path.unlink()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(OLD[kind]))
    found, (mean, std) = spec(str(tmp_path)), OLD_NORMS[kind]
    assert found.mean == pytest.approx(mean, abs=1e-3)
    assert found.std == pytest.approx(std, abs=1e-3)
    assert found.resolution == PX


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_spec_says_what_the_backbone_is(tmp_path, kind):
    found = BACKBONES[f"hf:{saved(tmp_path, kind)}"]
    assert found.is_library
    assert found.frames == (FRAMES if kind in VIDEOS else None)
    assert found.one_size == (kind in VIDEOS)
    backbone = MODELS.build(dict(found.config))
    clip = torch.zeros(1, 3, FRAMES, PX, PX)
    assert backbone(clip).shape[1] == found.channels
    millions = sum(p.numel() for p in backbone.parameters()) / 1e6
    assert found.parameters_millions == pytest.approx(millions)
    assert found.gib_per_clip > 0 < found.gmacs_per_clip


def test_v_jepa_without_a_head_is_given_16_frames(tmp_path):
    saved(tmp_path / "a", "vjepa2", has_head=False)
    saved(tmp_path / "b", "vjepa2", has_head=True)
    for name in ("a", "b"):
        edited(tmp_path / name, frames_per_clip=64)
    assert spec(str(tmp_path / "a")).frames == 16
    assert spec(str(tmp_path / "b")).frames == 64


def test_a_model_is_built_again_from_what_a_record_keeps(tmp_path):
    folder = saved(tmp_path / "model", "dinov2")
    name = f"hf:{folder}"
    found = BACKBONES[name]
    kept = json.loads(json.dumps(found.published))
    del BACKBONES._items[name]
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        BACKBONES[name]
    BACKBONES.restore(name, kept)
    assert BACKBONES[name] == found
    with pytest.raises(ValueError, match="cannot be restored"):
        BACKBONES.restore("timm:resnet18", kept)
    for damage in ({"hidden_size": "wide"}, {"model_type": "none"}):
        with pytest.raises((ValueError, KeyError)):
            BACKBONES.restore(name, {**kept, "config": {**kept["config"], **damage}})


def test_a_model_of_the_hub_has_the_revision_in_its_record(monkeypatch, tmp_path):
    files = saved(tmp_path / "model", "vit").iterdir()
    with serve_weights() as server:
        server.files |= {f"someone/tiny/{path.name}": path.read_bytes() for path in files}
        use_as_hub(server, monkeypatch, tmp_path / "cache")
        found = spec("someone/tiny")
    assert found.published["revision"] == COMMIT
    assert found == spec(f"someone/tiny@{COMMIT}")


def test_class_names_are_not_kept(tmp_path):
    saved(tmp_path, "vit")
    edited(tmp_path, id2label={str(n): f"class {n}" for n in range(1000)})
    assert len(json.dumps(spec(str(tmp_path)).published)) < 1500


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "timm_wrapper"}, "write timm:net"),
        ({"model_type": None, "architecture": "resnet18"}, "write timm:net"),
        ({"model_type": "new_net"}, "new_net, which transformers does not have"),
        ({"model_type": "bert"}, "type bert, which is not supported.*vjepa2.*dinov2"),
        ({"model_type": "vit_mae"}, "vit_mae, which is not supported"),
        ({"hidden_size": "wide"}, "invalid config.json.*hidden_size"),
    ],
)
def test_models_that_cannot_be_used_are_refused(tmp_path, values, message):
    folder = saved(tmp_path / "net", "vit")
    edited(folder, **values)
    with pytest.raises(ConfigError, match=message):
        spec(str(folder))


def test_a_model_that_does_not_say_its_normalisation_is_refused(tmp_path):
    saved(tmp_path, "vit")
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match=r"does not say how its frames are normalised"):
        spec(str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"cannot use its processor"):
        spec(str(tmp_path))


def test_a_processor_that_mixes_colours_is_refused(tmp_path):
    saved(tmp_path, "vit")
    values = {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="does more than scale"):
        spec(str(tmp_path))


def test_code_from_the_hub_is_never_run(tmp_path):
    saved(tmp_path, "vit")
    sign = tmp_path / "was_run"
    (tmp_path / "evil.py").write_text(f"open({str(sign)!r}, 'w')\nclass Evil: pass\n")
    remote = {"auto_map": {"AutoModel": "evil.Evil", "AutoImageProcessor": "evil.Evil"}}
    edited(tmp_path, **remote)
    edited(tmp_path, "preprocessor_config.json", **remote)
    assert MODELS.build(dict(spec(str(tmp_path)).config))
    edited(tmp_path, "preprocessor_config.json", image_processor_type="Evil")
    with pytest.raises(ConfigError, match="cannot use its processor"):
        spec(str(tmp_path))
    assert not sign.exists()
