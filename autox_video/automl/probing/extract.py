"""Extract features of clips with a frozen backbone, and cache the features on disk.

Shape letters: B or n clips, V views, 1 + N tokens per view (the mean over the feature map, and the
means over N cells), C channels.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torchvision.transforms.v2.functional import center_crop, resize

from autox_video.automl.probing.feature_store import FeatureStore
from autox_video.backbones.libraries.folding import folded
from autox_video.backbones.libraries.library_backbone import FrameBackbone
from autox_video.backbones.spec import Size
from autox_video.backbones.weights.loading import load_pretrained
from autox_video.core.errors import ListingError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.data.loading import preprocess, transforms  # noqa: F401 (importing registers them)
from autox_video.data.loading.clip_dataset import ClipBatches, ClipDataset
from autox_video.data.loading.frame_cache import content_name
from autox_video.evaluation.predict import build_model
from autox_video.tasks.classification.attentive_head import pooled_tokens
from autox_video.training.checkpoints.checkpoint import digest
from autox_video.training.memory import is_out_of_memory
from autox_video.video.files.remote import join

CLIPS_AT_A_TIME = {"cpu": 2, "cuda": 32}
VIEWS_TIMED = 2
ZOOM = 1.25
"""Zoom factor of the enlarged views."""
LARGEST_GRID = (8, 2, 2)
MOST_GIB = 2.0
"""Memory limit in GiB for the features of all clips; above it, a coarser grid is used."""

VERSION = 2
"""Version of the feature computation; features cached by other versions are ignored."""

_LARGEST = 65504.0  # largest float16

NOTHING_FITS = (
    "There is not enough memory for the features of one clip. Close other programs, or lower "
    "resolution or clip_len."
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The views to extract from a clip, and the grid to which feature maps are pooled."""

    grid: Size
    """Number of cells along time, rows and columns; the mean over each cell and the mean over the
    whole feature map are kept."""
    flipped: bool
    """Whether flipped views are extracted in addition to the original views."""
    zoomed: bool = False
    """Whether an enlarged view is extracted in addition to the view of the whole crop."""

    @property
    def views(self) -> int:
        """The number of views of a clip."""
        return (1 + self.flipped) * (1 + self.zoomed)


@dataclass(frozen=True, slots=True)
class Features:
    """The features extracted within the time limit."""

    positions: list[int]
    """Indices of the clips that have features, in increasing order."""
    tokens: np.ndarray
    """Tokens (n, V, 1 + N, C) float16; the first token is the mean over the feature map."""
    complete: bool
    """Whether all clips were processed."""
    computed: int
    """Number of clips whose features were not in the cache."""


class Extractor:
    """A frozen backbone that extracts and caches features.

    Args:
        config: run config with torch.compile turned off; its `test_pipeline` defines how clips are
            read.
        pretrained: path to the backbone weights; None for random weights drawn with the config's
            seed.
        store: the cache for features.

    Raises:
        CheckpointError: the weights are unreadable or do not fit the backbone.
    """

    def __init__(self, config: Config, pretrained: str | None, store: FeatureStore) -> None:
        self.config, self.store = config, store
        self.model = _model(self.config, pretrained)
        self.model.to(self.config.device).eval()
        self._weights = digest(self.model.backbone.state_dict())
        self._backbone = folded(self.model.backbone, self._noise())
        self.model.data_preprocessor.channels_last = isinstance(self.model.backbone, FrameBackbone)
        self._most = math.inf

    @torch.inference_mode()
    def map_size(self) -> tuple[int, ...]:
        """Return the number of channels, time steps, rows and columns of a view's feature map."""
        _, *view = self.config.test_item_shape
        clip = torch.zeros(1, 1, *view, dtype=torch.uint8)
        return tuple(self._map(clip).shape[1:])

    @torch.inference_mode()
    def view_sec(self) -> float:
        """Return the time per view in seconds, measured on a small batch."""
        _, *view = self.config.test_item_shape
        clips = torch.zeros(VIEWS_TIMED, 1, *view, dtype=torch.uint8)
        times = []
        for _ in range(3):
            started = time.monotonic()
            self._map(clips).sum().item()  # waits for a GPU
            times.append(time.monotonic() - started)
        return min(times) / VIEWS_TIMED

    def grid(self, clips: int, views: int) -> Size:
        """Return the finest grid for which the features of this many clips fit in memory."""
        channels, *size = self.map_size()
        finest = tuple(min(pair) for pair in zip(size, LARGEST_GRID, strict=True))
        for grid in (finest, (finest[0], 1, 1)):
            if 2 * clips * views * (1 + math.prod(grid)) * channels <= MOST_GIB * 2**30:
                return grid
        return (1, 1, 1)

    def count_new(self, clips: ClipTable, data_root: str, reading: Reading) -> int:
        """Return the number of clips without cached features."""
        names = self._names(clips, data_root, reading)
        return sum(not (name and _has(self.store.get(name))) for name in names)

    def extract(
        self,
        clips: ClipTable,
        data_root: str,
        reading: Reading,
        *,
        seconds: float = math.inf,
        workers: int = 0,
        on_done: Callable[[int], None] | None = None,
    ) -> Features:
        """Return the clips' features, read from the cache or computed within the time limit.

        Args:
            clips: the clips.
            data_root: base folder for relative paths.
            reading: the views and the grid of the features.
            seconds: time limit, after which no further batch is started.
            workers: number of decoding processes.
            on_done: called with the number of clips done so far.

        Raises:
            ListingError: none of the clips is readable.
            ResourceError: there is not enough memory to process one clip.
        """
        end = time.monotonic() + seconds
        names = self._names(clips, data_root, reading)
        found = {n: f for n, name in enumerate(names) if name and _has(f := self.store.get(name))}
        known = len(found)
        missing = [n for n in range(len(clips)) if n not in found]
        # The order is random, so that a partial result represents all classes.
        missing = np.random.default_rng(0).permutation(missing).astype(int).tolist()
        batches = self._batches(clips.select(missing), data_root, workers)
        complete = True
        try:
            for batch in batches if missing else ():
                # A batch may have no readable clip, for example if it is the last and has a single
                # clip.
                tokens = self._tokens(batch["inputs"], reading) if batch["positions"] else ()
                for position, features in zip(batch["positions"], tokens, strict=True):
                    number = missing[position]
                    found[number] = features
                    if names[number]:
                        self.store.put(names[number], features)
                if on_done:
                    on_done(known + batch["taken"])
                if time.monotonic() > end and batch["taken"] < len(missing):
                    complete = False
                    break
        finally:
            broken = batches.broken
            batches.close()
        if missing and complete and not found:
            raise ListingError(
                f"None of the {len(clips)} clips can be read any more "
                f"({next(iter(broken.values()))}). Check that the disk is still mounted."
            )
        positions = sorted(found)
        tokens = np.stack([found[n] for n in positions]) if positions else np.empty((0, 1, 1, 1))
        return Features(positions, tokens, complete, len(found) - known)

    def _names(self, clips: ClipTable, data_root: str, reading: Reading) -> list[str | None]:
        read = {k: v for k, v in self._pipeline()[0].items() if k != "remote_cache"}
        about = (
            *(
                VERSION,
                self.config.model.backbone.type,
                self._weights,
                sorted(read.items()),
                tuple(self.config.test_item_shape[1:]),
            ),
            *(
                reading.grid,
                reading.flipped,
                reading.zoomed,
                self.config.model.backbone.get("precision"),
            ),
            *(self.config.device.partition(":")[0], self._normalisation()),
        )
        return [
            content_name(join(data_root, path), repr((*about, clips.segment(number))))
            for number, path in enumerate(clips.paths)
        ]

    def _normalisation(self) -> tuple:
        preprocessor = self.config.model.data_preprocessor
        return tuple(preprocessor.mean), tuple(preprocessor.std)

    def _pipeline(self) -> list[dict]:
        """Return the pipeline that reads a single centre view, as in validation."""
        read, crop = (step.to_dict() for step in self.config.test_pipeline)
        return [{**read, "num_clips": 1}, {**crop, "crop": "centre"}]

    def _batches(self, clips: ClipTable, data_root: str, workers: int) -> ClipBatches:
        with DefaultScope.overwrite_default_scope("mmaction"):
            dataset = ClipDataset(
                clips,
                data_root,
                pipeline=self._pipeline(),
                classes=self.config.classes,
                item_shape=(1, *self.config.test_item_shape[1:]),
            )
        size = CLIPS_AT_A_TIME[self.config.device.partition(":")[0]]
        pin = self.config.device != "cpu"
        return ClipBatches(dataset, batch_size=size, workers=workers, pin_memory=pin)

    @torch.inference_mode()
    def _tokens(self, inputs: Tensor, reading: Reading) -> np.ndarray:
        """Return tokens (B, V, 1 + N, C) float16 for frames (B, 1, T, H, W, 3) uint8."""
        views = [inputs, enlarged(inputs)] if reading.zoomed else [inputs]
        views += [view.flip(4) for view in views] if reading.flipped else []
        rows = [self._try(view, reading.grid) for view in views]
        return torch.stack(rows, 1).clamp(-_LARGEST, _LARGEST).half().cpu().numpy()

    def _try(self, inputs: Tensor, grid: Size) -> Tensor:
        """Return tokens (B, 1 + N, C) for frames (B, 1, T, H, W, 3), in parts if memory is low."""
        if len(inputs) <= self._most:
            try:
                return pooled_tokens(self._map(inputs), grid)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if len(inputs) == 1:
                raise ResourceError(NOTHING_FITS)
            self._most = len(inputs) // 2
        half = (len(inputs) + 1) // 2
        return torch.cat([self._try(part, grid) for part in inputs.split(half)])

    def _noise(self) -> Tensor:
        """Return a normalised clip (1, 3, T, H, W) of random noise."""
        _, frames, height, width, _ = self.config.test_item_shape
        draw = torch.Generator().manual_seed(0)
        clips = torch.randn(1, 3, frames, height, width, generator=draw)
        return clips.to(self.config.device)

    def _map(self, inputs: Tensor) -> Tensor:
        data = self.model.data_preprocessor({"inputs": inputs, "labels": None}, training=False)
        features = self._backbone(data["inputs"].flatten(0, 1))
        return features[-1] if isinstance(features, (tuple, list)) else features


def enlarged(inputs: Tensor) -> Tensor:
    """Return the centres of frames (..., H, W, 3) uint8, enlarged by ZOOM to full frame size."""
    height, width = inputs.shape[-3:-1]
    frames = inputs.flatten(0, -4).permute(0, 3, 1, 2)
    part = center_crop(frames, [round(height / ZOOM), round(width / ZOOM)])
    whole = resize(part, [height, width], antialias=True)
    return whole.permute(0, 2, 3, 1).reshape(inputs.shape)


def _model(config: Config, pretrained: str | None) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(config.randomness.seed)
        model = build_model(config)
        # init_weights logs every weight.
        logging.disable(logging.WARNING)
        try:
            model.init_weights()
        finally:
            logging.disable(logging.NOTSET)
    if pretrained is not None:
        load_pretrained(model, pretrained)
    return model


def _has(features: np.ndarray | None) -> bool:
    return features is not None
