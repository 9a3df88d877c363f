"""The Python API; the commands are thin callers of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from autox_video.config.load import load_settings, settings_from_mapping
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import complain
from autox_video.distributed.launch import process_count


class AutoXVideo:
    """Train a video model from clips and lists, and predict with it.

    Arguments are keys of config.yaml and take precedence over the config. All methods raise
    AutoXVideoError for what the user can mend.

    Example:
        model = AutoXVideo()
        model.read_cfg("config.yaml")
        model.fit()
        records = model.transform()
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def read_cfg(self, cfg_file: str, overrides: Sequence[str] = ()) -> "AutoXVideo":
        """Take the settings from a config file, then from `key=value` overrides."""
        self._values = load_settings(cfg_file, overrides).model_dump(exclude_unset=True)
        return self

    def settings(self) -> Settings:
        """What the config and the arguments so far come to."""
        return settings_from_mapping(self._values, "config")

    def process_count(self) -> int:
        """How many processes a command starts for these settings; 1: it does all by itself."""
        asked = self.settings()
        return process_count(asked.gpus, asked.device, only_probes=asked.only_probes)

    def fit(
        self,
        data_root: str | None = None,
        ann_file_train: str | None = None,
        ann_file_val: str | None = None,
        video_length: float | None = None,
        num_class: int | None = None,
        epoch: int | None = None,
        videos_per_gpu: int | None = None,
        evaluation: int | None = None,
        work_dir: str | None = None,
        *,
        fresh: bool = False,
        **others: Any,
    ) -> dict[str, Any] | None:
        """Train, or resume the run in `work_dir`; `fresh` moves that aside, and trains anew.

        A run that began remembers its arguments; None, or the seed system's -1, leaves one as it
        was. Gives the best validation metrics, None where none were measured; their `headline` is
        the score to go by, its 95% interval, its clips, and what it was measured on:
        cross-validation where fewer than 30 clips validate and there is one.

        Raises:
            Stopped: a signal came; everything is saved.
        """
        from autox_video.jobs.train import fit
        from autox_video.metrics.headline import headline
        from autox_video.training.interrupt import Stopped

        arguments = {
            "data_root": data_root,
            "ann_file_train": ann_file_train,
            "ann_file_val": ann_file_val,
            "video_length": video_length,
            "num_class": num_class,
            "epoch": epoch,
            "videos_per_gpu": videos_per_gpu,
            "evaluation": evaluation,
            "work_dir": work_dir,
        }
        asked = self._with({**arguments, **others})
        settings = settings_from_mapping(asked, "fit")
        self._say_if_alone(asked, "autotrain.py")
        try:
            best = fit(settings, fresh=fresh)
        except Stopped:
            self._values = asked
            raise
        self._values = asked
        return best and {**best, "headline": headline(best).as_dict()}

    def plan(self, *, fresh: bool = False, **others: Any) -> dict[str, Any]:
        """Make every choice for a run, show and write them with the predicted time; train nothing.

        Arguments are for this call alone; `fresh` plans a new run though the work dir holds one.
        Gives the choices as plain values, with their `reasons`.
        """
        from autox_video.jobs.train import show

        settings = settings_from_mapping(self._with(others), "plan")
        return show(settings, fresh=fresh).as_dict()

    def transform(
        self,
        data_root: str | None = None,
        ann_file_test: str | None = None,
        checkpoints: str | None = None,
        output_path: str | None = None,
        **others: Any,
    ) -> list[dict[str, Any]]:
        """Predict the clips of a list, or every video in a folder; write results.json.

        Arguments are for this call alone. Gives one record per clip, as in results.json.

        Args:
            data_root: folder of the clips; default: the config's.
            ann_file_test: list of them; default: the config's, unless `data_root` is given: then
                every video in it.
            checkpoints: weights; default: the best of work_dir.
            output_path: file to write; default: the config's test_results_path.
        """
        from autox_video.jobs.test import transform

        whole_folder = ann_file_test is None and data_root is not None
        arguments = {
            "data_root": data_root,
            "ann_file_test": AUTO if whole_folder else ann_file_test,
            "test_results_path": output_path,
        }
        given = self._with({**arguments, **others})
        settings = settings_from_mapping(given, "transform")
        self._say_if_alone(given, "autotest.py")
        return transform(settings, checkpoints, whole_folder=whole_folder)["predictions"]

    def check(self, **others: Any) -> dict[str, Any]:
        """Open every listed clip, train nothing, and say what is wrong with the data.

        Arguments are for this call alone. Writes WORK_DIR/check/check.json, and beside it the lists
        without the bad clips; gives the content of the former.
        """
        from autox_video.jobs.check import check

        return check(settings_from_mapping(self._with(others), "check"))

    def _with(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        new = {k: v for k, v in arguments.items() if v is not None and v != -1}
        return {**self._values, **new}

    def _say_if_alone(self, values: Mapping[str, Any], command: str) -> None:
        """Say, where a command would start several processes, that this one does it alone."""
        asked = AutoXVideo()
        asked._values = dict(values)
        if (count := asked.process_count()) > 1:
            complain(
                f"Called from Python, one process does it all, where {count} could: run "
                f"`python {command}` with this config for all of them."
            )
