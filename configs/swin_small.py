"""Video Swin-S: 50 million parameters, embedding 96, depths 2-2-18-2, for 224x224 px."""

_base_ = ["video_swin.py"]

model = {
    "backbone": {"arch": "small", "drop_path_rate": 0.1},
    "cls_head": {"in_channels": 768},
}
