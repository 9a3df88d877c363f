"""Clips as a data set, and its batches."""

import numpy as np
import pytest

from autox_video.core.errors import VideoError
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.written_list import write_list
from autox_video.data.loading.clip_dataset import ClipBatches, ClipDataset, build_batches
from autox_video.distributed.processes import Processes
from tests.datasets import colour_clip
from tests.videos import write_text_video

PIPELINE = [
    {"type": "mmaction.ReadClips", "clip_len": 4, "frame_interval_sec": 0.05},
    {"type": "mmaction.CropClips", "side": 16, "crop": "random", "area_range": (0.3, 1.0)},
]
SHAPE = (1, 4, 16, 16, 3)


def make(clips, root, *, pipeline=PIPELINE, shape=SHAPE, **options):
    options = {"classes": ("a", "b"), "seed": 5, **options}
    return ClipDataset(clips, str(root), pipeline=pipeline, item_shape=shape, **options)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    import autox_video.data.loading.transforms  # noqa: F401 (registers the steps)

    root = tmp_path_factory.mktemp("clips")
    names = [f"clip {i}.mp4" for i in range(3)]
    for i, name in enumerate(names):
        colour_clip(root / name, "green", seed=i)
    write_text_video(root / "bad.mp4")
    return make(ClipTable((*names, "bad.mp4"), (0, 1, 0, 1)), root)


def item(dataset, index):
    out = np.zeros(dataset.item_shape, np.uint8)
    dataset.read(index, out)
    return out


def test_an_item_is_written_into_what_is_given(dataset):
    pixels = item(dataset, 1)
    assert pixels[..., 1].mean() > pixels[..., 0].mean() + 100  # green
    assert dataset.metainfo["classes"] == ("a", "b")
    assert dataset.name(6) == "clip 2.mp4"
    with pytest.raises(VideoError, match="bad.mp4"):
        item(dataset, 3)


def test_mmaction2s_own_transforms_may_come_between(dataset):
    flip = {"type": "mmaction.Flip", "flip_ratio": 1.0, "direction": "horizontal"}
    centre = {"type": "mmaction.CropClips", "side": 16, "crop": "centre"}
    plain, flipped = (
        item(make(dataset.clips, dataset.data_root, pipeline=[PIPELINE[0], *steps]), 0)
        for steps in ([centre], [flip, centre])
    )
    assert np.array_equal(plain, flipped[:, :, :, ::-1])


def test_augmentation_depends_on_seed_epoch_and_position_alone(dataset):
    again = make(dataset.clips, dataset.data_root)
    np.random.random(7)  # the state of the global stream must not matter
    assert np.array_equal(item(dataset, 0), item(again, 0))
    next_epoch = len(dataset)
    assert not np.array_equal(item(dataset, 0), item(dataset, next_epoch))
    again.seed = 6
    assert not np.array_equal(item(dataset, 0), item(again, 0))


def batches(dataset, epoch=0, *, workers=0, skip=0, **options):
    made = ClipBatches(dataset, **{"batch_size": 2, "workers": workers, **options})
    try:
        found = [{**b, "inputs": b["inputs"].numpy().copy()} for b in made.epoch(epoch, skip=skip)]
    finally:
        made.close()
    return found


def positions(found):
    return [batch["positions"] for batch in found]


def test_workers_give_what_one_process_gives(dataset):
    plain, workers = (batches(dataset, 3, workers=n, shuffle=True) for n in (0, 2))
    assert positions(plain) == positions(workers)
    for one, other in zip(plain, workers, strict=True):
        assert np.array_equal(one["inputs"], other["inputs"])
        assert one["seeds"] == other["seeds"]


def test_in_order_each_readable_clip_comes_once_with_its_label(dataset):
    found = batches(dataset)
    assert positions(found) == [[0, 1], [2]]
    assert [batch["labels"].tolist() for batch in found] == [[0, 1], [0]]
    assert [batch["taken"] for batch in found] == [2, 4]
    (bad,) = found[1]["unreadable"]
    assert (bad.position, bad.video) == (3, "bad.mp4") and "bad.mp4" in bad.error
    assert found[0]["inputs"].shape == (2, *SHAPE)


def test_in_training_the_next_clip_stands_in_for_a_bad_one(dataset):
    for epoch in range(4):
        found = batches(dataset, epoch, shuffle=True)
        assert [len(p) for p in positions(found)] == [2, 2]
        assert {0, 1, 2} == {i for p in positions(found) for i in p}


def test_every_epoch_has_its_own_order_and_seeds(tmp_path):
    clips = ClipTable(tuple(f"{i}.mp4" for i in range(50)), None)
    loader = ClipBatches(make(clips, tmp_path), batch_size=4, workers=0, shuffle=True)
    first, second = loader._order(0), loader._order(1)
    assert [i // 50 for i in second] == [1] * 50
    assert sorted(i % 50 for i in second) == list(range(50)) == sorted(first)
    assert first != [i % 50 for i in second]
    assert loader._order(1) == second
    assert len(loader) == 13


def test_a_pass_goes_on_behind_what_was_used(dataset):
    whole = batches(dataset, 2, shuffle=True, batch_size=1)
    rest = batches(dataset, 2, shuffle=True, batch_size=1, skip=whole[1]["taken"])
    assert positions(rest) == positions(whole)[2:]


def test_processes_share_each_batch_of_training(dataset, tmp_path):
    clips = ClipTable(tuple(f"{i}.mp4" for i in range(10)), None)
    alone = ClipBatches(make(clips, tmp_path), batch_size=4, workers=0, shuffle=True)
    whole = [list(batch) for batch, _, _ in alone._deal([range(0, 4), range(4, 8), range(8, 9)])]
    for size in (2, 3, 5):
        parts, weights = zip(
            *(dealt(clips, tmp_path, rank, size) for rank in range(size)), strict=True
        )
        for number, batch in enumerate(whole):
            counted = [
                place
                for part, weight in zip(parts, weights, strict=True)
                if weight[number]
                for place in part[number]
            ]
            assert counted == batch
            assert sum(weight[number] for weight in weights) == pytest.approx(size)
            assert all(part[number] for part in parts)


def dealt(clips, folder, rank, size):
    batches = ClipBatches(
        make(clips, folder),
        batch_size=4,
        workers=0,
        shuffle=True,
        processes=Processes(rank=rank, size=size),
    )
    shares = batches._deal([range(0, 4), range(4, 8), range(8, 9)])
    return [list(part) for _, part, _ in shares], [weight for _, _, weight in shares]


def test_for_evaluation_whole_batches_are_dealt_out(tmp_path):
    clips = ClipTable(tuple(f"{i}.mp4" for i in range(10)), None)
    whole = [range(0, 4), range(4, 8), range(8, 10)]
    for rank in range(2):
        processes = Processes(rank=rank, size=2)
        batches = ClipBatches(make(clips, tmp_path), batch_size=4, workers=0, processes=processes)
        assert [part for _, part, _ in batches._deal(whole)] == whole[rank::2]


def test_without_labels_there_are_none(dataset):
    clips = ClipTable(dataset.clips.paths[:2], None)
    (batch,) = batches(make(clips, dataset.data_root))
    assert batch["labels"] is None


def test_a_config_is_built_as_it_says(dataset, tmp_path):
    write_list(tmp_path / "list.csv", dataset.clips)
    config = {
        "type": "mmaction.ClipDataset",
        "clips": str(tmp_path / "list.csv"),
        "data_root": str(dataset.data_root),
        "pipeline": PIPELINE,
        "classes": ["a", "b"],
        "item_shape": SHAPE,
        "seed": 5,
    }
    made = build_batches({"dataset": config, "batch_size": 3, "workers": 0, "shuffle": False})
    first = next(iter(made))
    assert np.array_equal(first["inputs"][1].numpy(), item(dataset, 1))
