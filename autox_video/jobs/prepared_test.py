"""A test that is ready to run."""

from dataclasses import dataclass
from pathlib import Path

from autox_video.core.files import sha256
from autox_video.data.clip_table import ClipTable
from autox_video.evaluation.results import Provenance
from autox_video.planning.record import RunRecord
from autox_video.prediction.recordings.truth import LabelledRecordings
from autox_video.run.work_dir import CONFIG
from autox_video.video.files.remote import full_root


@dataclass(frozen=True, slots=True)
class PreparedTest:
    """Everything that a process needs to run a test."""

    weights: Path
    record: RunRecord
    """Run record from the weight file, with the decoder and remote cache from the settings."""
    clips: ClipTable
    data_root: str
    device: str
    workers: int | None
    """Number of decoding processes per testing process; None to choose it automatically."""
    results_file: Path
    recordings: LabelledRecordings | None = None
    """The recordings and their true segments, if the model finds segments."""

    def provenance(self) -> Provenance:
        """Return where the predictions come from."""
        return Provenance(
            config=str(self.weights.parent / CONFIG),
            checkpoint=str(self.weights),
            checkpoint_sha256=sha256(self.weights),
            decoder=self.record.plan.decoder,
            classes=self.record.data.classes,
            data_root=full_root(self.data_root),
        )
