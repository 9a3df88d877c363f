"""A folder with an empty data_root."""

import os

import pytest

from tests.places import Place


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with an empty `videos` in it."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("videos")
    return Place()
