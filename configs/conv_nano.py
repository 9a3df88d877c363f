"""VideoConv nano: 1.8 million parameters, channels 32 to 256, quick to train on a CPU."""

model = {
    "type": "Recognizer3D",
    "backbone": {
        "type": "VideoConv",
        "channels": [24, 32, 64, 128, 256],
        "depths": [1, 1, 2, 1],
        "drop_path_rate": 0.0,
    },
    "cls_head": {
        "type": "ClipHead",
        "num_classes": 400,
        "in_channels": 512,
        "spatial_type": "avg",
        "dropout_ratio": 0.0,
        "average_clips": "prob",
    },
    "data_preprocessor": {
        "type": "ClipPreprocessor",
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
    },
}
