"""The classification head, whose loss and outputs are defined by the task."""

from collections.abc import Sequence

import torch
from mmaction.models.heads import I3DHead
from mmaction.registry import MODELS
from torch import Tensor

from autox_video.tasks.task import TASKS


@MODELS.register_module()
class ClipHead(I3DHead):
    """mmaction2's I3D head with a task's loss and outputs, without GPU synchronisation.

    Args:
        num_classes, in_channels: as in I3DHead.
        task: name of the task, a key of TASKS.
        class_clips: number of training clips of each class, for a class-balanced loss. In training,
            the log of each class's share of the clips is added to its logit (logit adjustment,
            Menon et al. 2021, section 5), so that predictions do not favour common classes. Tasks
            whose loss cannot be balanced ignore `class_clips`.
        options: further arguments of I3DHead.
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
        # A class without clips counts as half a clip.
        clips = torch.tensor(class_clips or [1] * num_classes, dtype=torch.float32).clamp(min=0.5)
        self.register_buffer("log_share", (clips / clips.sum()).log(), persistent=False)
        self.adjusts = class_clips is not None and self.task.balances_loss

    def loss_by_feat(self, cls_scores: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Return the loss of a batch, and for single-label tasks also the top-1 accuracy.

        Args:
            cls_scores: logits, (clips, classes).
            data_samples: one per clip; `gt_label` is a class index (1,) or a soft label (1,
                classes).
        """
        labels = torch.cat([sample.gt_label for sample in data_samples]).to(cls_scores.device)
        adjusted = cls_scores + self.log_share if self.adjusts else cls_scores
        losses = self.task.loss(adjusted, labels, smoothing=self.label_smooth_eps)
        if self.task.counts_right_clips:
            classes = labels if labels.ndim == 1 else labels.argmax(1)
            losses["top1_acc"] = (cls_scores.detach().argmax(1) == classes).float().mean()
        return losses

    def predict_by_feat(self, cls_scores: Tensor, data_samples: list) -> list:
        """Store each clip's output (classes,), combined over its views, as `pred_output`.

        Args:
            cls_scores: logits, (clips * views, classes).
            data_samples: one data sample per clip, in which the clip's output is stored.
        """
        outputs = self.task.outputs(cls_scores, len(cls_scores) // len(data_samples))
        for sample, output in zip(data_samples, outputs, strict=True):
            sample.pred_output = output
        return data_samples
