"""The peer of long_video.py: mmaction2's long-video demo, with the same model and windows.

mmaction2's demo/long_video_demo.py is not part of its package, so its way of working is repeated
here with mmaction2's own model, transforms and inference call: OpenCV reads every frame, one after
the other; of every `input_step` frames, one enters a queue with the length of a window; when the
queue is full, the test pipeline and the model run on it, and the oldest frames leave the queue.

Where the demo costs time for nothing, this peer is faster than the demo: it neither draws labels
nor writes a video, does not stack the frames of a window in a copy, and takes the middle one of
`input_step` frames instead of a random one. OpenCV decodes with all cores. The precision is the
faster one of float32 and bfloat16.

The second peer, `tuned`, is what one could make of the demo with some work: frames that do not
enter the queue are decoded but not converted, each frame is resized and cropped once instead of
once for each window, and windows are predicted in batches.
"""

from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from long_video_data import clocks, since

import autox_video  # noqa: F401 (makes mmaction2 importable)

BATCH = 12
"""Number of windows in a batch of the tuned peer, the same as ours on a CPU."""


def recognizer(folder: Path, precision: str):
    """Return mmaction2's recogniser from the config and the weights of a run."""
    from mmaction.apis import init_recognizer
    from mmengine.config import Config

    config = Config.fromfile(folder / "config.py")
    config.model.backbone.precision = precision
    ours = config.model.data_preprocessor
    config.model.data_preprocessor = {
        "type": "ActionDataPreprocessor",
        "mean": ours.mean,
        "std": ours.std,
        "format_shape": "NCTHW",
    }
    return init_recognizer(config, str(folder / "best.pth"), device="cpu")


def pipelines(side: int, interpolation: str):
    """Return mmaction2's transforms of frames, and those that make a window the model's input."""
    from mmengine.dataset import Compose

    resize = {"type": "Resize", "scale": (-1, side), "interpolation": interpolation}
    frames = [resize, partial(crop, side=side)]
    window = [
        {"type": "FormatShape", "input_format": "NCTHW"},
        {"type": "PackActionInputs"},
    ]
    return Compose(frames), Compose(window)


def crop(data: dict[str, Any], *, side: int) -> dict[str, Any]:
    """Crop as mmaction2's CenterCrop, which rounds down where we round to even."""
    height, width = data["img_shape"]
    top, left = round((height - side) / 2), round((width - side) / 2)
    data["imgs"] = [frame[top : top + side, left : left + side] for frame in data["imgs"]]
    return {**data, "img_shape": (side, side)}


def demo_windows(video: Path, length: int, input_step: int, stride: int) -> Iterator[list]:
    """Yield the frames of each window, as the demo does."""
    import cv2

    capture, queue, read = cv2.VideoCapture(str(video)), deque(maxlen=length), []
    while True:
        _, frame = capture.read()
        if frame is None:
            return
        read.append(frame[:, :, ::-1])
        if len(read) < input_step:
            continue
        queue.append(read[input_step // 2])
        read = []
        if len(queue) == length:
            yield list(queue)
            for _ in range(stride):
                queue.popleft()


def tuned_windows(
    video: Path, length: int, input_step: int, stride: int, transform
) -> Iterator[list]:
    """Yield the resized frames of each window."""
    import cv2

    capture, queue, number = cv2.VideoCapture(str(video)), deque(maxlen=length), 0
    while capture.grab():
        if number % input_step == input_step // 2:
            _, frame = capture.retrieve()
            queue.append(transform(inputs([frame[:, :, ::-1]]))["imgs"][0])
        number += 1
        if len(queue) == length and number % input_step == 0:
            yield list(queue)
            for _ in range(stride):
                queue.popleft()


def inputs(frames: list) -> dict[str, Any]:
    """Return what mmaction2's transforms get for the frames of a window."""
    facts = {"img_shape": frames[0].shape[:2], "modality": "RGB", "label": -1}
    return {"imgs": frames, "num_clips": 1, "clip_len": len(frames), **facts}


def demo(model, video: Path, job: dict[str, Any]) -> list:
    """Return the output for each window, one forward pass for each."""
    from mmaction.apis import inference_recognizer
    from mmengine.dataset import Compose

    pipeline = Compose(pipelines(job["side"], job["interpolation"]))
    windows = demo_windows(video, job["clip_len"], job["input_step"], job["stride"])
    return [inference_recognizer(model, inputs(frames), pipeline).pred_output for frames in windows]


def tuned(model, video: Path, job: dict[str, Any]) -> list:
    """Return the output for each window, with the shortcuts of the tuned peer."""
    import torch
    from mmengine.dataset import pseudo_collate

    transform, pack = pipelines(job["side"], job["interpolation"])
    sizes = (job["clip_len"], job["input_step"], job["stride"])
    outputs, windows_to_come = [], tuned_windows(video, *sizes, transform)
    while windows := list(islice(windows_to_come, BATCH)):
        data = pseudo_collate([pack(inputs(frames)) for frames in windows])
        with torch.inference_mode():
            outputs += [sample.pred_output for sample in model.test_step(data)]
    return outputs


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Predict a video; return its windows' outputs, and the seconds without loading the model."""
    import torch

    model = recognizer(Path(job["model"]), job["precision"])
    start = clocks()
    outputs = {"demo": demo, "tuned": tuned}[job["who"]](model, Path(job["video"]), job)
    return {**since(start), "scores": torch.stack(outputs).double().tolist()}
