"""Video Swin-B: 88 million parameters, embedding 128, depths 2-2-18-2, for 224x224 px."""

_base_ = ["video_swin.py"]

model = {
    "backbone": {"arch": "base", "drop_path_rate": 0.2},
    "cls_head": {"in_channels": 1024},
}
