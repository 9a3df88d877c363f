"""Which clips show one scene: those of one camera, whatever the light and the people in it."""

import tracemalloc

import numpy as np
import pytest

from autox_video.data.demo import MOTIONS, DemoClip, draw_clip
from autox_video.data.inspection.scene import SCENE_BYTES, same_scene, scene
from autox_video.data.splitting.groups import alone

NONE = np.zeros((0, 2), dtype=np.int64)


def place(seed, height=48, width=64):
    """A place (H, W, 3): areas of the colours of its own."""
    rng = np.random.default_rng(seed)
    tones = rng.integers(0, 256, 3) / 2
    areas = np.kron(rng.integers(0, 128, (12, 16, 1)), np.ones((height // 12, width // 16, 1)))
    return areas + tones


def taken(background, seed, light=0):
    """The scene of a clip (5, H, W, 3): somebody walks through, in noise and another light."""
    rng = np.random.default_rng(seed)
    frames = np.repeat(background[None] + light, 5, axis=0) + rng.normal(
        0, 4, (5, *background.shape)
    )
    for number, frame in enumerate(frames):
        down, across = rng.integers(0, 24), 4 + 10 * number
        frame[down : down + 20, across : across + 8] = rng.integers(0, 256, 3)
    return np.frombuffer(scene(np.clip(frames, 0, 255).astype(np.uint8)), dtype=np.uint8)


def sizes(count):
    return np.tile([64, 48], (count, 1))


def test_clips_of_one_camera_are_found_and_others_are_not():
    clips = [
        taken(place(where), seed=10 * where + i, light=6 * i)
        for where in range(20)
        for i in range(3)
    ]
    found = same_scene(np.stack(clips), sizes(60), NONE, alone(60))
    assert found.tolist() == np.repeat(np.arange(0, 60, 3), 3).tolist()


def test_clips_of_another_size_are_of_another_camera():
    clips = np.stack([taken(place(1), seed) for seed in range(2)])
    assert same_scene(clips, np.array([[64, 48], [128, 96]]), NONE, alone(2)).tolist() == [0, 1]


def test_neighbours_are_believed_sooner():
    turned = np.concatenate([place(3)[:, :28], place(5)[:, 28:]], axis=1)  # part of it is the same
    clips = np.stack([taken(place(3), 0), taken(turned, 1), taken(place(4), 2)])
    assert same_scene(clips, sizes(3), NONE, alone(3)).tolist() == [0, 1, 2]
    assert same_scene(clips, sizes(3), np.array([[0, 1], [1, 2]]), alone(3)).tolist() == [0, 0, 2]


@pytest.mark.parametrize("value", [0, 90])
def test_plain_backgrounds_are_like_no_other(value):
    frames = np.full((5, 48, 64, 3), value, dtype=np.uint8)
    clips = np.repeat(np.frombuffer(scene(frames), dtype=np.uint8)[None], 4, axis=0)
    follow = np.array([[0, 1], [1, 2], [2, 3]])
    assert (same_scene(clips, sizes(4), follow, alone(4)) == alone(4)).all()


def test_drawn_backgrounds_of_next_to_nothing_are_like_no_other():
    clips = [
        np.frombuffer(scene(draw_clip(DemoClip("train", label, number, 0))[0]), dtype=np.uint8)
        for number in range(4)
        for label in MOTIONS
    ]
    found = same_scene(np.stack(clips), sizes(32), NONE, alone(32))
    assert found.tolist() == list(range(32))


def test_noise_of_one_colour_is_no_scene():
    rng = np.random.default_rng(0)
    noisy = rng.integers(100, 150, (40, 5, 48, 64, 3), dtype=np.uint8)
    clips = np.stack([np.frombuffer(scene(frames), dtype=np.uint8) for frames in noisy])
    follow = np.stack([np.arange(39), np.arange(1, 40)], axis=1)
    assert len(np.unique(same_scene(clips, sizes(40), follow, alone(40)))) >= 37


@pytest.mark.parametrize("count", [0, 1])
def test_few_clips(count):
    clips = np.zeros((count, SCENE_BYTES), dtype=np.uint8)
    assert same_scene(clips, sizes(count), NONE, alone(count)).tolist() == list(range(count))


def test_of_copies_the_first_is_compared():
    clips = [taken(place(where), 10 * where + i) for where in (1, 1, 2) for i in range(2)]
    copies = np.array([0, 0, 2, 2, 4, 4])
    found = same_scene(np.stack(clips), sizes(6), NONE, copies)
    assert found.tolist() == [0, 1, 0, 3, 4, 5]  # whoever has the copies joins them with those


def test_the_memory_does_not_grow_with_the_pairs():
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (6_000, SCENE_BYTES), dtype=np.uint8)
    clips[5_900:] = clips[:100]
    tracemalloc.start()
    found = same_scene(clips, sizes(len(clips)), NONE, alone(len(clips)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tolist() == [*range(5_900), *range(100)]
    assert peak < 50e6


def test_scenes_are_found_among_more_clips_than_are_compared_one_by_one(monkeypatch):
    monkeypatch.setattr("autox_video.data.inspection.scene._COMPARED_UP_TO", 50)
    clips = [taken(place(where), seed=10 * where + i) for where in range(100) for i in range(3)]
    found = same_scene(np.stack(clips), sizes(300), NONE, alone(300))
    together = found.reshape(100, 3)
    assert (together == together[:, :1]).all(axis=1).mean() > 0.95
    assert (together // 3 == np.arange(100)[:, None]).all()
