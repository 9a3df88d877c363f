"""Video Swin-T: 28 million parameters, embedding 96, depths 2-2-6-2, for 224x224 px."""

_base_ = ["video_swin.py"]

model = {
    "backbone": {"arch": "tiny", "drop_path_rate": 0.1},
    "cls_head": {"in_channels": 768},
}
