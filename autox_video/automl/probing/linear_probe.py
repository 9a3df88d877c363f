"""Linear heads on mean features: multinomial (or, per class, logistic) regression.

The objective of each is convex; L-BFGS finds its minimum for all folds at once, decay by decay.

Shape letters: g heads, S samples (views of clips), C channels, K classes.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autox_video.automl.probing.samples import Samples, Scale, TooSlowError, scale_of

DECAYS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""The strongest first: each minimum is a good start for the next."""

MOST_STEPS = 60
USUAL_STEPS = 30
"""Of one decay, by which it is reckoned how long all take."""
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Logits = features @ weight + bias, on features as the backbone gives them."""

    weight: Tensor
    """(C, K) float32."""
    bias: Tensor
    """(K,) float32."""

    def state(self) -> dict[str, Tensor]:
        """The tensors of a ClipHead that computes the same."""
        return {"fc_cls.weight": self.weight.t().contiguous(), "fc_cls.bias": self.bias}

    def logits(self, tokens: Tensor) -> Tensor:
        """(B, 1 + N, C) → (B, K)."""
        return tokens[:, 0].float() @ self.weight + self.bias


def fit_path(
    samples: Samples,
    weights: Tensor,
    decays: Sequence[float],
    visit: Callable[[int, Tensor, Tensor], None],
    *,
    seconds: float = math.inf,
) -> Scale:
    """Fit one head for each row of `weights` and each decay, and show each.

    Args:
        samples: of which each view counts as a sample of its own.
        weights: (g, n) of the clips; 0 leaves a clip out.
        decays: of the squared weights, over 2, beside the mean loss; falling.
        visit: told the number of the decay, weight (g, C, K) and bias (g, K) on standardised
            features, which change afterwards.
        seconds: what it may take.

    Returns:
        The scale by which features were standardised.

    Raises:
        TooSlowError: it would take longer, as the first step shows.
    """
    scale = scale_of(samples.mean_features)
    views = samples.tokens.shape[1]
    features, span = _in_their_span(scale.apply(samples.mean_features).flatten(0, 1))
    targets = samples.targets.repeat_interleave(views, 0)
    shares = weights.repeat_interleave(views, 1)
    shares = shares / shares.sum(1, keepdim=True).clamp(min=1e-6)
    heads, classes = len(weights), targets.shape[1]
    weight = features.new_zeros(heads, features.shape[1], classes, requires_grad=True)
    bias = features.new_zeros(heads, 1, classes, requires_grad=True)
    for number, decay in enumerate(decays):

        def objective(decay: float = decay) -> Tensor:
            losses = samples.loss(features @ weight + bias, targets)
            return (losses * shares).sum() + 0.5 * decay * weight.square().sum()

        if number == 0 and _seconds_of(objective) * USUAL_STEPS * len(decays) > seconds:
            raise TooSlowError
        _minimise([weight, bias], objective)
        visit(number, span(weight.detach()), bias.detach()[:, 0])
    return scale


def _in_their_span(features: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Samples (S, C) by coordinates in their span, where that is the smaller space.

    A minimum has no part outside of the span. Gives (S, R), and what takes weights (g, R, K) back.
    """
    if len(features) >= features.shape[1]:
        return features, lambda weight: weight
    basis, upper = torch.linalg.qr(features.t())
    return upper.t().contiguous(), lambda weight: basis @ weight


def fit_linear(samples: Samples, weights: Tensor, decay: float) -> LinearHead:
    """One head on all clips, weighted by (n,) `weights`, for features as they are."""
    last: dict[str, Tensor] = {}

    def keep(_: int, weight: Tensor, bias: Tensor) -> None:
        last.update(weight=weight[0].clone(), bias=bias[0].clone())

    path = [each for each in DECAYS if each > decay] + [decay]
    scale = fit_path(samples, weights[None], path, keep)
    return folded(last["weight"], last["bias"], scale)


def folded(weight: Tensor, bias: Tensor, scale: Scale) -> LinearHead:
    """The head for features as they are of one, (C, K) and (K), for standardised ones."""
    weight = weight.double() / scale.spread.double()[:, None]
    bias = bias.double() - scale.mean.double() @ weight
    return LinearHead(weight.float(), bias.float())


def _seconds_of(objective: Callable[[], Tensor]) -> float:
    """What a step takes, about."""
    started = time.monotonic()
    with torch.enable_grad():
        objective().backward()
    return time.monotonic() - started


def _minimise(parameters: list[Tensor], objective: Callable[[], Tensor]) -> None:
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=MOST_STEPS,
        tolerance_grad=_TOLERANCE,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = objective()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(closure)
