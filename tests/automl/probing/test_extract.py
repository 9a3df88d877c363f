"""Features of real clips from a real backbone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch.nn.functional import interpolate

import autox_video.backbones.descriptors.model  # noqa: F401 (registers it)
from autox_video.automl.probing import extract
from autox_video.automl.probing.extract import Extractor, Reading
from autox_video.automl.probing.feature_store import FeatureStore
from autox_video.core.errors import CheckpointError, ListingError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.tasks.classification.attentive_head import pooled_tokens
from tests.backbones.weights.weight_files import SMALL, WINDOW, save
from tests.datasets import colour_data

READING = Reading((1, 2, 2), True)
CONFIG = Config(
    {
        "device": "cpu",
        "classes": ["red", "green", "blue"],
        "randomness": {"seed": 0},
        "test_item_shape": (3, 2, 32, 32, 3),
        "test_pipeline": [
            {
                "type": "ReadClips",
                "clip_len": 2,
                "frame_interval_sec": 0.25,
                "num_clips": 1,
                "test_mode": True,
                "short_side": 32,
            },
            {"type": "CropClips", "side": 32, "crop": "three"},
        ],
        "model": {
            "type": "Recognizer3D",
            "backbone": {"type": "VideoSwin", "arch": SMALL, "window_size": WINDOW},
            "cls_head": {"type": "ClipHead", "in_channels": 24, "num_classes": 3},
            "data_preprocessor": {"type": "ClipPreprocessor", "mean": [0.0], "std": [255.0]},
        },
    }
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    keys = colour_data(tmp_path_factory.mktemp("clips"), train=4, val=1, test=1)
    lines = Path(keys["ann_file_train"]).read_text().splitlines()
    paths, labels = zip(*(line.rsplit(" ", 1) for line in lines), strict=True)
    return ClipTable(paths, tuple(map(int, labels))), keys["data_root"]


def run(folder, clips, reading=READING, *, weights=None, config=CONFIG, **options):
    extractor = Extractor(config, weights, FeatureStore(folder))
    return extractor, extractor.extract(*clips, reading, **options)


def test_features_are_those_of_the_model(tmp_path, clips):
    extractor, found = run(tmp_path, clips)
    assert (found.positions, found.complete, found.computed) == (list(range(12)), True, 12)
    assert found.tokens.shape == (12, 2, 1 + 4, 24) and found.tokens.dtype == np.float16
    dataset = extractor._batches(clips[0], clips[1], 0).dataset
    clip = np.empty(dataset.item_shape, np.uint8)
    dataset.read(7, clip)
    with torch.inference_mode():
        for view, picture in enumerate((clip, clip[:, :, :, ::-1])):
            pixels = torch.from_numpy(picture.copy()).permute(0, 4, 1, 2, 3).float() / 255
            expected = pooled_tokens(extractor.model.backbone(pixels), (1, 2, 2))[0]
            np.testing.assert_allclose(found.tokens[7, view], expected, atol=2e-3)


def test_enlarged_views_show_the_centre(tmp_path, clips):
    reading = replace(READING, zoomed=True)
    assert reading.views == 4
    extractor, found = run(tmp_path, clips, reading)
    plain = run(tmp_path, clips)[1]
    np.testing.assert_array_equal(found.tokens[:, [0, 2]], plain.tokens)
    dataset = extractor._batches(clips[0], clips[1], 0).dataset
    clip = np.empty(dataset.item_shape, np.uint8)
    dataset.read(7, clip)
    part = torch.from_numpy(clip[0, :, 3:29, 3:29]).permute(0, 3, 1, 2)  # 26 = 32 / 1.25
    large = interpolate(part.float(), (32, 32), mode="bilinear", antialias=True).round() / 255
    with torch.inference_mode():
        for view, pixels in ((1, large), (3, large.flip(3))):
            maps = extractor.model.backbone(pixels.transpose(0, 1)[None])
            np.testing.assert_allclose(
                found.tokens[7, view], pooled_tokens(maps, (1, 2, 2))[0], atol=1e-2
            )


def test_what_was_done_before_a_stop_is_not_done_again(tmp_path, clips, monkeypatch):
    monkeypatch.setitem(extract.CLIPS_AT_A_TIME, "cpu", 5)
    _, whole = run(tmp_path / "whole", clips)

    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", clips, on_done=stop)
    _, rest = run(tmp_path / "stopped", clips)
    assert rest.computed == 12 - 5
    np.testing.assert_array_equal(rest.tokens, whole.tokens)
    assert run(tmp_path / "stopped", clips)[1].computed == 0


def test_there_is_a_deadline(tmp_path, clips, monkeypatch):
    monkeypatch.setitem(extract.CLIPS_AT_A_TIME, "cpu", 5)
    _, part = run(tmp_path, clips, seconds=0.0)
    assert not part.complete and len(part.positions) == part.computed == 5
    assert len(set(np.array(clips[0].labels)[part.positions])) > 1  # of several classes
    _, whole = run(tmp_path, clips)
    assert whole.complete and whole.computed == 7
    np.testing.assert_array_equal(whole.tokens[part.positions], part.tokens)


def test_a_damaged_file_is_made_anew(tmp_path, clips):
    _, before = run(tmp_path, clips)
    path = next(tmp_path.rglob("*.features"))
    path.write_bytes(path.read_bytes()[:-1])
    _, after = run(tmp_path, clips)
    assert after.computed == 1
    np.testing.assert_array_equal(after.tokens, before.tokens)


@pytest.mark.slow
def test_other_weights_and_readings_have_features_of_their_own(tmp_path, clips):
    run(tmp_path, clips)
    assert run(tmp_path, clips, Reading((1, 1, 1), True))[1].computed == 12
    other = CONFIG.copy()
    other.randomness = {"seed": 1}
    assert run(tmp_path, clips, config=other)[1].computed == 12
    wider = CONFIG.copy()
    wider.test_item_shape = (3, 2, 64, 64, 3)
    wider.test_pipeline[1].side = 64
    assert run(tmp_path, clips, config=wider)[1].computed == 12
    assert run(tmp_path, clips)[1].computed == 0


@pytest.mark.slow
def test_weights_of_a_file_are_used_and_refused(tmp_path, clips):
    model = Extractor(CONFIG, None, FeatureStore(tmp_path)).model
    state = {n: t + 0.1 if "norm" in n else t for n, t in model.state_dict().items()}
    path = save(tmp_path, {"state_dict": state})
    found = run(tmp_path / "with", clips, weights=str(path))[1].tokens
    assert np.abs(found - run(tmp_path / "without", clips)[1].tokens).max() > 0.01
    del state["backbone.patch_embed.proj.bias"]
    path = save(tmp_path, {"state_dict": state})
    with pytest.raises(CheckpointError, match=r"patch_embed\.proj\.bias"):
        run(tmp_path, clips, weights=str(path))


def test_a_clip_that_cannot_be_read_is_missing(tmp_path, clips):
    listed, root = clips
    some = ClipTable((listed.paths[0], "gone.mp4", listed.paths[1]), (0, 1, 0))
    _, found = run(tmp_path, (some, root))
    assert found.positions == [0, 2] and found.complete


@pytest.mark.parametrize("backbone", ["VideoSwin", "ClipDescriptors"])
def test_a_batch_of_clips_that_cannot_be_read_is_missing(tmp_path, clips, monkeypatch, backbone):
    monkeypatch.setitem(extract.CLIPS_AT_A_TIME, "cpu", 1)
    config = CONFIG.copy()
    if backbone != "VideoSwin":
        config.model = {**config.model, "backbone": {"type": backbone}}
        config.model.cls_head.in_channels = 2980
    listed, root = clips
    some = ClipTable((listed.paths[0], "gone.mp4", listed.paths[1]), (0, 1, 0))
    done = []
    _, found = run(
        tmp_path, (some, root), Reading((1, 1, 1), False), config=config, on_done=done.append
    )
    assert found.positions == [0, 2] and found.complete and len(found.tokens) == 2
    assert done == [1, 2, 3]
    none = ClipTable(("gone.mp4",), (0,))
    with pytest.raises(ListingError, match=r"None of the 1 clips can be read.*gone\.mp4"):
        run(tmp_path, (none, root), Reading((1, 1, 1), False), config=config)


def test_little_memory_means_fewer_clips_at_a_time(tmp_path, clips, monkeypatch):
    _, whole = run(tmp_path / "whole", clips)
    plain = Extractor._map

    def few(self, inputs):
        if len(inputs) > 3:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return plain(self, inputs)

    monkeypatch.setattr(Extractor, "_map", few)
    _, parts = run(tmp_path / "parts", clips)
    np.testing.assert_allclose(parts.tokens, whole.tokens, atol=2e-3)
    with pytest.raises(ResourceError, match="not enough memory"):
        monkeypatch.setattr(Extractor, "_map", nothing_fits)
        run(tmp_path / "none", clips)


def nothing_fits(self, inputs):
    raise MemoryError


def test_the_grid_gets_coarser_where_clips_are_many(tmp_path):
    one = Extractor(CONFIG, None, FeatureStore(tmp_path))
    assert one.map_size() == (24, 1, 4, 4)
    assert one.grid(100, 2) == (1, 2, 2)
    assert one.grid(30_000_000, 2) == (1, 1, 1)
