"""What clips look like: copies are found, other clips are not."""

import av
import numpy as np
import pytest

from autox_video.data.demo import MOTIONS, DemoClip, draw_clip
from autox_video.data.inspection import fingerprint as fingerprint_module
from autox_video.data.inspection.fingerprint import (
    FINGERPRINT_BYTES,
    GREY_BYTES,
    fingerprint,
    near_duplicates,
    sampled_frames,
)
from autox_video.data.inspection.scene import same_scene, scene
from autox_video.data.splitting.groups import alone, members
from autox_video.video.open_video import open_video
from tests.videos import decode_all, real_clips, write_video

LOSSY = {"codec": "libx264", "options": {"crf": "30"}}


def sampled(path):
    with open_video(path) as video:
        return sampled_frames(video)


def look(path):
    return np.frombuffer(fingerprint(sampled(path)), dtype=np.uint8)


def drift(seed, count=40, height=96, width=128):
    """Frames of a texture that drifts at an even pace, of its own kind for each seed."""
    rng = np.random.default_rng(seed)
    texture = np.kron(rng.integers(20, 200, (12, 20, 3)), np.ones((12, 12, 1))).astype(np.uint8)
    across, down = rng.uniform(0, 0.5, 2) * (texture.shape[1] - width, texture.shape[0] - height)
    places = np.linspace(0, 1, count)
    return np.stack(
        [
            texture[
                int(down * p) : int(down * p) + height, int(across * p) : int(across * p) + width
            ]
            for p in places
        ]
    )


def scaled(frames, height, width):
    return np.stack(
        [
            av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            .reformat(width, height, "rgb24")
            .to_ndarray()
            for frame in frames
        ]
    )


def brighter(frames, by):
    return np.clip(frames.astype(int) + by, 0, 255).astype(np.uint8)


CHANGES = {
    "coded anew": lambda f: f,
    "smaller": lambda f: scaled(f, f.shape[1] // 4 * 2, f.shape[2] // 4 * 2),
    "another shape": lambda f: scaled(f, 128, 128),
    "brighter": lambda f: brighter(f, 25),
    "more contrast": lambda f: brighter((f * 1.2).clip(0, 255), -10),
    "fewer frames": lambda f: f[::2],
    "edges cut": lambda f: f[:, 2:-2, 4:-4],
    "end cut": lambda f: f[: len(f) * 94 // 100],
    "start cut": lambda f: f[len(f) * 6 // 100 :],
    "both cut": lambda f: f[len(f) * 4 // 100 : len(f) * 96 // 100],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_changed_copies_are_found_and_only_they(tmp_path, change):
    looks = []
    for seed in range(12):
        frames = drift(seed)
        looks.append(look(write_video(tmp_path / f"{seed}.mp4", frames)))
        looks.append(look(write_video(tmp_path / f"{seed} copy.mp4", change(frames), **LOSSY)))
    found = near_duplicates(np.stack(looks))
    assert found.tolist() == [i // 2 * 2 for i in range(24)]


def test_flat_clips_are_like_no_other(tmp_path):
    rng = np.random.default_rng(0)
    looks = [np.zeros(FINGERPRINT_BYTES, dtype=np.uint8)] * 2
    for level in (0, 0, 40, 255):
        frames = np.full((10, 64, 64, 3), level) + rng.integers(-1, 2, (10, 64, 64, 3))
        looks.append(look(write_video(tmp_path / "a.mp4", brighter(frames, 0), **LOSSY)))
    ramp = np.broadcast_to((np.arange(64) // 24)[:, None, None], (10, 64, 64, 3))
    for level in (40, 41):
        looks.append(look(write_video(tmp_path / "a.mp4", brighter(ramp, level))))
    fade = np.linspace(0, 255, 20).astype(np.uint8)[:, None, None, None]
    for _ in range(2):
        frames = np.broadcast_to(fade, (20, 64, 64, 3))
        looks.append(look(write_video(tmp_path / "a.mp4", frames, **LOSSY)))
    assert near_duplicates(np.stack(looks)).tolist() == list(range(10))


def test_one_camera_that_stands_still_does_not_make_clips_alike(tmp_path):
    rng = np.random.default_rng(0)
    background = drift(0, 1)[0]
    looks = []
    for seed in range(12):
        places = np.random.default_rng(seed).uniform(0, 1, (2, 2)) * (70, 100)
        frames = np.repeat(background[None], 20, axis=0)
        for frame, share in zip(frames, np.linspace(0, 1, 20), strict=True):
            down, across = (places[0] + share * (places[1] - places[0])).astype(int)
            frame[down : down + 12, across : across + 12] = 255
        noisy = brighter(frames, rng.integers(-2, 3, frames.shape))
        looks.append(look(write_video(tmp_path / "a.mp4", noisy, **LOSSY)))
    assert len(members(near_duplicates(np.stack(looks)))) <= 1


def test_colours_tell_clips_apart(tmp_path):
    frames = drift(3) // 2
    red, blue = (np.clip(frames + np.array(add), 0, 255) for add in ((60, 0, 0), (0, 0, 60)))
    looks = [
        look(write_video(tmp_path / "a.mp4", each.astype(np.uint8), **LOSSY))
        for each in (red, blue, red)
    ]
    assert near_duplicates(np.stack(looks)).tolist() == [0, 1, 0]


@pytest.mark.slow
def test_clips_of_the_demo_are_not_alike_in_the_mass(tmp_path):
    looks = []
    for number in range(30):
        for label in MOTIONS:
            frames, fps = draw_clip(DemoClip("train", label, number, 0))
            looks.append(look(write_video(tmp_path / "a.mp4", frames, fps=fps)))
    assert sum(map(len, members(near_duplicates(np.stack(looks))))) <= 6  # of 240


def test_fingerprint_is_of_averages(tmp_path):
    frames = np.zeros((5, 16, 24, 3), dtype=np.uint8)
    frames[:, :, 12:] = (200, 0, 0)
    frames[4] = 255
    found = look(write_video(tmp_path / "a.mp4", frames))
    grey = found[:GREY_BYTES].reshape(5, 8, 8)
    assert (grey[:4, :, :4] == 0).all() and (grey[4] == 255).all()
    assert (abs(grey[:4, :, 4:].astype(int) - round(200 * 0.299)) <= 1).all()
    redness, blueness = np.moveaxis(found[GREY_BYTES:].reshape(4, 4, 2), 2, 0)
    assert (blueness[:, :2] == 128).all() and (redness[:, :2] == 128).all()
    assert (abs(redness[:, 2:].astype(int) - round(128 + 0.8 * 200 * 0.701 / 2)) <= 1).all()
    assert (abs(blueness[:, 2:].astype(int) - round(128 - 0.8 * 200 * 0.299 / 2)) <= 1).all()


def test_tiny_and_odd_pictures_have_fingerprints(tmp_path):
    for height, width in ((4, 16), (17, 33), (2, 90)):
        frames = np.random.default_rng(0).integers(0, 255, (3, height, width, 3), dtype=np.uint8)
        path = write_video(tmp_path / "a.mkv", frames, codec="ffv1")
        assert len(look(path)) == FINGERPRINT_BYTES


def test_the_same_pictures_give_the_same_bytes(tmp_path):
    one = look(write_video(tmp_path / "a.mp4", drift(1)))
    assert (one == look(write_video(tmp_path / "b.mkv", drift(1), codec="ffv1"))).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_clips(count):
    looks = np.random.default_rng(0).integers(0, 256, (1, FINGERPRINT_BYTES), dtype=np.uint8)
    assert not near_duplicates(np.repeat(looks, count, axis=0)).any()


def many(count, copies, seed=0):
    """Fingerprints of `count` clips, and of noisy copies of the first of them."""
    rng = np.random.default_rng(seed)
    looks = rng.integers(0, 256, (count, FINGERPRINT_BYTES))
    near = looks[:copies] + rng.integers(-25, 26, (copies, FINGERPRINT_BYTES))
    near[:, GREY_BYTES:] = looks[:copies, GREY_BYTES:]
    return np.clip(np.concatenate([looks, near]), 0, 255).astype(np.uint8)


def test_copies_are_found_among_many():
    found = near_duplicates(many(20_000, 500))
    assert (found[:20_000] == alone(20_000)).all()
    assert (found[20_000:] == alone(500)).mean() > 0.99


@pytest.mark.slow
def test_work_does_not_grow_with_the_square_even_if_all_clips_are_alike(monkeypatch):
    compared = []
    alike = fingerprint_module._look_the_same

    def counted(one, other):
        compared.append(len(one))
        return alike(one, other)

    monkeypatch.setattr(fingerprint_module, "_look_the_same", counted)
    assert not near_duplicates(np.repeat(many(1, 0), 5000, axis=0)).any()
    assert sum(compared) < 10 * 5000
    compared.clear()
    # Of one picture but of different colours: they meet in every table, and are never joined.
    looks = np.repeat(many(1, 0), 5000, axis=0)
    looks[:, GREY_BYTES:] = np.random.default_rng(1).integers(0, 256, (5000, 32))
    assert len(members(near_duplicates(looks))) == 0
    assert sum(compared) < 5000 * 8 * 32


@pytest.mark.slow
def test_real_clips_are_all_different_and_their_copies_are_found(tmp_path):
    paths = sorted((real_clips() / "videos").iterdir())
    frames_of = [sampled(path) for path in paths]
    looks = [np.frombuffer(fingerprint(frames), dtype=np.uint8) for frames in frames_of]
    scenes = np.stack([np.frombuffer(scene(frames), dtype=np.uint8) for frames in frames_of])
    sizes = np.array([frames.shape[2:0:-1] for frames in frames_of])
    # Each is of another web video, though two of them may have been taken at one place.
    found = same_scene(scenes, sizes, np.zeros((0, 2), dtype=np.int64), alone(len(scenes)))
    assert len(np.unique(found)) >= len(paths) - 2
    for path in paths[::20]:
        frames = decode_all(path)
        frames = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
        looks.append(look(write_video(tmp_path / "a.mp4", brighter(frames, 15), **LOSSY)))
    found = near_duplicates(np.stack(looks))
    assert (found[: len(paths)] == alone(len(paths))).all()
    assert (found[len(paths) :] == alone(len(paths))[::20]).all()
