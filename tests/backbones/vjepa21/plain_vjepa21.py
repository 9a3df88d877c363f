"""V-JEPA 2.1 in its published layout, and its forward pass written out plainly.

The layout and the formulas are those of facebookresearch/vjepa2 (app/vjepa_2_1/models and
src/hub/backbones.py).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

WIDTH, DEPTH, HEADS = 36, 3, 2
TINY = {"width": WIDTH, "depth": DEPTH, "heads": HEADS, "mlp_ratio": 2.0}
HIDDEN = 2 * WIDTH


def published_state(*, depth: int = DEPTH, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of an encoder, under the published names."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        scale = 0.2 if len(shape) == 1 else math.prod(shape[1:]) ** -0.5
        return scale * torch.randn(shape, generator=generator)

    def layer(name: str, *shape: int) -> dict[str, Tensor]:
        return {f"{name}.weight": drawn(*shape), f"{name}.bias": drawn(shape[0])}

    state = {name: drawn(1, 1, WIDTH) for name in ("img_mod_embed", "video_mod_embed")}
    state |= layer("patch_embed.proj", WIDTH, 3, 2, 16, 16)
    state |= layer("patch_embed_img.proj", WIDTH, 3, 1, 16, 16)
    for number in range(depth):
        state |= layer(f"blocks.{number}.norm1", WIDTH)
        state |= layer(f"blocks.{number}.attn.qkv", 3 * WIDTH, WIDTH)
        state |= layer(f"blocks.{number}.attn.proj", WIDTH, WIDTH)
        state |= layer(f"blocks.{number}.norm2", WIDTH)
        state |= layer(f"blocks.{number}.mlp.fc1", HIDDEN, WIDTH)
        state |= layer(f"blocks.{number}.mlp.fc2", WIDTH, HIDDEN)
    for level in range(4):
        state |= layer(f"norms_block.{level}", WIDTH)
    return {f"module.backbone.{name}": tensor for name, tensor in state.items()}


def checkpoint(key: str, **options: int) -> dict:
    """The content of a published file: training state, and the encoder to use under `key`."""
    other = published_state(seed=5)
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}}}
    return {
        "encoder": other,
        "predictor": {"module.backbone.mask_tokens.0": torch.ones(1, 1, 8)},
        "opt": {**optimizer, "param_groups": [{"lr": 1e-4, "params": [0]}]},
        "scaler": {"scale": 65536.0},
        key: published_state(**options),
        **{"epoch": 4, "loss": 0.5, "batch_size": 8, "world_size": 2, "lr": 1e-4},
    }


def plain_features(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The features (B, C, T', H', W') of clips (B, 3, T, H, W)."""
    state = {name.removeprefix("module.backbone."): t for name, t in state.items()}

    def linear(name: str, y: Tensor) -> Tensor:
        return functional.linear(y, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name: str, y: Tensor) -> Tensor:
        shape = (WIDTH,)
        return functional.layer_norm(y, shape, state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    first = (state["patch_embed.proj.weight"], state["patch_embed.proj.bias"])
    maps = functional.conv3d(x, *first, stride=(2, 16, 16))
    grid = maps.shape[2:]
    y = maps.flatten(2).transpose(1, 2) + state["video_mod_embed"]
    for number in range(DEPTH):
        block = f"blocks.{number}"
        qkv = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", y))
        q, k, v = qkv.unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        q, k = turned(q, grid), turned(k, grid)
        weights = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1)
        y = y + linear(f"{block}.attn.proj", (weights @ v).transpose(1, 2).flatten(2))
        hidden = functional.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", y)))
        y = y + linear(f"{block}.mlp.fc2", hidden)
    return norm("norms_block.3", y).transpose(1, 2).unflatten(2, grid)


def turned(x: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Queries or keys (B, h, L, D), each pair of channels turned as a complex number."""
    pairs = x.shape[-1] // 3 // 2
    x = x.clone()
    for token in range(x.shape[2]):
        step, place = divmod(token, grid[1] * grid[2])
        row, column = divmod(place, grid[2])
        positions = (step, row * 15 / (grid[1] - 1), column * 15 / (grid[2] - 1))
        for axis, position in enumerate(positions):
            for pair in range(pairs):
                first = 2 * (axis * pairs + pair)
                angle = position * 10_000 ** (-pair / pairs)
                numbers = torch.view_as_complex(x[:, :, token, first : first + 2].contiguous())
                numbers = numbers * complex(math.cos(angle), math.sin(angle))
                x[:, :, token, first : first + 2] = torch.view_as_real(numbers)
    return x
