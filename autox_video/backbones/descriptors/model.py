"""Hand-crafted clip descriptors; a linear head on top is a strong baseline for small data sets.

Every second frame is described by colour histograms over a spatial pyramid (Lazebnik et al.,
"Beyond Bags of Features", CVPR 2006), histograms of oriented gradients (Dalal and Triggs, CVPR
2005) and uniform local binary patterns (Ojala et al., PAMI 2002). Gabor energies (Oliva and
Torralba, "Modeling the Shape of the Scene", IJCV 2001) are computed for brightness, two
opponent-colour channels and the difference from the next frame. Motion is described by histograms
of optical flow (Laptev et al., "Learning Realistic Human Actions from Movies", CVPR 2008), which is
computed with the Lucas-Kanade method. All histograms except the gradient histograms are
square-rooted (Hellinger kernel).

Shape letters: B clips, C channels, T frames or time steps, N frames in all clips, H and W height
and width, D entries of a descriptor.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

CLIPS_AT_A_TIME = 2
COLOUR_BINS, COLOUR_GRIDS = (8, 6, 6), (1, 2, 3)
"""Numbers of bins for luminance, blue-red and magenta-green; grid sizes of the spatial pyramid."""
DARKEST, BRIGHTEST, MOST_COLOUR = -1.8, 2.2, 1.2
"""Value range of the colour histograms, in pixel standard deviations."""
SCALES, ORIENTATIONS, GABOR_GRID = 3, 6, 4
GABOR_SIGMA = 1.5
"""Sigma of the Gabor envelope in px; the image size is halved from one scale to the next."""
SURROUND, LEAST_CONTRAST = 10.0, 0.2
"""Sigma of contrast normalisation in px, and the constant added to the local contrast."""
PATTERN_GRID, PATTERN_SCALES = 3, 2
LEAST_STEP = 0.03
"""Minimum difference for a neighbour to count as brighter, in pixel standard deviations."""
GRADIENT_BINS, GRADIENT_CELLS = 9, 4
LARGEST_SHARE, LEAST_NORM = 0.25, 0.01
"""Upper limit of normalised gradient histogram entries, and the constant added to the norm."""
FLOW_LEVELS, FLOW_BINS, FLOW_GRID = (2, 4), 8, 3
"""Downsampling factors for optical flow, number of direction bins, and grid size."""
FLOW_SIGMA, FLOW_NOISE, MOST_FLOW = 1.5, 1e-2, 3.0
"""Lucas-Kanade window sigma in px, regularisation constant, and maximum flow in px per frame."""

RING = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
"""Rows and columns of the eight neighbours in a 3x3 patch, clockwise from the top left."""
PATTERNS = 59
"""Number of uniform patterns (at most two changes around the ring), plus one for all others."""


@MODELS.register_module()
class ClipDescriptors(BaseModule):
    """A backbone without parameters that computes hand-crafted descriptors.

    The backbone maps clips (B, 3, T, H, W) to float32 features (B, 2980, T', 1, 1). T' is T / 2,
    rounded up, as each time step describes two frames. The constructor accepts the common backbone
    arguments but ignores them, because nothing is trained and everything is computed in float32.
    """

    def __init__(
        self,
        *,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        precision: str = "float32",
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("filters", gabor_filters(), persistent=False)
        self.register_buffer("numbers", pattern_numbers(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return clip descriptors; the class docstring gives the shapes."""
        # Process a few clips at a time, to fit into the CPU's cache or save GPU memory.
        parts = x.float().split(CLIPS_AT_A_TIME)
        threads = min(torch.get_num_threads(), len(parts)) if x.device.type == "cpu" else 1
        described = self._in_threads(parts, threads) if threads > 1 else map(self._described, parts)
        return torch.cat(list(described)).transpose(1, 2)[..., None, None]

    def _in_threads(self, parts: Sequence[Tensor], threads: int) -> list[Tensor]:
        """Process each part in one thread, since small operations gain little from more threads."""
        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(
                threads, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                return list(pool.map(self._described, parts))
        finally:
            torch.set_num_threads(before)  # the initializer also changed the default of new threads

    @torch.no_grad()
    def _described(self, clips: Tensor) -> Tensor:
        """Return the descriptors (B, T', C) of clips (B, 3, T, H, W)."""
        with torch.autocast(clips.device.type, enabled=False):
            return self._descriptors(clips)

    def _descriptors(self, clips: Tensor) -> Tensor:
        frames = clips.transpose(1, 2)
        first = frames[:, ::2].flatten(0, 1)
        grey = first.mean(1, keepdim=True)
        # The difference from the next frame; the last frame is repeated.
        after = torch.cat([frames[:, 1:], frames[:, -1:]], 1).mean(2, keepdim=True)
        change = after[:, ::2].flatten(0, 1) - grey
        images = (grey, *_opponents(first), change)
        of_frames = (
            colour_histograms(F.avg_pool2d(first, 2, ceil_mode=True)),
            *(gabor_energies(image, self.filters) for image in images),
            gradient_histograms(grey),
            pattern_histograms(grey, self.numbers),
        )
        still = torch.cat(of_frames, 1).unflatten(0, (len(clips), -1))
        return torch.cat([still, flow_histograms(frames.mean(2))], 2)


def colour_histograms(frames: Tensor) -> Tensor:
    """Return square-rooted colour histograms (N, D) over the grid cells of frames (N, 3, H, W)."""
    values = (frames.mean(1), *(colour[:, 0] for colour in _opponents(frames)))
    centres = [torch.linspace(DARKEST, BRIGHTEST, COLOUR_BINS[0])]
    for most, bins in zip((MOST_COLOUR, 0.7 * MOST_COLOUR), COLOUR_BINS[1:], strict=True):
        even = torch.linspace(-1, 1, bins)
        # Most colours have low saturation, so bins are narrower there.
        centres.append(most * even.abs() ** 1.5 * even.sign())
    pairs = zip(values, centres, strict=True)
    maps = torch.cat([_soft_bins(value, centre.to(value)) for value, centre in pairs], 1)
    return torch.cat([_cells(maps, side) for side in COLOUR_GRIDS], 1).sqrt()


def gabor_filters() -> Tensor:
    """Return an even and an odd Gabor filter (2 ORIENTATIONS, 1, K, K) for each orientation."""
    radius = int(2.5 * GABOR_SIGMA)
    side = torch.arange(-radius, radius + 1.0)
    down, along = torch.meshgrid(side, side, indexing="ij")
    filters = []
    for number in range(ORIENTATIONS):
        angle = number * math.pi / ORIENTATIONS
        across = along * math.cos(angle) + down * math.sin(angle)
        beside = down * math.cos(angle) - along * math.sin(angle)
        envelope = torch.exp(-(across**2 + (0.6 * beside) ** 2) / (2 * GABOR_SIGMA**2))
        phase = across * 2 * math.pi / (2.2 * GABOR_SIGMA)
        even = envelope * torch.cos(phase)
        even = even - envelope * (even.sum() / envelope.sum())
        odd = envelope * torch.sin(phase)
        filters += [even / even.abs().sum(), odd / odd.abs().sum()]
    return torch.stack(filters)[:, None]


def gabor_energies(grey: Tensor, filters: Tensor) -> Tensor:
    """Return the mean Gabor energies (N, D) of images (N, 1, H, W) per scale and grid cell."""
    centred = grey - _blurred(grey, SURROUND)
    image = centred / (_blurred(centred.square(), SURROUND).sqrt() + LEAST_CONTRAST)
    energies = []
    for scale in range(SCALES):
        if scale:
            image = F.avg_pool2d(image, 2, ceil_mode=True)
        padded = F.pad(image, (filters.shape[-1] // 2,) * 4, mode="replicate")
        even, odd = F.conv2d(padded, filters).unflatten(1, (-1, 2)).unbind(2)
        energies.append(_cells((even.square() + odd.square()).sqrt(), GABOR_GRID))
    return torch.cat(energies, 1)


def pattern_numbers() -> Tensor:
    """Return the bin (256,) of each 8-bit pattern: 0 to 57 if the pattern is uniform, else 58."""
    numbers, count = [], 0
    for code in range(256):
        bits = [code >> bit & 1 for bit in range(8)]
        is_uniform = sum(bits[bit] != bits[bit - 1] for bit in range(8)) <= 2
        numbers.append(count if is_uniform else PATTERNS - 1)
        count += is_uniform
    return torch.tensor(numbers)


def pattern_histograms(grey: Tensor, numbers: Tensor) -> Tensor:
    """Return square-rooted histograms (N, D) of local binary patterns in images (N, 1, H, W)."""
    shares = []
    for scale in range(PATTERN_SCALES):
        if scale:
            grey = F.avg_pool2d(grey, 2, ceil_mode=True)
        rows, columns = grey.shape[-2:]
        around = F.pad(grey, (1,) * 4, mode="replicate")[:, 0]
        middle = grey[:, 0] + LEAST_STEP
        codes = torch.zeros_like(middle, dtype=torch.long)
        for bit, (i, j) in enumerate(RING):
            codes |= (around[:, i : i + rows, j : j + columns] > middle).long() << bit
        shares.append(_shares(numbers[codes]))
    return torch.cat(shares, 1).sqrt()


def _shares(patterns: Tensor) -> Tensor:
    """Return the pattern frequencies (N, D) over the grid cells of pattern maps (N, H, W)."""
    count, rows, columns = patterns.shape
    cells = PATTERN_GRID**2
    sides = (torch.arange(side, device=patterns.device) for side in (rows, columns))
    down, along = (side * PATTERN_GRID // len(side) for side in sides)
    cell = down[:, None] * PATTERN_GRID + along
    frame = torch.arange(count, device=patterns.device)[:, None, None]
    bins = (frame * cells + cell) * PATTERNS + patterns
    counts = torch.bincount(bins.flatten(), minlength=count * cells * PATTERNS)
    counts = counts.view(count, cells, PATTERNS).float()
    return (counts / counts.sum(2, keepdim=True).clamp(min=1)).flatten(1)


def gradient_histograms(grey: Tensor) -> Tensor:
    """Return gradient histograms (N, D) of images (N, 1, H, W), normalised in 2x2 blocks."""
    along, down = _derivatives(grey)
    size = (along.square() + down.square()).sqrt()
    angle = torch.atan2(down, along).remainder(math.pi) / math.pi
    cells = F.adaptive_avg_pool2d(_directions(angle, size, GRADIENT_BINS), GRADIENT_CELLS)
    most = GRADIENT_CELLS - 1
    corners = [cells[:, :, i : i + most, j : j + most] for i in (0, 1) for j in (0, 1)]
    blocks = torch.cat(corners, 1)
    blocks = blocks / (blocks.norm(dim=1, keepdim=True) + LEAST_NORM)
    return blocks.clamp(max=LARGEST_SHARE).flatten(1)


def flow_histograms(grey: Tensor) -> Tensor:
    """Return square-rooted optical flow histograms (B, T', D) of greyscale videos (B, T, H, W)."""
    before, after = (grey[:, :-1], grey[:, 1:]) if grey.shape[1] > 1 else (grey, grey)
    histograms = []
    for level in FLOW_LEVELS:
        pair = (frames.flatten(0, 1)[:, None] for frames in (before, after))
        along, down, change = _flow(*(F.avg_pool2d(x, level, ceil_mode=True) for x in pair))
        size = (along.square() + down.square()).sqrt().clamp(max=MOST_FLOW)
        angle = torch.atan2(down, along).remainder(2 * math.pi) / (2 * math.pi)
        maps = torch.cat([_directions(angle, size, FLOW_BINS), change.abs()], 1)
        histograms.append(_cells(maps, FLOW_GRID))
    moves = torch.cat(histograms, 1).unflatten(0, (-1, before.shape[1]))
    # The last flow is repeated so that there is one per frame.
    moves = torch.cat([moves, moves[:, -1:]], 1)[:, : grey.shape[1]]
    moves = F.avg_pool1d(moves.transpose(1, 2), 2, ceil_mode=True).transpose(1, 2)
    return moves.clamp(min=0).sqrt()


def _flow(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return horizontal and vertical flow in px and the brightness change, each (N, 1, H, W)."""
    along, down = _derivatives((before + after) / 2)
    change = after - before
    pairs = ((along, along), (down, down), (along, down), (along, change), (down, change))
    xx, yy, xy, xt, yt = (_blurred(a * b, FLOW_SIGMA) for a, b in pairs)
    xx, yy = xx + FLOW_NOISE, yy + FLOW_NOISE
    area = xx * yy - xy * xy
    return (xy * yt - yy * xt) / area, (xy * xt - xx * yt) / area, change


def _opponents(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Return blue-red and magenta-green maps (N, 1, H, W) of RGB frames (N, 3, H, W)."""
    red, green, blue = frames.split(1, 1)
    return (red - blue) / 2, (2 * green - red - blue) / 4


def _soft_bins(values: Tensor, centres: Tensor) -> Tensor:
    """Return soft assignments (N, K, H, W) of values (N, H, W) to the two nearest of K centres."""
    values = values.clamp(float(centres[0]), float(centres[-1]))[:, None]
    left = torch.cat([centres[:1] - 1, centres[:-1]]).view(-1, 1, 1)
    right = torch.cat([centres[1:], centres[-1:] + 1]).view(-1, 1, 1)
    centres = centres.view(-1, 1, 1)
    rising, falling = (values - left) / (centres - left), (right - values) / (right - centres)
    return torch.minimum(rising, falling).clamp(0, 1)


def _directions(angle: Tensor, size: Tensor, bins: int) -> Tensor:
    """Distribute magnitudes softly over angle bins, (N, bins, H, W); angles range from 0 to 1."""
    centres = torch.arange(bins, device=angle.device).view(-1, 1, 1)
    far = (angle * bins - centres).abs()
    far = torch.minimum(far, bins - far)
    return (1 - far).clamp(min=0) * size


def _derivatives(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return horizontal and vertical central differences, with 0 at the image edges."""
    along = F.pad(image[..., 2:] - image[..., :-2], (1, 1, 0, 0)) / 2
    down = F.pad(image[..., 2:, :] - image[..., :-2, :], (0, 0, 1, 1)) / 2
    return along, down


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """Blur images (N, 1, H, W) with a Gaussian, replicating edge pixels; sigma is in px."""
    radius = int(2 * sigma)
    distance = torch.arange(-radius, radius + 1.0, device=image.device)
    weights = torch.exp(-distance.square() / (2 * sigma**2))
    weights = weights / weights.sum()
    image = F.pad(image, (radius, radius, 0, 0), mode="replicate")
    image = F.conv2d(image, weights.view(1, 1, 1, -1))
    image = F.pad(image, (0, 0, radius, radius), mode="replicate")
    return F.conv2d(image, weights.view(1, 1, -1, 1))


def _cells(maps: Tensor, side: int) -> Tensor:
    """Return the means (N, C side side) of maps (N, C, H, W) in each cell of a square grid."""
    return F.adaptive_avg_pool2d(maps, side).flatten(1)
