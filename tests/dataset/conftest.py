"""Folders of empty clips."""

import pytest


@pytest.fixture
def tree(tmp_path):
    """Give a function that makes empty files and gives their folder."""

    def tree(*files):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        return tmp_path

    return tree
