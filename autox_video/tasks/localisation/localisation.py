"""Temporal localisation: which classes occur in a recording, and when.

A single-label classifier is trained on windows of the recordings, among them windows of the
background. A temporal head on its features then finds the segments.
"""

from collections.abc import Sequence

from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.listing import Listing
from autox_video.tasks.classification.single_label import SingleLabel
from autox_video.tasks.localisation.training_clips import (
    as_training_clips,
    looks_like_recordings,
    recording_facts,
    window_seconds,
    without_background,
)
from autox_video.tasks.task import TASKS


class Localisation(SingleLabel):
    """Localisation of segments in recordings, at most one class at a time."""

    name = "localisation"
    finds_segments = True
    metrics_of = SingleLabel.name
    """The windows are scored like clips."""

    def fits(self, clips: ClipTable, data_root: str) -> bool:
        """Return whether the clips are segments of recordings with unlabelled time."""
        return looks_like_recordings(clips, data_root)

    def labelled_clips(self, listing: Listing) -> Listing:
        """Return the listing without segments that are labelled as background."""
        return without_background(listing)

    def training_clips(self, listing: Listing) -> Listing:
        """Return the listing with parts of the recordings as training and validation clips."""
        return as_training_clips(listing)

    def clip_seconds(self, listing: Listing) -> float | None:
        """Return the length of the windows that the model sees, in seconds."""
        return window_seconds(listing)

    def recordings_sec(self, listing: Listing, splits: Sequence[str]) -> float:
        """Return the total length of the readable recordings in seconds."""
        tables = [clips for name, clips in listing.splits.items() if name in splits]
        return sum(
            facts.whole_sec or facts.seconds
            for clips in tables
            for facts in recording_facts(clips, str(listing.data_root)).values()
        )


TASKS.register("localisation")(Localisation())
