"""Fixed descriptors of colours, texture, shape and motion: nothing but the head is learnt."""

model = {
    "type": "Recognizer3D",
    "backbone": {"type": "ClipDescriptors"},
    "cls_head": {
        "type": "ClipHead",
        "num_classes": 400,
        "in_channels": 2980,
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
