"""Small recognisers of mmaction2, in the format of its configs."""

NORM = {"type": "ActionDataPreprocessor", "mean": [114.75, 116, 118], "std": [57, 58.4, 60]}
BATCH_NORM = {"type": "BN3d", "requires_grad": True}
RESNET = {"depth": 50, "stage_blocks": (1, 1, 1, 1), "base_channels": 8, "pretrained": None}
SLOW_STEM = {"conv1_kernel": (1, 7, 7), "inflate": (0, 0, 1, 1), "conv1_stride_t": 1}
TIMES = {
    "type": "TimeSformer",
    "num_frames": 4,
    "img_size": 32,
    "patch_size": 8,
    "embed_dims": 16,
    "num_heads": 2,
    "num_transformer_layers": 2,
}
PATHWAY = {"type": "resnet3d", "depth": 50, "stage_blocks": (1, 2, 1, 1), "pretrained": None}
FUSION = {
    "in_channels": (32, 32),
    "mid_channels": (32, 32),
    "out_channels": 64,
    "downsample_scales": ((1, 1, 1), (1, 1, 1)),
}


def tpn(*channels):
    """Return TPN's neck for two stages of a backbone."""
    return {
        "type": "TPN",
        "in_channels": channels,
        "out_channels": 32,
        "spatial_modulation_cfg": {"in_channels": channels, "out_channels": channels[1]},
        "temporal_modulation_cfg": {"downsample_scales": (4, 4)},
        "upsample_cfg": {"scale_factor": (1, 1, 1)},
        "downsample_cfg": {"downsample_scale": (1, 1, 1)},
        "level_fusion_cfg": FUSION,
        "aux_head_cfg": {"out_channels": 5, "loss_weight": 0.5},
    }


BACKBONES = {
    "x3d": {"type": "X3D", "gamma_w": 0.3, "gamma_b": 1.5, "gamma_d": 0.6},
    "slowfast": {
        "type": "ResNet3dSlowFast",
        "resample_rate": 4,
        "speed_ratio": 4,
        "channel_ratio": 4,
        "slow_pathway": {**PATHWAY, **SLOW_STEM, "lateral": True, "base_channels": 8},
        "fast_pathway": {
            **PATHWAY,
            "stage_blocks": (1, 1, 1, 1),
            "lateral": False,
            "base_channels": 2,
            "conv1_kernel": (5, 7, 7),
        },
    },
    "slowonly": {"type": "ResNet3dSlowOnly", **RESNET, **SLOW_STEM, "lateral": False},
    "i3d": {"type": "ResNet3d", **RESNET, "inflate": ((1,), (0,), (1,), (0,))},
    "r2plus1d": {
        "type": "ResNet2Plus1d",
        "depth": 18,
        "base_channels": 8,
        "pretrained": None,
        "pretrained2d": False,
        "conv_cfg": {"type": "Conv2plus1d"},
        "norm_cfg": {"type": "SyncBN", "requires_grad": True, "eps": 1e-3},
        "temporal_strides": (1, 2, 2, 2),
    },
    "csn": {
        "type": "ResNet3dCSN",
        **RESNET,
        "pretrained2d": False,
        "bottleneck_mode": "ip",
        "norm_eval": True,
        "bn_frozen": True,
    },
    "c2d": {"type": "C2D", "depth": 18},
    "omni": {"type": "OmniResNet", "layers": [1, 1, 1, 1]},
    "tsm": {"type": "ResNetTSM", "depth": 18, "num_segments": 4, "pretrained": "nowhere.pth"},
    "tanet": {
        "type": "TANet",
        "depth": 50,
        "num_segments": 4,
        "pretrained": "nowhere.pth",
        "num_stages": 2,
        "strides": (1, 2),
        "dilations": (1, 1),
        "out_indices": (1,),
    },
    "tpn": {
        "type": "ResNet3dSlowOnly",
        **RESNET,
        **SLOW_STEM,
        "lateral": False,
        "out_indices": (2, 3),
    },
    "tpn_tsm": {
        "type": "ResNetTSM",
        "depth": 18,
        "num_segments": 4,
        "out_indices": (2, 3),
    },
    "divided": TIMES,
    "joint": {**TIMES, "attention_type": "joint_space_time"},
    "space": {**TIMES, "attention_type": "space_only"},
    "mvit": {
        "type": "MViT",
        "arch": {"embed_dims": 8, "num_layers": 3, "num_heads": 1, "downscale_indices": [1, 2]},
        "spatial_size": 32,
        "temporal_size": 4,
    },
    "uniformer": {
        "type": "UniFormer",
        "depth": [1, 2, 1, 2],
        "embed_dim": [8, 8, 16, 16],
        "head_dim": 8,
    },
    "uniformerv2": {
        "type": "UniFormerV2",
        "input_resolution": 32,
        "patch_size": 8,
        "width": 16,
        "layers": 3,
        "heads": 2,
        "t_size": 4,
        "no_lmhra": False,
        "double_lmhra": True,
        "return_list": [1, 2],
        "n_layers": 2,
        "n_dim": 16,
        "n_head": 2,
        "mlp_dropout": [0.5, 0.5],
        "pretrained": "ViT-B/16",
    },
    "videomae": {
        "type": "VisionTransformer",
        "img_size": 32,
        "patch_size": 8,
        "embed_dims": 16,
        "depth": 2,
        "num_heads": 2,
        "num_frames": 4,
    },
    "swin": {
        "type": "SwinTransformer3D",
        "arch": {"embed_dims": 8, "depths": [2, 2], "num_heads": [1, 2]},
        "window_size": (2, 4, 4),
        "out_indices": (1,),
    },
}
NECKS = {"tpn": tpn(128, 256), "tpn_tsm": tpn(256, 512)}
SEES_IMAGES = ("tsm", "tanet", "tpn_tsm")
FRAMES, SIDE = 4, 32


def model_entry(name):
    """Return the `model` entry of a config, without a head."""
    images = name in SEES_IMAGES
    entry = {
        "type": "Recognizer2D" if images else "Recognizer3D",
        "backbone": BACKBONES[name],
        "data_preprocessor": {**NORM, "format_shape": "NCHW" if images else "NCTHW"},
    }
    return {**entry, "neck": NECKS[name]} if name in NECKS else entry
