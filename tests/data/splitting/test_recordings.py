"""Which clips are cut from one recording, and what is on one side of a division."""

import random
from collections import Counter

import numpy as np
import pytest

from autox_video.data.inspection.clip_facts import Contents, examine_clip
from autox_video.data.splitting.groups import alone
from autox_video.data.splitting.recordings import Recordings, find_recordings, kept_together
from autox_video.data.splitting.splits import stratify
from tests.data.inspection.test_scene import place, taken
from tests.datasets import colour_clip
from tests.videos import numbered_frames, write_video


def found_in(paths, classes, contents):
    sizes = np.tile([64, 48], (len(paths), 1))
    return find_recordings(
        paths, paths, classes, contents=contents, sizes=sizes, num_classes=len(set(classes))
    )


def filmed(places):
    """Contents of clips filmed at places, of which each has a number."""
    contents = Contents.of_unknown(len(places))
    for number, where in enumerate(places):
        contents.scenes[number] = taken(place(where), seed=number)
    return contents


def test_what_belongs_together(tmp_path):
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    clips = {
        "talk part1.mp4": numbered_frames(9),
        "talk part2.mp4": numbered_frames(60)[40:],
        "copy.mp4": numbered_frames(9),
        "darker.mp4": np.repeat(texture[None] // 5 * 4, 9, axis=0),
        "texture.mp4": np.repeat(texture[None], 9, axis=0),
    }
    for name, frames in clips.items():
        write_video(tmp_path / name, frames)
    colour_clip(tmp_path / "red.mp4", "red", seed=1)
    names = [*clips, "red.mp4"]
    contents = Contents.of_unknown(len(names))
    for number, name in enumerate(names):
        contents.put(number, examine_clip(tmp_path / name))
    found = found_in(names, ["a", "b"] * 3, contents)
    assert found.labels.tolist() == [0, 0, 0, 3, 3, 5]
    assert found.named.tolist() == [True, True, False, False, False, False]
    assert (found.count, found.standing.sum()) == (3, 0)


def test_clips_of_one_camera_are_one_recording_whatever_their_class():
    places = [1, 1, 1, 2, 3, 3, 1, 4, 2, 3]
    paths = [f"{name}/{i:03}.mp4" for name in "ab" for i in range(5)]
    found = found_in(paths, ["a"] * 5 + ["b"] * 5, filmed(places))
    assert found.labels.tolist() == [0, 0, 0, 3, 4, 4, 0, 7, 3, 4]
    assert found.count == 4


def test_a_scene_of_all_clips_of_a_class_is_no_recording():
    paths = [f"{name}/{i:03}.mp4" for name in "abc" for i in range(8)]
    classes = [path[0] for path in paths]
    places = [1] * 8 + [2] * 8 + list(range(10, 18))
    found = found_in(paths, classes, filmed(places))
    assert found.labels.tolist() == list(range(24))
    assert found.standing.sum() == 16


@pytest.mark.parametrize(("cameras", "standing"), [(1, 80), (2, 80), (8, 0)])
def test_a_scene_that_a_large_part_of_the_clips_show_is_no_recording(cameras, standing):
    paths = [f"{name}/{i:03}.mp4" for name in "ab" for i in range(40)]
    places = [i // 5 % cameras for i in range(80)]
    found = found_in(paths, [path[0] for path in paths], filmed(places))
    assert found.standing.sum() == standing
    assert found.count == (80 if standing else cameras)


def unrelated(count):
    named = standing = np.zeros(count, dtype=bool)
    return Recordings(alone(count), named, alone(count), alone(count), standing)


def test_what_nothing_tells_apart_is_kept_in_blocks_of_the_natural_order():
    order = np.random.default_rng(0).permutation(20)
    paths = [f"dog/{i}.mp4" for i in order]
    groups = kept_together(unrelated(20), paths, ["dog"] * 20)
    blocks = [sorted(order[groups == one].tolist()) for one in np.unique(groups)]
    assert sorted(blocks) == [list(range(at, at + 4)) for at in range(0, 20, 4)]


def test_blocks_are_of_no_more_than_25_clips_of_a_class():
    groups = kept_together(unrelated(1000), [f"{i}.mp4" for i in range(1000)], ["a"] * 1000)
    assert set(Counter(groups.tolist()).values()) == {25}


def test_a_sequence_over_several_classes_has_all_of_them_in_each_block():
    classes = np.random.default_rng(1).permutation(["a"] * 30 + ["b"] * 10)
    groups = kept_together(unrelated(40), [f"clip_{i}.mp4" for i in range(40)], classes.tolist())
    inside = [Counter(classes[groups == one].tolist()) for one in np.unique(groups)]
    assert inside == [{"a": 6, "b": 2}] * 5


def test_names_without_a_common_sequence_are_left_alone():
    paths = ["run.mp4", "a1f.mp4", "bcd22e.mp4", "x/77.mp4", "walk in park.mp4"]
    assert (kept_together(unrelated(5), paths, ["a"] * 5) == alone(5)).all()


def test_clips_whose_source_is_named_or_known_are_in_no_block():
    known = Recordings(
        np.array([0, 0, 2, 3, 4, 5]),
        np.array([0, 0, 1, 1, 0, 0], dtype=bool),
        alone(6),
        alone(6),
        np.zeros(6, dtype=bool),
    )
    groups = kept_together(known, [f"{i}.mp4" for i in range(6)], ["a"] * 6)
    assert groups.tolist() == [0, 0, 2, 3, 4, 5]


@pytest.mark.parametrize("seed", range(5))
def test_a_division_by_blocks_has_its_shares_and_whole_blocks(seed):
    paths = [f"{name}/{i:03}.mp4" for name in "ab" for i in range(50)]
    classes = [path[0] for path in paths]
    groups = kept_together(unrelated(100), paths, classes)
    splits = stratify(paths, classes, names=("train", "val"), seed=seed, groups=groups)
    for name in "ab":
        val = [int(paths[i][2:5]) for i in splits["val"] if classes[i] == name]
        assert len(val) == 10 and max(val) - min(val) == 9


@pytest.mark.parametrize("name", ["walk_clip_{:03}", "hand_waving_{}_2"])
def test_what_a_class_is_called_is_no_source(name):
    paths = [f"{label}/{name.format(n)}.mp4" for label in ("walk", "run") for n in range(20)]
    labels = [path.partition("/")[0] for path in paths]
    found = found_in(paths, labels, Contents.of_unknown(len(paths)))
    assert found.count == 40
    groups = kept_together(found, paths, labels)
    divided = stratify(paths, labels, names=("train", "val"), seed=0, groups=groups)
    assert {labels[number] for number in divided["val"]} == {"walk", "run"}


@pytest.mark.parametrize(
    "clips", [{"a": 36, "b": 36, "c": 36}, {"a": 180, "b": 60, "c": 24, "d": 12, "e": 6, "f": 3}]
)
@pytest.mark.parametrize("seed", range(4))
def test_blocks_give_each_split_its_share_of_every_class(clips, seed):
    order = [name for name, count in clips.items() for _ in range(count)]
    random.Random(seed).shuffle(order)
    paths = [f"{number:04}.mp4" for number in range(len(order))]
    found = found_in(paths, order, Contents.of_unknown(len(paths)))
    groups = kept_together(found, paths, order)
    val = stratify(paths, order, names=("train", "val"), seed=seed, groups=groups)["val"]
    assert 0.16 <= len(val) / len(order) <= 0.24
    for name, count in clips.items():
        of_class = sum(order[number] == name for number in val)
        assert max(1, 0.1 * count) <= of_class <= max(1, 0.34 * count)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("are_in_one_room", [False, True])
def test_the_segments_of_a_recording_are_on_one_side(seed, are_in_one_room):
    """20 recordings of 6 segments each, of 4 classes, at 20 places or all in one room."""
    videos = [f"{i}.mp4" for i in range(20) for _ in range(6)]
    classes = [f"event{n % 4}" for n in range(120)]
    contents = filmed([1 if are_in_one_room else n // 6 for n in range(120)])
    found = found_in(videos, classes, contents)
    groups = kept_together(found, videos, classes)
    names = ("train", "val")
    splits = stratify(list(range(120)), classes, names=names, seed=seed, groups=groups)
    sides = [{videos[index] for index in splits[name]} for name in names]
    assert not sides[0] & sides[1]
    assert list(map(len, sides)) == [16, 4]
