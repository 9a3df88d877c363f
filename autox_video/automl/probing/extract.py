"""Features of clips from a backbone whose weights stay as they are: computed once, kept on disk.

Shape letters: B clips, V views, N tokens of a view behind their mean, C channels.
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

from autox_video.automl.probing.feature_store import FeatureStore
from autox_video.backbones.spec import Size
from autox_video.backbones.weights.loading import load_pretrained
from autox_video.core.errors import ListingError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.data.loading import preprocess, transforms  # noqa: F401 (registers them)
from autox_video.data.loading.clip_dataset import ClipBatches, ClipDataset
from autox_video.data.loading.frame_cache import content_name
from autox_video.evaluation.predict import build_model
from autox_video.tasks.classification.attentive_head import pooled_tokens
from autox_video.training.checkpoints.checkpoint import digest
from autox_video.training.memory import is_out_of_memory
from autox_video.video.files.remote import join

CLIPS_AT_A_TIME = {"cpu": 8, "cuda": 32}
VIEWS_TIMED = 2
LARGEST_GRID = (8, 2, 2)
MOST_GIB = 2.0
"""Of memory for the features of all clips; for more the grid gets coarser."""

VERSION = 2
"""Of how features are computed: those on disk of another are never used."""

_LARGEST = 65504.0  # that float16 can hold

NOTHING_FITS = (
    "There is not enough memory for the features of one clip; end other programs, or lower "
    "resolution or clip_len."
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How clips are read and what is kept of their feature maps."""

    grid: Size
    """Cells over time, rows and columns whose means are kept beside the mean over all."""
    mirrored: bool
    """Whether the mirrored view is kept too, behind the plain one."""


@dataclass(frozen=True, slots=True)
class Features:
    """What was found out in the time that there was."""

    positions: list[int]
    """Of the clips in their list, increasing; those that cannot be read are missing."""
    tokens: np.ndarray
    """(n, V, 1 + N, C) float16: of each view the mean over its map, then its cells."""
    complete: bool
    """Whether every clip was tried."""
    computed: int
    """How many were not on disk already."""


class Extractor:
    """A backbone with its weights, and what its features are kept under.

    Args:
        config: of a run that does not compile; its `test_pipeline` says how clips are read.
        pretrained: weights of the backbone; None: random ones, the same for the same seed.
        store: where features are kept.

    Raises:
        CheckpointError: the weights cannot be read, or do not fit.
    """

    def __init__(self, config: Config, pretrained: str | None, store: FeatureStore) -> None:
        self.config, self.store = config, store
        self.model = _model(self.config, pretrained)
        self.model.to(self.config.device).eval()
        self._weights = digest(self.model.backbone.state_dict())
        self._most = math.inf

    @torch.inference_mode()
    def map_size(self) -> tuple[int, ...]:
        """Channels, time steps, rows and columns of the feature map of a view."""
        _, *view = self.config.test_item_shape
        clip = torch.zeros(1, 1, *view, dtype=torch.uint8)
        return tuple(self._map(clip).shape[1:])

    @torch.inference_mode()
    def view_sec(self) -> float:
        """What a view takes, in seconds, among a few."""
        _, *view = self.config.test_item_shape
        clips = torch.zeros(VIEWS_TIMED, 1, *view, dtype=torch.uint8)
        times = []
        for _ in range(3):
            started = time.monotonic()
            self._map(clips).sum().item()  # waits for a GPU
            times.append(time.monotonic() - started)
        return min(times) / VIEWS_TIMED

    def grid(self, clips: int, views: int) -> Size:
        """The finest grid for which the features of so many clips are not too large."""
        channels, *size = self.map_size()
        finest = tuple(min(pair) for pair in zip(size, LARGEST_GRID, strict=True))
        for grid in (finest, (finest[0], 1, 1)):
            if 2 * clips * views * (1 + math.prod(grid)) * channels <= MOST_GIB * 2**30:
                return grid
        return (1, 1, 1)

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
        """The features of clips, those on disk and, as far as there is time, the others.

        Args:
            clips: of which features are wanted.
            data_root: folder that relative paths start from.
            reading: what is kept of each.
            seconds: after which no further batch is begun.
            workers: processes that read clips.
            on_done: told the number of clips done so far.

        Raises:
            ListingError: not one of the clips can be read.
            ResourceError: there is not enough memory for one clip.
        """
        end = time.monotonic() + seconds
        names = self._names(clips, data_root, reading)
        found = {n: f for n, name in enumerate(names) if name and _has(f := self.store.get(name))}
        known = len(found)
        missing = [n for n in range(len(clips)) if n not in found]
        # In a random order: what there is time for is a fair part of all classes.
        missing = np.random.default_rng(0).permutation(missing).astype(int).tolist()
        batches = self._batches(clips.select(missing), data_root, workers)
        complete = True
        try:
            for batch in batches if missing else ():
                # Of the last, often a single clip, nothing may be readable.
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
                f"None of {len(clips)} clips can be read any more ({next(iter(broken.values()))}). "
                "Is the disk still there?"
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
            *(reading.grid, reading.mirrored, self.config.model.backbone.get("precision")),
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
        """The one view in the middle of the clip, as in validation."""
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
        """Clips (B, 1, T, H, W, 3) uint8 → (B, V, 1 + N, C) float16."""
        views = [inputs, inputs.flip(4)] if reading.mirrored else [inputs]
        rows = [self._try(view, reading.grid) for view in views]
        return torch.stack(rows, 1).clamp(-_LARGEST, _LARGEST).half().cpu().numpy()

    def _try(self, inputs: Tensor, grid: Size) -> Tensor:
        """(B, 1, T, H, W, 3) → (B, 1 + N, C); fewer clips at a time where memory is short."""
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

    def _map(self, inputs: Tensor) -> Tensor:
        data = self.model.data_preprocessor({"inputs": inputs, "labels": None}, training=False)
        features = self.model.backbone(data["inputs"].flatten(0, 1))
        return features[-1] if isinstance(features, (tuple, list)) else features


def _model(config: Config, pretrained: str | None) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(config.randomness.seed)
        model = build_model(config)
        # It tells of every weight.
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
