import pytest
import torch

from autox_video.backbones.vjepa21.model import VJEPA21
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import ConfigError

SPECS = {"base": (768, 12, 86), "large": (1024, 24, 304), "giant": (1408, 40, 1012)}


@pytest.mark.parametrize(("name", "expected"), SPECS.items())
def test_the_sizes_are_the_published_ones(name, expected):
    spec = BACKBONES[f"vjepa2.1:{name}"]
    assert (spec.channels, spec.stages, round(spec.parameters_millions)) == expected
    assert (spec.frames, spec.resolution) == (16, 384)


def test_the_tensors_of_a_published_file_are_counted():
    """The file of the large encoder has 302 tensors, of which 10 are not used for video."""
    with torch.device("meta"):
        config = {**BACKBONES["vjepa2.1:large"].config}
        config.pop("type")
        names = VJEPA21(**config).net.state_dict()
    in_three = sum(".query." in name or ".key." in name for name in names)
    unused, modality = 2 + 1 + 3 * 2, 1
    assert len(names) - in_three + unused + modality == 302


def test_an_unknown_size_is_an_error_that_lists_the_sizes():
    with pytest.raises(ConfigError, match="no vjepa2.1:small; .*vjepa2.1:base, vjepa2.1:large"):
        BACKBONES["vjepa2.1:small"]
