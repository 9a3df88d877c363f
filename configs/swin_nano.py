"""Video Swin nano: small enough to learn from scratch on a CPU."""

model = {
    "type": "Recognizer3D",
    "backbone": {
        "type": "VideoSwin",
        "arch": {"embed_dims": 48, "depths": [2, 2, 2], "num_heads": [3, 6, 12]},
        "patch_size": (2, 4, 4),
        "window_size": (8, 7, 7),
        "drop_path_rate": 0.1,
    },
    "cls_head": {
        "type": "I3DHead",
        "in_channels": 192,
        "num_classes": 400,
        "spatial_type": "avg",
        "dropout_ratio": 0.5,
        "average_clips": "prob",
    },
    "data_preprocessor": {
        "type": "ActionDataPreprocessor",
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "format_shape": "NCTHW",
    },
}
