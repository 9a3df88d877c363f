"""Attentive probes, trained simultaneously for all learning rates, weight decays and folds.

Shape letters: g heads, n clips, b clips per batch, M queries, N tokens, C channels, K classes.
"""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from autox_video.automl.probing.samples import Samples, Scale, TooSlowError, scale_of
from autox_video.tasks.classification.attentive_head import pool

QUERIES = 4
STEPS = 200
BATCH = 256
RATES = (0.01, 0.03)
DECAYS = (0.01, 0.3)
_BETAS = 0.9, 0.98
_WARMUP = 0.1
_TIMED = 3  # steps after which the total time is estimated


@dataclass(frozen=True, slots=True)
class AttentiveHead:
    """The parameters of an AttentiveClipHead for raw backbone features."""

    query: Tensor
    """Queries (M, C)."""
    place: Tensor
    """Position biases (M, N)."""
    weight: Tensor
    """Weight of the linear layer, ((1 + M) C, K)."""
    bias: Tensor
    """Bias of the linear layer, (K,)."""

    def state(self) -> dict[str, Tensor]:
        """Return the state dict of the equivalent AttentiveClipHead."""
        fc = {"fc_cls.weight": self.weight.t().contiguous(), "fc_cls.bias": self.bias}
        return {"query": self.query, "place": self.place, **fc}

    def logits(self, tokens: Tensor) -> Tensor:
        """Return logits (b, K) for tokens (b, 1 + N, C)."""
        return pool(tokens.float(), self.query, self.place) @ self.weight + self.bias


@dataclass(frozen=True, slots=True)
class Heads:
    """The parameters of several attentive heads for standardised tokens."""

    query: Tensor
    """Queries (g, M, C)."""
    place: Tensor
    """Position biases (g, M, N)."""
    weight: Tensor
    """Weights of the linear layers, (g, (1 + M) C, K)."""
    bias: Tensor
    """Biases of the linear layers, (g, 1, K)."""
    scales: tuple[Scale, Scale]
    """Statistics for standardising the mean over the feature map and the means over cells."""

    def standardised(self, tokens: Tensor) -> Tensor:
        """Return standardised tokens (b, 1 + N, C)."""
        mean, cells = self.scales
        return torch.cat([mean.apply(tokens[:, :1]), cells.apply(tokens[:, 1:])], 1)

    def logits(self, tokens: Tensor) -> Tensor:
        """Return logits (g, b, K) for standardised tokens (b, 1 + N, C)."""
        cells = tokens[:, 1:]
        attention = torch.einsum("gmc,bnc->gbmn", self.query, cells) + self.place[:, None]
        found = torch.einsum("gbmn,bnc->gbmc", attention.softmax(-1), cells)
        mean = tokens[:, 0].expand(len(self.query), -1, -1)
        return torch.cat([mean, found.flatten(2)], 2) @ self.weight + self.bias

    def single(self, number: int) -> AttentiveHead:
        """Return the head with index `number`, modified to take raw tokens."""
        mean, cells = self.scales
        queries = self.query.shape[1]
        spread = torch.cat([mean.spread, cells.spread.repeat(queries)]).double()
        middle = torch.cat([mean.mean, cells.mean.repeat(queries)]).double()
        weight = self.weight[number].double() / spread[:, None]
        # Attention weights sum to 1, so shifting all tokens shifts the output by the same amount.
        bias = self.bias[number, 0].double() - middle @ weight
        query = self.query[number] / cells.spread
        return AttentiveHead(query, self.place[number], weight.float(), bias.float())


def fit_heads(
    samples: Samples,
    weights: Tensor,
    rates: Tensor,
    decays: Tensor,
    *,
    seed: int = 0,
    seconds: float = math.inf,
) -> Heads:
    """Train all heads on the same batches with AdamW, using one view of each clip per step.

    Args:
        samples: features and labels of the clips.
        weights: weight of each clip for each head (g, n); a weight of 0 excludes the clip.
        rates: (g,) learning rates.
        decays: AdamW weight decay for each head (g,).
        seed: seed for the initial weights and the batches.
        seconds: time limit.

    Raises:
        TooSlowError: training would exceed the time limit, judging by the first steps.
    """
    draw = torch.Generator().manual_seed(seed)
    heads = _start(samples, len(weights), draw)
    learnt = [heads.query, heads.place, heads.weight, heads.bias]
    moments = [(torch.zeros_like(t), torch.zeros_like(t)) for t in learnt]
    started = time.monotonic()
    for step in range(STEPS):
        clips = torch.randperm(len(samples), generator=draw)[:BATCH]
        views = torch.randint(samples.tokens.shape[1], (len(clips),), generator=draw)
        tokens = heads.standardised(samples.tokens[clips, views])
        shares = weights[:, clips] / weights[:, clips].sum(1, keepdim=True).clamp(min=1e-6)
        for tensor in learnt:
            tensor.requires_grad_(True)
        with torch.enable_grad():
            losses = samples.loss(heads.logits(tokens), samples.targets[clips])
            gradients = torch.autograd.grad((losses * shares).sum(), learnt)
        for tensor in learnt:
            tensor.requires_grad_(False)
        _step(learnt, gradients, moments, rates * _schedule(step), decays=decays, step=step)
        if step + 1 == _TIMED and (time.monotonic() - started) / _TIMED * STEPS > seconds:
            raise TooSlowError
    return heads


def _start(samples: Samples, heads: int, draw: torch.Generator) -> Heads:
    tokens, classes = samples.tokens, samples.targets.shape[1]
    cells, channels = tokens.shape[2] - 1, tokens.shape[3]
    scales = scale_of(tokens[:, :, 0]), scale_of(tokens[:, :, 1:])
    query = torch.randn(QUERIES, channels, generator=draw) * channels**-0.5
    make = scales[0].mean.new_zeros
    return Heads(
        query.to(tokens.device).repeat(heads, 1, 1),
        make(heads, QUERIES, cells),
        make(heads, (1 + QUERIES) * channels, classes),
        make(heads, 1, classes),
        scales,
    )


def windows(cells: int) -> Tensor:
    """Return position biases (M, N) that make each query attend to a soft time window.

    The cells are in time order, so a head can tell the beginning of a clip from the end. Queries
    that initially attend to all cells are slow to learn the order of events.
    """
    times = (torch.arange(cells) + 0.5) / cells
    middles = (torch.arange(QUERIES) + 0.5) / QUERIES
    return -2 * ((times - middles[:, None]) * QUERIES).square()


def _schedule(step: int) -> float:
    """Return the learning-rate factor of a step: linear warm-up, then cosine decay to zero."""
    rise = max(1, round(_WARMUP * STEPS))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (STEPS - rise)))


def _step(
    learnt: list[Tensor],
    gradients: tuple[Tensor, ...],
    moments: list[tuple[Tensor, Tensor]],
    rates: Tensor,
    *,
    decays: Tensor,
    step: int,
) -> None:
    """Take an AdamW step (Loshchilov & Hutter, ICLR 2019, algorithm 2) at each head's rate."""
    first, second = _BETAS
    rate, decay = rates[:, None, None], decays[:, None, None]
    for tensor, gradient, (mean, square) in zip(learnt, gradients, moments, strict=True):
        mean.lerp_(gradient, 1 - first)
        square.lerp_(gradient.square(), 1 - second)
        spread = (square / (1 - second ** (step + 1))).sqrt_().add_(1e-8)
        tensor.mul_(1 - rate * decay)
        tensor.sub_(rate * (mean / (1 - first ** (step + 1))) / spread)
