import pytest

from autox_video.backbones.weights.known_weights import ARCHITECTURES, Architecture
from tests.backbones.weights.weight_files import WINDOW


@pytest.fixture
def small_backbone(monkeypatch):
    """The small recogniser of `weight_files` counts as a known backbone."""
    small = Architecture(12, (2, 2), window_size=WINDOW)
    monkeypatch.setitem(ARCHITECTURES, "swin_small_of_this_test", small)
