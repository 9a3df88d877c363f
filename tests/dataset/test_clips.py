"""Clips as a data set, and the order in which they come."""

import numpy as np
import pytest
from torch.utils.data import DataLoader

from autox_video.dataset.clips import ClipDataset, EpochSampler, Unreadable, collate_clips
from autox_video.dataset.listing import ClipList
from tests.datasets import colour_clip
from tests.videos import write_text_video

PIPELINE = [
    {"type": "mmaction.DecodeClips", "clip_len": 4, "frame_interval_sec": 0.05},
    {"type": "mmaction.RandomResizedCrop", "area_range": (0.3, 1.0)},
    {"type": "mmaction.Resize", "scale": (16, 16), "keep_ratio": False},
    {"type": "mmaction.FormatShape", "input_format": "NCTHW"},
    {"type": "mmaction.PackActionInputs"},
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    import autox_video.dataset.transforms  # noqa: F401 (registers DecodeClips)

    root = tmp_path_factory.mktemp("clips")
    names = [f"clip {i}.mp4" for i in range(3)]
    for i, name in enumerate(names):
        colour_clip(root / name, "green", seed=i)
    write_text_video(root / "bad.mp4")
    clips = ClipList((*names, "bad.mp4"), (0, 1, 0, 1))
    return ClipDataset(clips, str(root), pipeline=PIPELINE, classes=("a", "b"), seed=5)


def pixels(item):
    return item["inputs"].numpy()


def test_an_item_is_a_packed_clip(dataset):
    item = dataset[1]
    assert item["inputs"].shape == (1, 3, 4, 16, 16)
    assert item["inputs"].numpy().dtype == np.uint8
    assert item["data_samples"].gt_label.tolist() == [1]
    assert dataset.metainfo["classes"] == ("a", "b")


def test_augmentation_depends_on_seed_epoch_and_position_alone(dataset):
    again = ClipDataset(
        dataset.clips, str(dataset.data_root), pipeline=PIPELINE, classes=("a", "b"), seed=5
    )
    np.random.random(7)  # the state of the global stream must not matter
    assert np.array_equal(pixels(dataset[0]), pixels(again[0]))
    next_epoch = len(dataset)
    assert not np.array_equal(pixels(dataset[0]), pixels(dataset[next_epoch]))
    again.seed = 6
    assert not np.array_equal(pixels(dataset[0]), pixels(again[0]))


def test_workers_give_what_one_process_gives(dataset):
    sampler = EpochSampler(dataset, 3, shuffle=True)
    plain, workers = (
        list(DataLoader(dataset, 2, sampler=sampler, num_workers=n, collate_fn=collate_clips))
        for n in (0, 2)
    )
    for one, other in zip(plain, workers, strict=True):
        assert all(
            np.array_equal(a.numpy(), b.numpy())
            for a, b in zip(one["inputs"], other["inputs"], strict=True)
        )


def test_an_unreadable_clip_is_set_apart_and_named(dataset):
    item = dataset[3]
    assert isinstance(item, Unreadable)
    assert (item.position, item.video) == (3, "bad.mp4")
    assert "bad.mp4" in item.error
    batch = collate_clips([dataset[0], item])
    assert batch["inputs"].shape == (1, 1, 3, 4, 16, 16)
    assert batch["labels"].tolist() == [0]
    assert batch["unreadable"] == [item]


def test_every_epoch_has_every_clip_once_in_its_own_order():
    sampler = EpochSampler(range(50), 1, shuffle=True)
    orders = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        indices = list(sampler)
        assert {i // 50 for i in indices} == {epoch}
        orders.append([i % 50 for i in indices])
        assert sorted(orders[-1]) == list(range(50))
    assert orders[0] != orders[1]
    assert list(EpochSampler(range(4), shuffle=False)) == [0, 1, 2, 3]


def test_what_was_used_before_a_stop_is_left_out():
    sampler = EpochSampler(range(10), 1, shuffle=True)
    sampler.set_epoch(2)
    whole = list(sampler)
    sampler.skip_first(4)
    assert list(sampler) == whole[4:]
    assert len(sampler) == 10
