"""Features on disk."""

import numpy as np

from autox_video.automl.probing.feature_store import FeatureStore


def features(seed=0, shape=(2, 5, 12)):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16)


def test_what_is_put_comes_back(tmp_path):
    store = FeatureStore(tmp_path / "store")
    assert store.get("ab12") is None
    assert store.put("ab12", features())
    np.testing.assert_array_equal(FeatureStore(tmp_path / "store").get("ab12"), features())
    assert store.files.usage() == (1, 24 + 12 + 2 * 2 * 5 * 12)


def test_a_damaged_file_counts_as_missing(tmp_path):
    store = FeatureStore(tmp_path)
    store.put("ab12", features())
    path = next(tmp_path.rglob("*.features"))
    path.write_bytes(path.read_bytes()[:-2] + b"xy")
    assert store.get("ab12") is None and not path.exists()
    assert store.put("ab12", features())
    np.testing.assert_array_equal(store.get("ab12"), features())


def test_what_this_run_uses_is_never_removed_for_more(tmp_path):
    store = FeatureStore(tmp_path, max_gib=3.5 * 300 / 2**30)
    was_kept = [store.put(f"{number:04}", features(number)) for number in range(10)]
    assert was_kept[0] and not was_kept[-1]
    assert [store.get(f"{n:04}") is not None for n in range(10)] == was_kept
