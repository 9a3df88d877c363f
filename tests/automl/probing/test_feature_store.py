"""Features on disk."""

import os
import time

import numpy as np
import pytest

from autox_video.automl.probing import feature_store
from autox_video.automl.probing.feature_store import FeatureStore, clear, size_of


def features(seed=0, shape=(2, 5, 12)):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"a clip")
    return str(path)


def test_what_is_put_comes_back(tmp_path, clip):
    one = FeatureStore(tmp_path / "store")
    name = one.name_of(clip, "how")
    assert one.get(name) is None
    assert one.put(name, features())
    np.testing.assert_array_equal(FeatureStore(tmp_path / "store").get(name), features())


def test_the_name_follows_the_clip_and_how_it_is_read(tmp_path, clip):
    one = FeatureStore(tmp_path / "store")
    names = {one.name_of(clip, "how"), one.name_of(clip, "otherwise")}
    with open(clip, "ab") as file:
        file.write(b"!")
    assert len(names | {one.name_of(clip, "how")}) == 3
    assert one.name_of(clip + "x", "how") is None


@pytest.mark.parametrize("harm", [lambda b: b[:-1], lambda b: b"", lambda b: b[:-2] + b"xy"])
def test_a_damaged_file_counts_as_missing(tmp_path, harm):
    one = FeatureStore(tmp_path)
    one.put("ab12", features())
    path = next(tmp_path.rglob("*.features"))
    path.write_bytes(harm(path.read_bytes()))
    assert one.get("ab12") is None and not path.exists()
    assert one.put("ab12", features())
    np.testing.assert_array_equal(one.get("ab12"), features())


def test_the_size_is_bounded_and_what_is_oldest_goes(tmp_path):
    before = FeatureStore(tmp_path)
    for number in range(8):
        before.put(f"{number:04}", features(number))
        when = time.time() - 1000 + number
        os.utime(next(tmp_path.rglob(f"{number:04}.features")), (when, when))
    size = size_of(tmp_path)[1] // 8
    now = FeatureStore(tmp_path, max_gib=8.5 * size / 2**30)
    assert now.get("0001") is not None  # used by this run
    assert now.put("0008", features(8))
    assert now.get("0000") is None and now.get("0001") is not None
    assert size_of(tmp_path)[1] <= 8.5 * size


def test_what_this_run_uses_is_never_removed_for_more(tmp_path):
    one = FeatureStore(tmp_path, max_gib=3.5 * 300 / 2**30)
    kept = [one.put(f"{number:04}", features(number)) for number in range(10)]
    assert kept[0] and not kept[-1]
    assert all(one.get(f"{n:04}") is not None for n, there in enumerate(kept) if there)


def test_a_full_disk_only_means_that_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_store, "free_bytes", lambda folder: 2**20)
    assert not FeatureStore(tmp_path / "new").put("ab12", features())
    (tmp_path / "file").write_text("")
    monkeypatch.undo()
    assert not FeatureStore(tmp_path / "file").put("ab12", features())


def test_clear_removes_features_alone(tmp_path):
    FeatureStore(tmp_path).put("ab12", features())
    (tmp_path / "ab" / "mine.txt").write_text("")
    assert clear(tmp_path) == (1, 36 + 2 * 2 * 5 * 12)
    assert size_of(tmp_path) == (0, 0) and (tmp_path / "ab" / "mine.txt").exists()
