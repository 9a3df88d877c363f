"""Video Swin nano: 1.4 million parameters, embedding 48, depths 2-2-2, to learn from few clips."""

_base_ = ["video_swin.py"]

model = {
    "backbone": {
        "arch": {"embed_dims": 48, "depths": [2, 2, 2], "num_heads": [3, 6, 12]},
        "drop_path_rate": 0.0,
        # Larger than the weights that Swin starts with: it leaves the first plateau sooner.
        "init_cfg": [{"type": "Xavier", "layer": "Linear", "distribution": "uniform", "bias": 0.0}],
    },
    "cls_head": {"in_channels": 192, "dropout_ratio": 0.0},
}
