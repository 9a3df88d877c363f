"""A model file alone is the model: of any schema, in any folder, without paths in it."""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from autox_video.planning.record import load_stored
from autox_video.run.work_dir import BEST, BEST_SAFE, LATEST, PROBE
from autox_video.training.checkpoints.checkpoint import read_checkpoint, read_meta
from autox_video.training.checkpoints.model_record import MODEL_SCHEMA, SCHEMA_KEY
from tests.prediction.make_stored_models import EXPECTED, FILES, KINDS, probabilities, train

STORED = sorted(FILES.glob("*.safetensors"))
WITH_PATH = re.compile(r"^([A-Za-z]:)?[/\\~]|://|\\\\|\.\./")


def test_each_kind_is_stored_in_each_schema():
    schemas = range(MODEL_SCHEMA + 1)
    assert {file.stem for file in STORED} == {f"{kind}-{n}" for kind in KINDS for n in schemas}
    for file in STORED:
        schema = read_meta(file)["record"].get(SCHEMA_KEY, 0)
        assert file.stem.endswith(f"-{schema}")


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_a_file_alone_predicts_the_same_in_any_folder(tmp_path, monkeypatch, file):
    for name in ("model", "clips", "elsewhere"):
        (tmp_path / name).mkdir()
    copy = Path(shutil.copy(file, tmp_path / "model"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = probabilities(Path("..", "model", copy.name), tmp_path / "clips")
    expected = json.loads(EXPECTED.read_text())[file.name]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Work dirs of a probe, a network and an ensemble."""
    clips, work_dirs = (tmp_path_factory.mktemp(name) for name in ("secret-clips", "secret-runs"))
    train(clips, work_dirs)
    return work_dirs


def texts_in(value):
    """Yield all keys and strings in a JSON value."""
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, str):
        yield value


@pytest.mark.slow
def test_no_weight_file_contains_a_path(runs):
    files = [*(runs / kind / name for kind in KINDS for name in (BEST, BEST_SAFE))]
    files += [runs / "trained" / PROBE]
    assert sum(file.is_file() for file in files) == 7
    hidden = ("secret", "pytest-of", tempfile.gettempdir(), str(Path.home()), os.getcwd())
    for file in files:
        state = {k: v for k, v in read_checkpoint(file).items() if k != "state_dict"}
        texts = list(texts_in(state))
        assert len(texts) > 100
        for text in texts:
            assert not WITH_PATH.search(text), (file.name, text)
            assert not any(name in text for name in hidden if len(name) > 1), (file.name, text)
    # The run's own record has the paths, so that the run can be resumed.
    assert "secret" in load_stored(runs / "trained")["choices"]["backbone"]["value"]
    assert "secret" in read_meta(runs / "trained" / LATEST)["record"]["data"]["data_root"]
