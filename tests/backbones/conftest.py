from dataclasses import replace

import pytest

from autox_video.config.choices import BACKBONES
from tests.backbones.weights.weight_files import SMALL, WINDOW


@pytest.fixture
def small_backbone(monkeypatch):
    """The small recogniser of `weight_files` counts as a known backbone."""
    tiny = BACKBONES["swin_tiny"]
    config = {**tiny.config, "arch": SMALL, "window_size": WINDOW}
    small = replace(tiny, config=config, window_size=WINDOW)
    monkeypatch.setitem(BACKBONES._items, "swin_small_of_this_test", small)
