"""The demo data set: what it holds, how it is made, and that single frames say nothing."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from autox_video.core.errors import ListingError
from autox_video.data import demo

FEW = {"train": 2, "val": 1, "test": 1}
LEAK_CLIPS = {"train": 16, "test": 10}


@pytest.fixture(scope="module")
def small_demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    demo.make_demo(root, clips_per_class=FEW)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_list_files_name_every_clip_with_its_motion(small_demo):
    listed = []
    for split, count in FEW.items():
        lines = (small_demo / f"annotations/{split}_list.txt").read_text().splitlines()
        pairs = [line.split() for line in lines]
        assert sorted(label for _, label in pairs) == sorted(list(demo.MOTIONS) * count)
        assert all(path.startswith(f"{label}_{split}_") for path, label in pairs)
        listed += [path for path, _ in pairs]
    assert sorted(listed) == sorted(path.name for path in (small_demo / "videos").iterdir())
    assert len(set(listed)) == 4 * 8


def test_class_names_are_the_eight_motions(small_demo):
    names = (small_demo / "annotations/classes.txt").read_text().splitlines()
    assert names == [
        "left",
        "right",
        "up",
        "down",
        "clockwise",
        "anticlockwise",
        "nearer",
        "farther",
    ]


def test_default_size_leaves_enough_clips_to_judge_by():
    splits = [clip.split for clip in demo.demo_clips()]
    assert splits.count("train") >= 192
    assert splits.count("val") >= 32
    assert splits.count("test") >= 48
    names = {clip.name for clip in demo.demo_clips()}
    assert len(names) == len(splits)


def test_clips_are_h264_of_about_two_seconds_at_several_rates(small_demo):
    rates = set()
    for path in (small_demo / "videos").iterdir():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.codec_context.pix_fmt == "yuv420p"
            assert (stream.width, stream.height) == (demo.WIDTH_PX, demo.HEIGHT_PX)
            frames = sum(1 for _ in container.decode(stream))
            assert stream.frames == frames
            assert 1.7 < frames / float(stream.average_rate) < 2.3
            rates.add(float(stream.average_rate))
    assert rates == {24.0, 25.0, 30.0}


def test_decoded_frames_are_close_to_the_drawn_ones(small_demo):
    clip = demo.DemoClip("train", "clockwise", 1, seed=0)
    drawn, fps = demo.draw_clip(clip)
    decoded, rate = decode(small_demo / "videos" / clip.name)
    assert decoded.shape == drawn.shape
    assert rate == fps
    assert np.abs(decoded.astype(float) - drawn).mean() < 3


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_whatever_the_number_of_processes(small_demo, tmp_path):
    demo.make_demo(tmp_path, clips_per_class=FEW, workers=3)
    assert contents(tmp_path) == contents(small_demo)


def test_other_seed_gives_other_clips():
    frames = [demo.draw_clip(demo.DemoClip("train", "left", 0, seed))[0][0] for seed in (0, 1)]
    assert np.abs(frames[0].astype(float) - frames[1]).mean() > 1


def test_splits_and_motions_share_no_clip():
    first = {demo.draw_clip(clip)[0][0].tobytes() for clip in demo.demo_clips(clips_per_class=FEW)}
    assert len(first) == 4 * 8


def test_progress_counts_the_clips(tmp_path):
    seen = []
    counts = {"train": 1}
    demo.make_demo(
        tmp_path, clips_per_class=counts, on_done=lambda *state: seen.append(state), workers=1
    )
    assert seen == [(4, 8), (8, 8)]


@pytest.mark.slow
def test_a_killed_make_is_completed_and_keeps_what_was_made(small_demo, tmp_path):
    code = (
        "import os, sys\n"
        "from autox_video.data.demo import make_demo\n"
        "stop = lambda done, total: os._exit(9) if done == 8 else None\n"
        f"make_demo(sys.argv[1], clips_per_class={FEW}, on_done=stop, workers=1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(demo.__file__).parents[2])}
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment)
    assert ended.returncode == 9
    assert not demo.demo_is_complete(tmp_path)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("videos/*.mp4")}
    assert 8 <= len(made) < 32

    demo.make_demo(tmp_path, clips_per_class=FEW)

    assert demo.demo_is_complete(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    visible = {k: v for k, v in contents(tmp_path).items() if not Path(k).name.startswith(".")}
    assert visible == contents(small_demo)


def test_a_complete_demo_is_left_alone_and_a_lost_clip_is_made_again(tmp_path):
    counts = {"train": 1}
    demo.make_demo(tmp_path, clips_per_class=counts)
    before = contents(tmp_path)
    demo.make_demo(tmp_path)
    assert contents(tmp_path) == before
    (tmp_path / "videos/left_train_000.mp4").unlink()
    assert not demo.demo_is_complete(tmp_path)
    demo.make_demo(tmp_path, clips_per_class=counts)
    assert contents(tmp_path) == before


def test_other_files_in_the_folder_stay(tmp_path):
    own = tmp_path / "videos" / "mine.mp4"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    demo.make_demo(tmp_path, clips_per_class={"train": 1})
    assert own.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["annotations/train_list.txt", "videos/left_train_000.mp4"])
def test_own_data_under_a_name_of_the_demo_are_refused(tmp_path, name):
    own = tmp_path / name
    own.parent.mkdir()
    own.write_text("mine")
    with pytest.raises(ListingError, match=own.name):
        demo.make_demo(tmp_path, clips_per_class={"train": 1})
    assert contents(tmp_path) == {name: b"mine"}


def test_half_made_demo_of_another_seed_is_refused(tmp_path):
    demo.make_demo(tmp_path, clips_per_class={"train": 1})
    (tmp_path / "videos/left_train_000.mp4").unlink()
    with pytest.raises(ListingError, match="a different seed"):
        demo.make_demo(tmp_path, seed=1, clips_per_class={"train": 1})


def test_a_folder_without_marker_is_not_complete(tmp_path):
    assert not demo.demo_is_complete(tmp_path)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/demo.json").write_text("{torn")
    assert not demo.demo_is_complete(tmp_path)


@pytest.mark.parametrize("label", demo.MOTIONS)
def test_at_every_moment_all_that_a_frame_shows_is_uniform(label):
    """Kolmogorov-Smirnov distance to the uniform distribution, at 0.1% significance."""
    clips = 1500
    generators = [np.random.default_rng([7, number]) for number in range(clips)]
    times = np.array([0.0, 0.9, 2.0])
    states = np.stack([demo.motion_states(rng, label, times) for rng in generators])
    assert states.min() >= 0
    assert states.max() < 1
    ranks = np.arange(1, clips + 1)[:, None, None] / clips
    distance = np.abs(np.sort(states, axis=0) - ranks).max(axis=0)
    assert distance.max() < 1.95 / np.sqrt(clips)
    correlation = np.corrcoef(states[:, -1].T) - np.eye(4)
    assert np.abs(correlation).max() < 0.1


@pytest.mark.parametrize("label", demo.MOTIONS)
def test_only_the_number_of_the_class_moves_and_in_its_direction(label):
    moved, direction = demo.MOTIONS[label]
    states = demo.motion_states(np.random.default_rng(3), label, np.arange(0, 2, 0.1))
    steps = (np.diff(states, axis=0) + 0.5) % 1 - 0.5
    assert np.all(np.sign(steps[:, moved]) == direction)
    np.testing.assert_allclose(np.delete(steps, moved, axis=1), 0, atol=1e-12)


@pytest.fixture(scope="module")
def leak_clips(tmp_path_factory):
    """Frames, label and whether held out, of encoded and decoded clips."""
    root = tmp_path_factory.mktemp("leak")
    demo.make_demo(root, seed=5, clips_per_class=LEAK_CLIPS)
    listed = demo.demo_clips(seed=5, clips_per_class=LEAK_CLIPS)
    frames = [decode(root / "videos" / clip.name)[0] for clip in listed]
    labels = np.array([list(demo.MOTIONS).index(clip.label) for clip in listed])
    held_out = np.array([clip.split == "test" for clip in listed])
    return frames, labels, held_out


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0])
def test_one_frame_stays_near_chance(leak_clips, moment):
    frames, labels, held_out = leak_clips
    chosen = [clip[round(moment * (len(clip) - 1))].astype(float) for clip in frames]
    pixels = np.stack([shrink(frame).ravel() for frame in chosen])
    shapes = np.stack([squares(shape_facts(frame)) for frame in chosen])
    # Of 80 clips 10 are right by chance, and 20 or more once in a thousand tries.
    assert nearest_accuracy(pixels, labels, held_out) < 0.25
    assert nearest_accuracy(shapes, labels, held_out) < 0.25
    assert ridge_accuracy(shapes, labels, held_out) < 0.25


@pytest.mark.slow
def test_motion_tells_the_classes_apart(leak_clips):
    frames, labels, held_out = leak_clips
    features = np.stack([motion_facts(clip.astype(float)) for clip in frames])
    assert nearest_accuracy(features, labels, held_out) > 0.8


def decode(path: Path) -> tuple[np.ndarray, float]:
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate)
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)]), rate


def shrink(frame: np.ndarray) -> np.ndarray:
    """(96, 128, 3) to the means of tiles of 8 pixels, (12, 16, 3)."""
    return frame.reshape(12, 8, 16, 8, 3).mean(axis=(1, 3))


def shape_facts(frame: np.ndarray) -> np.ndarray:
    """Of the shape in a frame (H, W, 3): across, down, bearing of its bright side, log area."""
    border = np.median(np.concatenate([frame[:, 0], frame[:, -1]]), axis=0)
    down, across = np.nonzero(np.linalg.norm(frame - border, axis=2) > 60)
    if len(down) == 0:
        return np.zeros(4)
    light = frame[down, across].sum(axis=1) + 1
    middle = np.array([across.mean(), down.mean()])
    bright = np.array([np.average(across, weights=light), np.average(down, weights=light)])
    offset = bright - middle
    return np.array([*middle, np.arctan2(offset[1], offset[0]), np.log(len(down))])


def squares(facts: np.ndarray) -> np.ndarray:
    """The facts of a shape with the bearing as a direction, and all products of two of them."""
    across, down, bearing, area = facts
    centred = [across / 64 - 1, down / 48 - 1, np.cos(bearing), np.sin(bearing), area - 6.5]
    products = np.outer(centred, centred)[np.triu_indices(5)]
    return np.concatenate([centred, products])


def motion_facts(frames: np.ndarray) -> np.ndarray:
    """Median change of each fact of the shape over three frames, scaled to be comparable."""
    facts = np.stack([shape_facts(frame) for frame in frames[::3]])
    steps = np.diff(facts, axis=0)
    steps[:, 2] = np.angle(np.exp(1j * steps[:, 2]))
    change = np.median(steps, axis=0) / [2.0, 2.0, 0.25, 0.1]
    return np.clip(change, -1.5, 1.5)


def nearest_accuracy(features: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> float:
    known, asked = features[~held_out], features[held_out]
    distances = np.linalg.norm(asked[:, None] - known[None], axis=2)
    predicted = labels[~held_out][distances.argmin(axis=1)]
    return float((predicted == labels[held_out]).mean())


def ridge_accuracy(features: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> float:
    known, asked = features[~held_out], features[held_out]
    mean, spread = known.mean(axis=0), known.std(axis=0) + 1e-6
    known, asked = (known - mean) / spread, (asked - mean) / spread
    wanted = np.eye(8)[labels[~held_out]] - 1 / 8
    gram = known.T @ known + 10 * np.eye(known.shape[1])
    predicted = (asked @ np.linalg.solve(gram, known.T @ wanted)).argmax(axis=1)
    return float((predicted == labels[held_out]).mean())
