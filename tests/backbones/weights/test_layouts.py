import numpy as np
import pytest
import torch
from mmaction.models.backbones.swin import WindowAttention3D
from timm.models.swin_transformer import SwinTransformer as TimmSwin
from torchvision.models.swin_transformer import (
    PatchMergingV2,
    ShiftedWindowAttention,
    SwinTransformer,
    SwinTransformerBlockV2,
)
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d, SwinTransformer3d

from autox_video.backbones.video_swin.model import VideoSwin
from autox_video.backbones.weights.layouts import (
    in_mmaction2_naming,
    inflated_patches,
    named_weights,
    resized_table,
    window_of,
)
from autox_video.core.errors import CheckpointError

ARCH = {"embed_dims": 12, "depths": (2, 2, 2), "num_heads": (2, 4, 4)}
USUAL = (8, 7, 7)


def video_state():
    """Names of a recogniser of ours, with its head."""
    backbone = VideoSwin(ARCH, window_size=(4, 3, 3)).state_dict()
    state = {f"backbone.{name}": tensor for name, tensor in backbone.items()}
    head = {"cls_head.fc_cls.weight": torch.zeros(9, 48), "cls_head.fc_cls.bias": torch.zeros(9)}
    return {**state, **head}


def names_but_computed(state):
    return {n for n in state if "relative_position_index" not in n and "attn_mask" not in n}


def torchvision_images():
    return SwinTransformer([4, 4], 12, [2, 2, 2], [2, 4, 4], [3, 3], num_classes=9).state_dict()


def torchvision_video():
    model = SwinTransformer3d([2, 4, 4], 12, [2, 2, 2], [2, 4, 4], [4, 3, 3], num_classes=9)
    return model.state_dict()


def timm_images():
    sizes = {"img_size": 48, "window_size": 3, "embed_dim": 12, "num_classes": 9}
    return TimmSwin(depths=ARCH["depths"], num_heads=ARCH["num_heads"], **sizes).state_dict()


def official_images():
    """As timm's, but patches are merged at the end of a stage, and the head is plain."""
    renamed = {}
    for name, tensor in timm_images().items():
        name = name.replace("layers.1.downsample", "layers.0.downsample")
        name = name.replace("layers.2.downsample", "layers.1.downsample")
        renamed[name.replace("head.fc.", "head.")] = tensor
    mask = torch.full((16, 9, 9), -100.0)
    index = ShiftedWindowAttention(12, [3, 3], [0, 0], 2).relative_position_index.view(9, 9)
    for block in (0, 1):
        renamed[f"layers.0.blocks.{block}.attn.relative_position_index"] = index
    return {**renamed, "layers.0.blocks.1.attn_mask": mask}


def bare_video():
    renamed = {name.replace("cls_head.fc_cls", "head"): t for name, t in video_state().items()}
    return {name.removeprefix("backbone."): t for name, t in renamed.items()}


def official_video():
    return {n.replace("backbone.norm2.", "backbone.norm."): t for n, t in video_state().items()}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (video_state, "mmaction2"),
        (official_video, "official Video Swin"),
        (bare_video, "bare backbone"),
        (torchvision_video, "torchvision"),
        (official_images, "official image Swin"),
        (timm_images, "timm image Swin"),
        (torchvision_images, "torchvision image Swin"),
    ],
)
def test_every_layout_gets_our_names_and_shapes(make, expected):
    state, layout = in_mmaction2_naming(make())
    assert layout == expected
    ours = video_state()
    assert names_but_computed(state) == names_but_computed(ours)
    for name in names_but_computed(ours):
        # Without the time that images do not have.
        if not name.endswith(("bias_table", "patch_embed.proj.weight")):
            assert state[name].shape == ours[name].shape, name


def test_timms_merging_of_patches_goes_to_the_stage_before():
    state = timm_images()
    ours, _ = in_mmaction2_naming(state)
    for stage in (1, 2):
        theirs = state[f"layers.{stage}.downsample.reduction.weight"]
        assert ours[f"backbone.layers.{stage - 1}.downsample.reduction.weight"] is theirs


def test_what_follows_from_the_window_is_kept_apart():
    weights = named_weights(official_images())
    assert set(weights.tensors) == names_but_computed(weights.tensors)
    table = "backbone.layers.0.blocks.{}.attn.relative_position_bias_table"
    assert list(weights.indices) == [table.format(0), table.format(1)]
    assert weights.images
    assert len(weights.tables) == 6
    assert not named_weights(video_state()).images


def torchvision_v2():
    blocks = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2}
    return SwinTransformer([4, 4], 12, [2, 2], [2, 4], [3, 3], **blocks).state_dict()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (torchvision_v2(), "holds a Swin v2.*use weights of Swin v1"),
        (
            {**official_images(), "absolute_pos_embed": torch.zeros(1, 144, 12)},
            "absolute position embeddings.*trained without them",
        ),
        (
            {
                "backbone.patch_embed.projection.weight": torch.zeros(12, 3, 4, 4),
                "backbone.stages.0.blocks.0.attn.w_msa.qkv.weight": torch.zeros(36, 12),
            },
            "layout of mmpretrain.*use the official",
        ),
        ({"conv1.weight": torch.zeros(3)}, r"no Swin of a known layout .*conv1\.weight"),
        ({"patch_embed.proj.weight": torch.zeros(12, 3, 4, 4)}, "no Swin of a known layout"),
        (
            {
                "patch_embed.proj.weight": torch.zeros(12),
                "layers.0.blocks.0.norm1.weight": torch.zeros(12),
            },
            "no Swin of a known layout",
        ),
    ],
)
def test_other_models_are_refused(state, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        in_mmaction2_naming(state)


def num_rows(window):
    return int(np.prod([2 * n - 1 for n in window]))


def index_of(window):
    """The index as torchvision computes it."""
    attention = ShiftedWindowAttention if len(window) == 2 else ShiftedWindowAttention3d
    return attention(4, list(window), [0] * len(window), 1).relative_position_index


@pytest.mark.parametrize(
    "window",
    [(8, 7, 7), (16, 7, 7), (4, 3, 3), (7, 8, 7), (7, 7, 8), (2, 3, 4), (4, 3, 2), (1, 5, 5),
     (1, 1, 1), (7, 7), (12, 12), (3, 5), (5, 3), (24, 24)],
)  # fmt: skip
def test_the_index_of_a_file_tells_its_window(window):
    found = window_of(num_rows(window), index_of(window), USUAL, images=len(window) == 2)
    assert found == window


def test_an_index_of_several_windows_is_of_the_likely_one():
    assert window_of(15, index_of((8, 1, 1)), (4, 1, 1), images=False) == (8, 1, 1)


def test_the_index_of_mmaction2_tells_the_window_too():
    index = WindowAttention3D(4, (3, 2, 5), 1).relative_position_index
    assert window_of(num_rows((3, 2, 5)), index, USUAL, images=False) == (3, 2, 5)


@pytest.mark.parametrize(
    ("rows", "likely", "images", "expected"),
    [
        (15 * 13 * 13, (8, 7, 7), False, (8, 7, 7)),
        (31 * 13 * 13, (8, 7, 7), False, (16, 7, 7)),
        (15 * 13 * 13, (4, 3, 3), False, (8, 7, 7)),
        (15 * 23 * 23, (8, 7, 7), False, (8, 12, 12)),
        (31 * 23 * 23, (8, 7, 7), False, (16, 12, 12)),
        # 81 rows of 9 offsets over time, or of none: the model's own space decides.
        (9 * 9 * 9, (8, 5, 5), False, (5, 5, 5)),
        (9 * 9 * 9, (8, 2, 2), False, (41, 2, 2)),
        (63 * 13 * 13, (8, 7, 7), False, (32, 7, 7)),
        (13 * 13, (8, 7, 7), False, (1, 7, 7)),
        (5 * 3 * 7, (8, 2, 4), False, (3, 2, 4)),
        (13 * 13, (8, 7, 7), True, (7, 7)),
        (13 * 13, (8, 3, 3), True, (7, 7)),
        (23 * 23, (8, 7, 7), True, (12, 12)),
        (3 * 7, (8, 2, 4), True, (2, 4)),
    ],
)
def test_without_an_index_the_rows_tell_the_window(rows, likely, images, expected):
    assert window_of(rows, None, likely, images=images) == expected


@pytest.mark.parametrize(
    ("rows", "index", "images"),
    [
        (2536, None, False),
        (0, None, False),
        (11, None, False),
        (170, None, True),
        (3 * 13 * 13, None, True),
        (num_rows((8, 7, 7)), index_of((16, 7, 7)), False),
        (num_rows((8, 7, 7)), index_of((8, 7, 7)).flip(0), False),
        (num_rows((7, 7)), index_of((8, 7, 7)), True),
        (num_rows((7, 7)), torch.zeros(0), True),
    ],
)
def test_a_table_of_no_window_is_refused(rows, index, images):
    with pytest.raises(CheckpointError, match=f"no attention window has bias tables of {rows} r"):
        window_of(rows, index, USUAL, images=images)


def test_still_clips_get_the_tokens_of_their_frame():
    torch.manual_seed(0)
    weight, patch = torch.randn(6, 3, 4, 4), torch.randn(3, 4, 4)
    inflated = inflated_patches(weight, 2)
    assert inflated.shape == (6, 3, 2, 4, 4)
    of_image = torch.einsum("cihw,ihw->c", weight, patch)
    of_clip = torch.einsum("cithw,ihw->c", inflated, patch)
    assert torch.allclose(of_clip, of_image, atol=1e-5)
    assert torch.equal(inflated[:, :, 0], weight / 2)
    assert torch.equal(inflated[:, :, 1], weight / 2)


def random_table(window, heads=3):
    torch.manual_seed(len(window))
    return torch.randn(num_rows(window), heads)


@pytest.mark.parametrize("window", [(8, 7, 7), (1, 3, 3), (2, 3, 5)])
def test_the_same_window_keeps_every_bit(window):
    table = random_table(window)
    assert torch.equal(resized_table(table, window, window), table)


@pytest.mark.parametrize("steps", [1, 8])
def test_the_table_of_an_image_is_repeated_for_every_offset_in_time(steps):
    table = random_table((7, 7))
    resized = resized_table(table, (7, 7), (steps, 7, 7))
    assert torch.equal(resized.view(2 * steps - 1, 169, 3), table.expand(2 * steps - 1, 169, 3))


def cubic_matrix(old, new):
    """Weights of each old value in each new one: Keys' cubic with a = -0.75, ends repeated."""
    matrix = np.zeros((new, old))
    for row in range(new):
        place = (row + 0.5) * old / new - 0.5
        for tap in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            x = abs(place - tap)
            near = 1.25 * x**3 - 2.25 * x**2 + 1
            far = -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
            matrix[row, min(max(tap, 0), old - 1)] += near if x <= 1 else far
    return matrix


def linear_matrix(old, new):
    """The same between the two nearest, first on first and last on last."""
    places = np.linspace(0, old - 1, new) if new > 1 else np.array([(old - 1) / 2])
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)))


@pytest.mark.parametrize(
    ("window", "target"),
    [
        ((16, 7, 7), (8, 7, 7)),
        ((8, 7, 7), (16, 7, 7)),
        ((8, 12, 12), (8, 7, 7)),
        ((4, 3, 5), (7, 6, 2)),
        ((2, 3, 3), (1, 2, 4)),
        ((1, 3, 3), (4, 3, 3)),
        ((12, 12), (8, 7, 7)),
        ((7, 7), (3, 12, 5)),
    ],
)
def test_resizing_is_bicubic_over_space_and_linear_over_time(window, target):
    table = random_table(window)
    old = [2 * n - 1 for n in ((1, *window) if len(window) == 2 else window)]
    new = [2 * n - 1 for n in target]
    time, rows, columns = (
        make(o, n)
        for make, o, n in zip((linear_matrix, cubic_matrix, cubic_matrix), old, new, strict=True)
    )
    grid = table.double().numpy().reshape(*old, 3)
    expected = np.einsum("at,br,dc,trch->abdh", time, rows, columns, grid).reshape(-1, 3)
    resized = resized_table(table, window, target)
    assert resized.dtype == torch.float32
    assert np.abs(resized.numpy() - expected).max() < 1e-5


@pytest.mark.parametrize(("old", "new"), [(16, 8), (8, 16), (8, 5), (3, 1), (1, 4)])
def test_over_time_alone_space_is_untouched(old, new):
    pattern = random_table((7, 7))
    still = pattern.repeat(2 * old - 1, 1)
    resized = resized_table(still, (old, 7, 7), (new, 7, 7))
    assert torch.equal(resized, pattern.repeat(2 * new - 1, 1))


@pytest.mark.parametrize(("old", "new"), [(16, 8), (8, 16), (5, 3), (2, 7)])
def test_over_time_a_slope_stays_a_slope(old, new):
    """From -1 at the earliest offset to 1 at the latest, 0 at the same time."""
    slope = torch.linspace(-1, 1, 2 * old - 1).repeat_interleave(25)[:, None]
    resized = resized_table(slope, (old, 3, 3), (new, 3, 3))
    expected = torch.linspace(-1, 1, 2 * new - 1).repeat_interleave(25)[:, None]
    assert torch.allclose(resized, expected, atol=1e-6)


def test_the_offset_of_no_time_stays_itself():
    table = random_table((8, 3, 3)).view(15, 25, 3)
    resized = resized_table(table.flatten(0, 1), (8, 3, 3), (5, 3, 3)).view(9, 25, 3)
    assert torch.equal(resized[4], table[7])


def test_half_precision_is_resized_in_float32():
    table = random_table((12, 12)).half()
    resized = resized_table(table, (12, 12), (2, 7, 7))
    assert torch.equal(resized, resized_table(table.float(), (12, 12), (2, 7, 7)))
