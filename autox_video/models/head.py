"""The classification head."""

import autox_video.mm_compat  # noqa: F401

import torch
from mmaction.models.heads import I3DHead
from mmaction.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class ClipHead(I3DHead):
    """mmaction2's I3D head, whose loss does not wait for a GPU to count correct clips."""

    def loss_by_feat(self, cls_scores: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Cross-entropy and top-1 accuracy of a batch.

        Args:
            cls_scores: logits, (clips, classes).
            data_samples: their labels, as `gt_label`.
        """
        labels = torch.cat([sample.gt_label for sample in data_samples]).to(cls_scores.device)
        loss = torch.nn.functional.cross_entropy(
            cls_scores, labels, label_smoothing=self.label_smooth_eps
        )
        top1 = (cls_scores.detach().argmax(1) == labels).float().mean()
        return {"loss_cls": loss, "top1_acc": top1}
