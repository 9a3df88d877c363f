"""The classification head."""

import math
from collections.abc import Sequence

import torch
from mmaction.models.heads import I3DHead
from mmaction.registry import MODELS
from torch import Tensor
from torch.nn import functional as F


@MODELS.register_module()
class ClipHead(I3DHead):
    """mmaction2's I3D head, whose loss does not wait for a GPU to count correct clips.

    Args:
        num_classes, in_channels: as in I3DHead, which takes all others too.
        multi_label: whether a clip may be of several classes: each then has a probability of its
            own, by a sigmoid, and binary cross-entropy is the loss.
        class_clips: training clips of each class, to learn all classes alike: the loss then is of
            logits to which the logarithm of each class's share is added (logit adjustment, Menon
            et al. 2021, section 5), so that what the model gives does not favour common classes.
            Not used with `multi_label`.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        multi_label: bool = False,
        class_clips: Sequence[int] | None = None,
        **options,
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels, **options)
        self.multi_label = multi_label
        # A class without a clip counts as one of half a clip.
        clips = torch.tensor(class_clips or [1] * num_classes, dtype=torch.float32).clamp(min=0.5)
        self.register_buffer("log_share", (clips / clips.sum()).log(), persistent=False)
        self.adjusts = class_clips is not None

    def loss_by_feat(self, cls_scores: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Loss of a batch, and top-1 accuracy where a clip has one class.

        Args:
            cls_scores: logits, (clips, classes).
            data_samples: their labels, as `gt_label`: (1) class indices, or (1, classes) shares.
        """
        labels = torch.cat([sample.gt_label for sample in data_samples]).to(cls_scores.device)
        if self.multi_label:
            targets = labels * (1 - self.label_smooth_eps) + self.label_smooth_eps / 2
            return {"loss_cls": F.binary_cross_entropy_with_logits(cls_scores, targets)}
        adjusted = cls_scores + self.log_share if self.adjusts else cls_scores
        loss = F.cross_entropy(adjusted, labels, label_smoothing=self.label_smooth_eps)
        classes = labels if labels.ndim == 1 else labels.argmax(1)
        top1 = (cls_scores.detach().argmax(1) == classes).float().mean()
        return {"loss_cls": loss, "top1_acc": top1}

    def predict_by_feat(self, cls_scores: Tensor, data_samples: list) -> list:
        """Predictions of clips, averaged over their views.

        Where a clip has one class they have `pred_logit` beside `pred_score`: the logarithm of the
        mean probability, which stays exact where the probability itself is rounded to 0 or 1.

        Args:
            cls_scores: logits, (clips * views, classes).
            data_samples: one for each clip.
        """
        samples = super().predict_by_feat(cls_scores, data_samples)
        if not self.multi_label:
            views = len(cls_scores) // len(samples)
            logs = cls_scores.float().log_softmax(1).unflatten(0, (-1, views))
            for sample, log in zip(samples, logs.logsumexp(1) - math.log(views), strict=True):
                sample.pred_logit = log
        return samples

    def average_clip(self, cls_scores: Tensor, num_segs: int = 1) -> Tensor:
        """Probabilities (clips, classes), averaged over the `num_segs` views of each clip."""
        if not self.multi_label:
            return super().average_clip(cls_scores, num_segs)
        return cls_scores.sigmoid().unflatten(0, (-1, num_segs)).mean(dim=1)
