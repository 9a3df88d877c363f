import pytest
import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor

from autox_video.data.loading.preprocess import ClipPreprocessor

COLOURS = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


def batch(clips, labels=None, views=1):
    pixels = torch.randint(0, 256, (clips, views, 4, 8, 8, 3), dtype=torch.uint8)
    labels = None if labels is None else torch.tensor(labels)
    return {"inputs": pixels, "labels": labels, "seeds": list(range(100, 100 + clips))}


def test_gives_what_mmaction2s_preprocessor_gives():
    given = batch(3, [4, 0, 2], views=2)
    before = given["inputs"].clone()
    ours = ClipPreprocessor(**COLOURS)(given)
    stock = ActionDataPreprocessor(**COLOURS, format_shape="NCTHW")
    clips = list(given["inputs"].permute(0, 1, 5, 2, 3, 4))
    expected = stock({"inputs": clips, "data_samples": None})
    assert torch.allclose(ours["inputs"], expected["inputs"], atol=1e-6)
    assert [sample.gt_label.tolist() for sample in ours["data_samples"]] == [[4], [0], [2]]
    assert torch.equal(given["inputs"], before)  # it is the loader's


def test_frames_can_keep_their_memory_layout():
    given = batch(3)
    preprocess = ClipPreprocessor(**COLOURS)
    expected = preprocess(given)["inputs"]
    preprocess.channels_last = True
    found = preprocess(given)["inputs"]
    assert torch.equal(found, expected)
    images = found[:, 0].transpose(1, 2).flatten(0, 1)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_without_labels():
    samples = ClipPreprocessor(**COLOURS)(batch(2))["data_samples"]
    assert len(samples) == 2 and not any("gt_label" in sample for sample in samples)


def test_training_without_augmentation_is_testing():
    given = batch(3, [0, 1, 2])
    preprocess = ClipPreprocessor(**COLOURS)
    trained, tested = (preprocess(given, training=t)["inputs"] for t in (True, False))
    assert torch.equal(trained, tested)


def test_training_clips_are_scaled_down_where_a_side_is_set():
    preprocess = ClipPreprocessor(**COLOURS)
    given = batch(2, [0, 1])
    given["inputs"] = given["inputs"] // 8 + 20 * torch.arange(8)[:, None, None].byte()
    whole = preprocess(given, training=True)["inputs"]
    preprocess.side = 4
    small = preprocess(given, training=True)["inputs"]
    assert small.shape == (2, 1, 3, 4, 4, 4)
    means = whole.unflatten(4, (4, 2)).unflatten(6, (4, 2)).mean((5, 7))
    assert (small - means).abs().mean() < 0.1 * whole.std()  # rows get brighter evenly
    assert preprocess(given)["inputs"].shape == whole.shape


def test_augmentation_is_for_training_alone():
    given = batch(4, [0, 1, 2, 0])
    preprocess = ClipPreprocessor(
        **COLOURS, augment={"flip": 1.0, "mixup": 0.8, "erasing": 1.0}, num_classes=3
    )
    plain = ClipPreprocessor(**COLOURS)(given)["inputs"]
    assert torch.equal(preprocess(given)["inputs"], plain)
    trained = preprocess(given, training=True)
    assert not torch.allclose(trained["inputs"], plain)
    assert not torch.allclose(trained["inputs"], plain.flip(-1))
    for sample in trained["data_samples"]:
        assert sample.gt_label.shape == (1, 3)
        assert float(sample.gt_label.sum()) == pytest.approx(1.0)


def test_several_classes_stay_as_they_are():
    given = batch(2)
    given["labels"] = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    samples = ClipPreprocessor(**COLOURS)(given, training=True)["data_samples"]
    assert [sample.gt_label.tolist() for sample in samples] == [[[1, 0, 1]], [[0, 0, 1]]]
