"""Adapt published weights to backbones from other libraries."""

from collections.abc import Mapping

from torch import Tensor, nn

from autox_video.backbones.libraries.library_backbone import NET
from autox_video.backbones.lora import is_adapter, merged, published_name
from autox_video.core.errors import CheckpointError

State = dict[str, Tensor]
NAMED_MISFITS = 3
_COUNTER = "num_batches_tracked"
"""Name of the batch norm buffers that only count steps and are missing from some files."""


def fitted(model: nn.Module, state: Mapping[str, Tensor]) -> State:
    """Return the tensors of a file under the tensor names of a recogniser.

    If the file contains LoRA adapters, they are merged into the weights. The recogniser's own
    adapters, if any, are not in the result and keep their initialisation.

    Args:
        model: a recogniser whose backbone is a LibraryBackbone.
        state: the file's tensors, under the library's or a recogniser's names.

    Raises:
        CheckpointError: a tensor of the network is missing from the file or has a different shape.
    """
    prefix, state = f"backbone.{NET}", merged(state)
    if not any(name.startswith(prefix) for name in state):
        state = {f"{prefix}{n}": t for n, t in model.backbone.own_names(state).items()}
    own = {n: t for n, t in model.state_dict().items() if not is_adapter(n)}
    wanted = {published_name(name): tensor for name, tensor in own.items()}
    names = [n for n in wanted if n.startswith(prefix) and not n.endswith(_COUNTER)]
    wrong = [n for n in names if n not in state or state[n].shape != wanted[n].shape]
    if wrong:
        details = "; ".join(
            f"{name.removeprefix(prefix)}: {_shape(state, name)} in the file, "
            f"{_shape(wanted, name)} in the model"
            for name in wrong[:NAMED_MISFITS]
        )
        raise CheckpointError(
            f"{len(wrong)} of the model's {len(names)} tensors are not in the file or have "
            f"another shape ({details}). Use weights of the same model, or set backbone to the "
            "model of the weights."
        )
    ours = {published_name(name): name for name in own}
    return {ours.get(name, name): tensor for name, tensor in state.items()}


def _shape(state: Mapping[str, Tensor], name: str) -> str:
    return "x".join(map(str, state[name].shape)) or "1" if name in state else "none"
