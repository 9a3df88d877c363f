"""The classification head: what it learns from and what it says of a clip is the task's."""

from collections.abc import Sequence

import torch
from mmaction.models.heads import I3DHead
from mmaction.registry import MODELS
from torch import Tensor

from autox_video.tasks.task import TASKS


@MODELS.register_module()
class ClipHead(I3DHead):
    """mmaction2's I3D head with the loss and the outputs of a task, none of which waits for a GPU.

    Args:
        num_classes, in_channels: as in I3DHead, which takes all others too.
        task: its name in TASKS.
        class_clips: training clips of each class, to learn all classes alike: the loss then is of
            logits to which the logarithm of each class's share is added (logit adjustment, Menon
            et al. 2021, section 5), so that what the model gives does not favour common classes.
            Not used by tasks whose loss cannot be balanced.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        task: str = "single_label",
        class_clips: Sequence[int] | None = None,
        **options,
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels, **options)
        self.task = TASKS[task]
        # A class without a clip counts as one of half a clip.
        clips = torch.tensor(class_clips or [1] * num_classes, dtype=torch.float32).clamp(min=0.5)
        self.register_buffer("log_share", (clips / clips.sum()).log(), persistent=False)
        self.adjusts = class_clips is not None and self.task.balances_loss

    def loss_by_feat(self, cls_scores: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Loss of a batch, and top-1 accuracy where the task counts right clips.

        Args:
            cls_scores: logits, (clips, classes).
            data_samples: their labels, as `gt_label`: (1) class indices, or (1, classes) shares.
        """
        labels = torch.cat([sample.gt_label for sample in data_samples]).to(cls_scores.device)
        adjusted = cls_scores + self.log_share if self.adjusts else cls_scores
        losses = self.task.loss(adjusted, labels, smoothing=self.label_smooth_eps)
        if self.task.counts_right_clips:
            classes = labels if labels.ndim == 1 else labels.argmax(1)
            losses["top1_acc"] = (cls_scores.detach().argmax(1) == classes).float().mean()
        return losses

    def predict_by_feat(self, cls_scores: Tensor, data_samples: list) -> list:
        """Put the task's outputs of clips, over all their views, into `pred_output` (classes).

        Args:
            cls_scores: logits, (clips * views, classes).
            data_samples: one for each clip.
        """
        outputs = self.task.outputs(cls_scores, len(cls_scores) // len(data_samples))
        for sample, output in zip(data_samples, outputs, strict=True):
            sample.pred_output = output
        return data_samples
