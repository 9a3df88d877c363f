"""Linear probes: logistic regression on mean features, multinomial or per class (multi-label).

The objective is convex. L-BFGS minimises the objective for all folds at once, one weight decay
after another.

Shape letters: g heads, n clips, S samples (views of clips), C channels, K classes.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autox_video.automl.probing.samples import Samples, Scale, TooSlowError, scale_of

DECAYS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Weight decays in decreasing order, since each solution is a good starting point for the next."""

MOST_STEPS = 60
USUAL_STEPS = 30
"""Typical number of optimisation steps per weight decay, for estimating the total time."""
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A linear head on raw backbone features: logits = features @ weight + bias."""

    weight: Tensor
    """Weight (C, K) float32."""
    bias: Tensor
    """Bias (K,) float32."""

    def state(self) -> dict[str, Tensor]:
        """Return the state dict of the equivalent ClipHead."""
        return {"fc_cls.weight": self.weight.t().contiguous(), "fc_cls.bias": self.bias}

    def logits(self, tokens: Tensor) -> Tensor:
        """Return logits (B, K) for tokens (B, 1 + N, C); only the first token of a view is used."""
        return tokens[:, 0].float() @ self.weight + self.bias


def fit_path(
    samples: Samples,
    weights: Tensor,
    decays: Sequence[float],
    visit: Callable[[int, Tensor, Tensor], None],
    *,
    seconds: float = math.inf,
) -> Scale:
    """Fit a head for each row of `weights` and each weight decay, and pass the heads to `visit`.

    Args:
        samples: features and labels of the clips; each view counts as a sample.
        weights: weight of each clip for each head (g, n); a weight of 0 excludes the clip.
        decays: weight decays in decreasing order; each adds decay / 2 times the sum of squared
            weights to the mean loss.
        visit: called with the index of the weight decay, and the weights (g, C, K) and biases (g,
            K) for standardised features; the tensors are reused after the call.
        seconds: time limit.

    Returns:
        The statistics used to standardise the features.

    Raises:
        TooSlowError: fitting would exceed the time limit, judging by the first step.
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
    """Project samples (S, C) onto a basis of their span, which makes fitting faster if S < C.

    The optimal weights lie in the span of the samples. Return the samples (S, R) and a function
    that maps weights (g, R, K) back to (g, C, K).
    """
    if len(features) >= features.shape[1]:
        return features, lambda weight: weight
    basis, upper = torch.linalg.qr(features.t())
    return upper.t().contiguous(), lambda weight: basis @ weight


def fit_linear(samples: Samples, weights: Tensor, decay: float) -> LinearHead:
    """Fit a head for raw features on all clips, weighted by `weights` (n,)."""
    last: dict[str, Tensor] = {}

    def keep(_: int, weight: Tensor, bias: Tensor) -> None:
        last.update(weight=weight[0].clone(), bias=bias[0].clone())

    path = [each for each in DECAYS if each > decay] + [decay]
    scale = fit_path(samples, weights[None], path, keep)
    return folded(last["weight"], last["bias"], scale)


def folded(weight: Tensor, bias: Tensor, scale: Scale) -> LinearHead:
    """Return a head for raw features, given a head for standardised features."""
    weight = weight.double() / scale.spread.double()[:, None]
    bias = bias.double() - scale.mean.double() @ weight
    return LinearHead(weight.float(), bias.float())


def _seconds_of(objective: Callable[[], Tensor]) -> float:
    """Return the approximate time of an optimisation step in seconds."""
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
