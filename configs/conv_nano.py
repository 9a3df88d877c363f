"""A network of separated 3D convolutions: 3.2 million parameters, to learn from few clips."""

_base_ = ["video_swin.py"]

model = {
    "backbone": {
        "_delete_": True,
        "type": "VideoConv",
        "widths": [24, 48, 96, 192, 288],
        "depths": [1, 2, 2, 1],
    },
    "cls_head": {"in_channels": 576, "dropout_ratio": 0.0},
}
