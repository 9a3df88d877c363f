"""A temporal head: class probabilities of the steps of a recording, from the features of all steps.

The head is a multi-stage temporal convolutional network (MS-TCN, Abu Farha and Gall, CVPR 2019).
The first stage reads the features; each further stage refines the probabilities of the stage before
it, which removes short errors and moves boundaries.

Shape letters: B recordings, C channels of the features, N steps, K classes, L logits: K for classes
that can overlap, otherwise K + 1, of which the last is the background.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class DilatedLayers(nn.Module):
    """Residual layers over time with dilations 1, 2, 4, ... (MS-TCN, section 3.1).

    Args:
        inputs: number of input channels.
        logits: number of outputs L.
        width: number of channels between the layers.
        layers: number of layers; a step sees 2 ** layers - 1 steps before and after it.
        dropout: dropout probability in each layer.
    """

    def __init__(
        self, inputs: int, logits: int, *, width: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.enter = nn.Conv1d(inputs, width, 1)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, width, 3, padding=2**layer, dilation=2**layer),
                nn.ReLU(),
                nn.Conv1d(width, width, 1),
                nn.Dropout(dropout),
            )
            for layer in range(layers)
        )
        self.leave = nn.Conv1d(width, logits, 1)

    def forward(self, x: Tensor, is_step: Tensor) -> Tensor:
        """Return logits (B, L, N) from inputs (B, inputs, N); see `TemporalHead.forward`."""
        x = self.enter(x) * is_step
        for layer in self.layers:
            x = (x + layer(x)) * is_step
        return self.leave(x) * is_step


class TemporalHead(nn.Module):
    """A multi-stage temporal convolutional network.

    Args:
        channels: number of channels C of the features.
        classes: number of classes K, without background.
        exclusive: whether at most one class occurs in a step; otherwise, classes can overlap.
        layers: number of layers of a stage.
        stages: number of stages, 1 or more.
        width: number of channels in a stage.
        dropout: dropout probability; also of the channels of the features.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        exclusive: bool,
        layers: int = 8,
        stages: int = 3,
        width: int = 48,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        options = {"width": width, "layers": layers, "dropout": dropout}
        self.arguments = {"channels": channels, "classes": classes, "exclusive": exclusive}
        self.arguments |= {**options, "stages": stages}
        """The arguments from which the same network can be built, as plain values."""
        self.exclusive = exclusive
        logits = classes + exclusive
        self.register_buffer("mean", torch.zeros(channels, 1))
        self.register_buffer("deviation", torch.ones(channels, 1))
        self.register_buffer("log_weights", torch.zeros(logits, 1))
        self.channel_dropout = nn.Dropout1d(dropout)
        self.first = DilatedLayers(channels, logits, **options)
        self.refinements = nn.ModuleList(
            DilatedLayers(logits, logits, **options) for _ in range(stages - 1)
        )

    def unweighted(self, logits: Tensor) -> Tensor:
        """Return logits (B, L, N) as if the loss had not been weighted by class.

        A loss weighted by w is lowest at probabilities proportional to w times the true ones.
        """
        return logits - self.log_weights

    def standardise(self, features: list[Tensor]) -> None:
        """Set the mean and deviation of the channels to those of the steps of features (C, N)."""
        steps = sum(part.shape[1] for part in features)
        self.mean.copy_(sum(part.sum(dim=1, keepdim=True) for part in features) / steps)
        squares = sum((part - self.mean).square().sum(dim=1, keepdim=True) for part in features)
        deviation = (squares / steps).sqrt()
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def forward(self, features: Tensor, is_step: Tensor) -> list[Tensor]:
        """Return the logits (B, L, N) of each stage.

        Args:
            features: (B, C, N), recordings padded at the end to the same length.
            is_step: (B, 1, N), 1 for steps and 0 for padding.
        """
        x = self.channel_dropout((features - self.mean) / self.deviation)
        logits = [self.first(x, is_step)]
        for stage in self.refinements:
            logits.append(stage(self.activated(logits[-1]) * is_step, is_step))
        return logits

    def activated(self, logits: Tensor) -> Tensor:
        """Return probabilities (B, L, N) from logits (B, L, N)."""
        return logits.softmax(dim=1) if self.exclusive else logits.sigmoid()

    @torch.inference_mode()
    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probabilities (N, K) of each step, float32, from features (N, C).

        The weights of the classes in training are undone, so that common classes are as probable
        as they are in the recordings. If classes exclude each other, 1 minus their sum is the
        probability of the background.
        """
        self.eval()
        x = torch.as_tensor(features, dtype=torch.float32, device=self.mean.device).T[None]
        if not x.shape[2]:
            return np.zeros((0, self.first.leave.out_channels - self.exclusive), np.float32)
        logits = self.unweighted(self(x, torch.ones_like(x[:, :1]))[-1])
        found = self.activated(logits)[0].T
        return found[:, : found.shape[1] - self.exclusive].cpu().numpy()
