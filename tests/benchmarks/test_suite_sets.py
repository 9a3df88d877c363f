"""The suite's sets: the same files for the same seed, whole, and nothing given away."""

from collections import Counter

import av
import numpy as np
import pytest

from benchmarks.suite_sets import files, kinds, motions, scene
from benchmarks.suite_sets.files import draw_clip, make_set, suite_clips
from benchmarks.suite_sets.kinds import KINDS
from benchmarks.suite_sets.leaks import leak_accuracy, trivial_features


@pytest.fixture
def small(monkeypatch):
    """A set of two classes with few clips, known as `small`."""

    def add(act=kinds._motion, classes=("left", "right"), train=4, test=2):
        kind = kinds.Kind("", act, classes, train, test, seconds=(0.5, 0.7))
        monkeypatch.setitem(KINDS, "small", kind)

    return add


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_of_a_fit_size(name):
    kind, clips = KINDS[name], suite_clips(name)
    of_split = Counter(clip.split for clip in clips)
    assert 4 <= len(kind.classes) <= 10
    assert 40 <= of_split["train"] <= 300
    assert 60 <= of_split["test"] <= 120
    assert len({clip.file for clip in clips}) == len(clips)
    assert len(kind.names or kind.classes) == len(kind.classes)
    assert all(width % 2 == height % 2 == 0 for width, height in kind.sizes)


@pytest.mark.parametrize("name", KINDS)
def test_every_class_can_be_drawn_and_something_is_seen(name):
    first = {clip.label: clip for clip in suite_clips(name)}
    for clip in first.values():
        frames, fps, crf = draw_clip(clip)
        assert frames.dtype == np.uint8
        assert 1.4 <= len(frames) / fps <= 11.1
        assert files.CRF_RANGE[0] <= crf <= files.CRF_RANGE[1]
        assert frames[len(frames) // 2].std() > 8


def test_the_rarest_class_is_a_sixtieth_of_the_most_frequent():
    counts = KINDS["imbalance"].counts("train")
    assert max(counts) / min(counts) == 60


def test_the_same_seed_gives_the_same_frames_and_another_one_others():
    one, again = (draw_clip(suite_clips("speed")[3])[0] for _ in range(2))
    assert np.array_equal(one, again)
    other = draw_clip(suite_clips("speed", seed=1)[3])[0]
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_files_are_the_same_for_any_number_of_threads(small, tmp_path):
    small()
    contents = []
    for workers in (1, 3, 2):
        root = tmp_path / str(workers)
        make_set(root, "small", workers=workers)
        contents.append({p.name: p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()})
    assert contents[0] == contents[1] == contents[2]
    assert len([name for name in contents[0] if name.endswith(".mp4")]) == 12
    lines = contents[0]["train_list.txt"].decode().splitlines()
    assert Counter(line.split()[1] for line in lines) == {"left": 4, "right": 4}


def test_what_is_there_is_left_as_it_is(small, tmp_path):
    small()
    make_set(tmp_path, "small")
    clip = tmp_path / "videos" / "train000.mp4"
    before = clip.stat().st_mtime_ns
    make_set(tmp_path, "small")
    assert clip.stat().st_mtime_ns == before
    make_set(tmp_path, "small", seed=1)
    assert clip.stat().st_mtime_ns != before


def test_clips_are_ordinary_files(small, tmp_path):
    small()
    make_set(tmp_path, "small")
    with av.open(str(tmp_path / "videos" / "test000.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    assert trivial_features(tmp_path / "videos" / "test000.mp4").shape == (12,)


@pytest.mark.slow
def test_trivial_features_do_not_tell_a_direction(small, tmp_path):
    small(train=16, test=30)
    make_set(tmp_path, "small")
    share, clips = leak_accuracy(tmp_path)
    assert clips == 60
    assert share <= 0.5 + 3 * (0.25 / clips) ** 0.5


@pytest.mark.slow
def test_the_trivial_classifier_sees_a_leak(small, tmp_path):
    def leaking(rng, label, stage):
        actor, states = kinds._motion(rng, label, stage)
        states.radius[:] *= 3.0 if label == "left" else 0.5
        return actor, states

    small(leaking, train=16, test=30)
    make_set(tmp_path, "small")
    assert leak_accuracy(tmp_path)[0] > 0.8


def test_all_outlines_have_one_area():
    for outline in scene.OUTLINES.values():
        canvas = np.zeros((400, 400, 3), dtype=np.float32)
        placed = scene._placed(outline, np.array([200.0, 200.0]), 100.0, 0.3)
        scene._fill(canvas, placed, np.ones(3))
        # OpenCV draws half a pixel beyond the edge.
        assert canvas[..., 0].sum() == pytest.approx(scene.AREA * 100**2, rel=0.05)


def test_places_tell_no_direction():
    rng = np.random.default_rng(0)
    stage = motions.Stage(np.arange(40) / 20, 4 / 3)
    middles = {}
    for way in ("left", "right"):
        direction = motions.DIRECTIONS[way]
        made = [
            motions.moving(rng, stage, (0.1, 0.16), direction=direction, speed=0.5)
            for _ in range(400)
        ]
        middles[way] = np.mean([states.x for states in made], axis=0)
    assert np.abs(middles["left"] - middles["right"]).max() < 0.15
    assert np.ptp(middles["left"]) < 0.15


def test_the_same_events_happen_in_every_order():
    ends = []
    for label in KINDS["order"].classes:
        _, states = kinds._order(
            np.random.default_rng(1), label, motions.Stage(np.arange(90) / 30, 4 / 3)
        )
        ends.append([states.radius.max(), states.y.min(), states.turn[-1] - states.turn[0]])
    assert np.ptp(np.array(ends), axis=0).max() < 0.02
    assert len(ends) == 6
