"""The videos and models of long_video.py."""

import resource
import sys
import time
from fractions import Fraction
from itertools import cycle
from pathlib import Path

SIZE, FPS, PIECE_SEC = (854, 480), 24, 120


def clocks() -> tuple[float, float]:
    """Return wall-clock seconds, and CPU seconds of this process and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)


def since(start: tuple[float, float]) -> dict[str, float]:
    """Return the `seconds` and `cpu` seconds since a result of `clocks`."""
    return {
        name: now - before
        for name, now, before in zip(("seconds", "cpu"), clocks(), start, strict=True)
    }


def make_piece(clips: Path, path: Path) -> None:
    """Encode two minutes of frames from the clips of a folder."""
    import av

    paths = sorted(p for p in clips.rglob("*") if p.suffix.lower() in (".avi", ".mp4", ".webm"))
    if not paths:
        sys.exit(f"{clips}: there are no clips (.avi, .mp4, .webm); name a folder with --clips.")
    number = 0
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "23"})
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        for source in cycle(paths):
            with av.open(str(source)) as clip:
                for frame in clip.decode(video=0):
                    scaled = frame.reformat(*SIZE, "yuv420p")
                    scaled.pts, scaled.time_base = number, Fraction(1, FPS)
                    scaled.pict_type = 0
                    out.mux(stream.encode(scaled))
                    number += 1
                    if number == PIECE_SEC * FPS:
                        out.mux(stream.encode())
                        return


def repeat(piece: Path, path: Path, times: int) -> Path:
    """Write a video that repeats the packets of a piece."""
    import av

    with av.open(str(piece)) as source, av.open(str(path), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        ticks = round(PIECE_SEC / stream.time_base)
        for number in range(times):
            for one in packets:
                packet = av.Packet(bytes(one))
                packet.pts, packet.dts = one.pts + number * ticks, one.dts + number * ticks
                packet.time_base, packet.duration = one.time_base, one.duration
                packet.is_keyframe, packet.stream = one.is_keyframe, copy
                out.mux(packet)
    return path


def make_model(backbone: str, folder: Path) -> Path:
    """Write the files of a run with random weights: config.py, best.pth and best.safetensors."""
    import autox_video  # noqa: F401, I001 (before mmengine)
    import torch
    from mmengine.logging import MMLogger

    from autox_video.config.load import settings_from_mapping
    from autox_video.data.inspection.dataset_stats import DatasetStats
    from autox_video.evaluation.predict import build_model
    from autox_video.machine.hardware import detect
    from autox_video.planning.draft import Basis
    from autox_video.planning.plan import choose
    from autox_video.planning.record import RunRecord, TrainingData
    from autox_video.training.checkpoints.checkpoint import RECORD_KEY, SCHEMA, write_best
    from autox_video.training.checkpoints.model_record import model_record
    from autox_video.training.config.build_config import build_config, write_config

    names = tuple(f"class {number}" for number in range(10))
    stats = DatasetStats(400, 100, 0, 10, names, True, 40, 40, 2.0, 30.0, 854, 480, 480, 0)
    keys = {"data_root": "clips", "backbone": backbone, "load_from": "none", "device": "cpu"}
    keys |= {"mode": "probe"} if backbone.startswith("timm") else {}
    plan = choose(Basis(settings_from_mapping(keys, "benchmark"), stats, detect("cpu"), None))
    record = RunRecord(plan, TrainingData("", "none.csv", None, names, num_train=400))
    config = build_config(record, folder)
    MMLogger.get_current_instance().setLevel("ERROR")  # it would list all weights
    torch.manual_seed(0)
    model = build_model(config)
    model.init_weights()
    model.cls_head.fc_cls.weight.data.normal_(0, 0.5)
    folder.mkdir()
    meta = {"metrics": {}, "identity": {}, RECORD_KEY: model_record(record.to_json())}
    write_best(folder, {"schema": SCHEMA, "state_dict": model.state_dict(), "meta": meta})
    write_config(config, folder / "config.py")
    return folder
