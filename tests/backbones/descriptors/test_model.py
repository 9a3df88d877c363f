"""Fixed descriptors of clips of which it is known what they show."""

import math

import pytest
import torch

from autox_video.backbones.descriptors import model as descriptors
from autox_video.backbones.descriptors.model import (
    COLOUR_BINS,
    FLOW_BINS,
    FLOW_GRID,
    FLOW_LEVELS,
    GABOR_GRID,
    GRADIENT_BINS,
    LARGEST_SHARE,
    ORIENTATIONS,
    PATTERN_GRID,
    PATTERN_SCALES,
    PATTERNS,
    RING,
    SCALES,
    ClipDescriptors,
    colour_histograms,
    flow_histograms,
    gabor_energies,
    gabor_filters,
    gradient_histograms,
    pattern_histograms,
    pattern_numbers,
)
from autox_video.config.choices import BACKBONES

SPEC = BACKBONES["descriptors"]


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def grating(degrees, wavelength, side=64):
    """(1, 1, H, W): waves that change most along a direction, from columns towards rows."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angle = math.radians(degrees)
    across = columns * math.cos(angle) + rows * math.sin(angle)
    return torch.sin(2 * math.pi * across / wavelength)[None, None]


def moving(speed, *, frames, side):
    """(1, T, H, W): waves in both directions that move at (columns, rows) px a frame."""
    times, rows, columns = torch.meshgrid(
        *(torch.arange(float(n)) for n in (frames, side, side)), indexing="ij"
    )
    along, down = columns - speed[0] * times, rows - speed[1] * times
    return (torch.sin(0.31 * along) + torch.cos(0.27 * down))[None]


@pytest.mark.parametrize(("frames", "steps"), [(1, 1), (2, 1), (5, 3), (8, 4)])
@pytest.mark.parametrize("size", [(36, 44), (112, 112), (16, 16)])
def test_shapes(frames, steps, size):
    model = ClipDescriptors()
    found = model(noise(2, 3, frames, *size))
    assert found.shape == (2, SPEC.channels, steps, 1, 1) and found.dtype == torch.float32
    assert found.isfinite().all()
    assert not list(model.parameters()) and not model.state_dict()


def test_a_clip_does_not_depend_on_its_batch():
    clips = noise(5, 3, 4, 40, 40)
    model = ClipDescriptors()
    torch.testing.assert_close(model(clips)[3:4], model(clips[3:4]), rtol=1e-4, atol=1e-5)


def test_steps_are_of_two_frames_each():
    clips = noise(1, 3, 6, 40, 40)
    before = ClipDescriptors()(clips)
    clips[:, :, 5] = 0
    changed = (ClipDescriptors()(clips) != before).any(1).flatten()
    assert changed.tolist() == [False, False, True]


def test_colours_are_shared_out_among_bins():
    shares = colour_histograms(noise(2, 3, 30, 30)).square()
    cells = 1 + 4 + 9
    assert shares.sum(1).tolist() == pytest.approx([len(COLOUR_BINS) * cells] * 2, rel=1e-4)
    red = torch.zeros(1, 3, 30, 30)
    red[:, 0, :, 15:] = 2.0  # on the right
    whole, right = colour_histograms(red)[0, :20], colour_histograms(red.flip(-1))[0]
    assert torch.allclose(whole, right[:20])  # of the whole frame: the side does not matter
    assert not torch.allclose(colour_histograms(red)[0, 20:], right[20:])


@pytest.mark.parametrize("number", range(ORIENTATIONS))
@pytest.mark.parametrize("scale", range(SCALES))
def test_gabor_energies_tell_directions_and_scales(number, scale):
    wavelength = 2.2 * descriptors.GABOR_SIGMA * 2**scale
    image = grating(180 * number / ORIENTATIONS, wavelength)
    found = gabor_energies(image, gabor_filters())
    energies = found.view(SCALES, ORIENTATIONS, GABOR_GRID**2).mean(2)
    assert divmod(int(energies.argmax()), ORIENTATIONS) == (scale, number)


def test_gabor_filters_do_not_see_plain_ground():
    assert gabor_filters().sum((1, 2, 3)).abs().max() < 1e-6
    plain = gabor_energies(torch.full((1, 1, 64, 64), 1.7), gabor_filters())
    assert plain.abs().max() < 1e-3


@pytest.mark.parametrize("number", range(GRADIENT_BINS))
def test_gradients_tell_the_direction_of_edges(number):
    image = grating(180 * number / GRADIENT_BINS, 12.0)
    blocks = gradient_histograms(image).view(4, GRADIENT_BINS, -1)
    assert (blocks.argmax(1) == number).all()
    assert blocks.max() <= LARGEST_SHARE


@pytest.mark.parametrize("number", range(FLOW_BINS))
def test_flow_tells_where_things_move(number):
    angle = 2 * math.pi * number / FLOW_BINS
    found = flow_histograms(moving((math.cos(angle), math.sin(angle)), frames=4, side=96))
    maps = found.view(1, 2, len(FLOW_LEVELS), FLOW_BINS + 1, FLOW_GRID**2)
    assert (maps[:, :, :, :FLOW_BINS].sum(-1).argmax(-1) == number).all()


@pytest.mark.parametrize("speed", [(0.6, 0.0), (0.0, -0.6), (-0.5, 0.4)])
def test_flow_tells_how_fast_things_move(speed):
    clip = 4 * moving(speed, frames=2, side=48)  # far above the noise
    along, down, _ = descriptors._flow(clip[:, :1], clip[:, 1:])
    for found, expected in zip((along, down), speed, strict=True):
        assert float(found[..., 8:-8, 8:-8].median()) == pytest.approx(expected, abs=0.06)


def test_patterns_are_uniform_ones_and_a_rest():
    numbers = pattern_numbers()
    assert numbers.bincount().tolist() == [1] * (PATTERNS - 1) + [256 - PATTERNS + 1]
    assert numbers[0] == 0 and numbers[0b01010101] == PATTERNS - 1


def test_patterns_count_what_is_around_each_pixel():
    rising = torch.arange(30.0).expand(1, 1, 30, 30)
    shares = pattern_histograms(rising, pattern_numbers()).square()
    shares = shares.view(PATTERN_SCALES, PATTERN_GRID**2, PATTERNS)
    assert torch.allclose(shares.sum(2), torch.ones(()))
    brighter = sum(1 << place for place, (_, j) in enumerate(RING) if j == 2)
    assert shares[0, 4, pattern_numbers()[brighter]] == 1.0  # in the middle cell no edge
    assert torch.equal(
        pattern_histograms(5 * rising + 1, pattern_numbers()).square(), shares.view(1, -1)
    )


def test_what_stands_still_has_no_flow():
    still = noise(1, 1, 48, 48).expand(1, 4, 48, 48)
    assert flow_histograms(still).abs().max() == 0
