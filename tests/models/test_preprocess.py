import autox_video.mm_compat  # noqa: F401

import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor

from autox_video.models.preprocess import ClipPreprocessor

COLOURS = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


def test_gives_what_mmaction2s_preprocessor_gives():
    clips = torch.randint(0, 256, (3, 2, 3, 4, 8, 8), dtype=torch.uint8)
    ours = ClipPreprocessor(**COLOURS)({"inputs": clips, "labels": torch.tensor([4, 0, 2])})
    stock = ActionDataPreprocessor(**COLOURS, format_shape="NCTHW")
    expected = stock({"inputs": list(clips), "data_samples": None})
    assert torch.allclose(ours["inputs"], expected["inputs"], atol=1e-6)
    assert [sample.gt_label.tolist() for sample in ours["data_samples"]] == [[4], [0], [2]]


def test_without_labels():
    clips = torch.zeros(2, 1, 3, 2, 4, 4, dtype=torch.uint8)
    given = {"inputs": clips, "labels": None}
    samples = ClipPreprocessor(**COLOURS)(given)["data_samples"]
    assert len(samples) == 2 and not any("gt_label" in sample for sample in samples)
    assert (clips == 0).all()
