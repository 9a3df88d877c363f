"""What all Video Swin recognisers share; the file of each size adds its own."""

model = {
    "type": "Recognizer3D",
    "backbone": {
        "type": "VideoSwin",
        "patch_size": (2, 4, 4),
        "window_size": (8, 7, 7),
    },
    "cls_head": {
        "type": "ClipHead",
        "num_classes": 400,
        "spatial_type": "avg",
        "dropout_ratio": 0.5,
        "average_clips": "prob",
    },
    "data_preprocessor": {
        "type": "ClipPreprocessor",
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
    },
}
