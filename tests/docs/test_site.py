"""The site that `sphinx-build -W -b html docs build/docs` made; skipped where it is not built."""

from pathlib import Path

import pytest

from autox_video.config.settings import Settings
from tests.datasets import REPOSITORY


@pytest.fixture(scope="module")
def site() -> Path:
    folder = REPOSITORY / "build" / "docs"
    if not folder.is_dir():
        pytest.skip("the docs are not built")
    return folder


@pytest.mark.parametrize("key", Settings.model_fields)
def test_every_key_is_described(key, site):
    page = (site / "reference" / "config.html").read_text()
    assert f'id="key-{key}"' in page


@pytest.mark.parametrize("name", ["AutoXVideo", "AutoXVideo.fit", "AutoXVideo.transform"])
def test_the_python_reference_is_from_the_docstrings(name, site):
    assert f'id="autox_video.{name}"' in (site / "reference" / "python.html").read_text()
