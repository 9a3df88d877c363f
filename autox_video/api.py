"""The Python API, which the commands also use."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autox_video.config.load import load_settings, refuse_mixed_demo, settings_from_mapping
from autox_video.config.settings import AUTO, Settings, is_open
from autox_video.core.console import complain
from autox_video.distributed.launch import process_count

if TYPE_CHECKING:
    from autox_video.prediction.video_model import VideoModel

StrPath = str | os.PathLike[str]


class AutoXVideo:
    """Train a video classifier, and predict with it.

    Arguments are config keys and take precedence over the config. Paths may be strings or `Path`
    objects. All methods raise AutoXVideoError for errors that the user can fix.

    Example::

        from autox_video import AutoXVideo

        model = AutoXVideo()
        best = model.fit("my/clips", time_budget="45m")
        records = model.transform("new/clips")

    With a config file::

        model = AutoXVideo().read_cfg("my.yaml")
        model.fit()
        records = model.transform()

    With the trained model, anywhere::

        model = AutoXVideo.load("work_dirs/clips/best.safetensors")
        predictions = model.predict("new/clips")
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def read_cfg(
        self, cfg_file: StrPath | Mapping[str, Any], overrides: Sequence[str] = ()
    ) -> "AutoXVideo":
        """Read the settings from a config, apply `key=value` overrides, and return this object.

        Args:
            cfg_file: a config file, or a mapping with its content.
            overrides: `key=value` texts as on the command line, such as `epoch=10`.

        Raises:
            ConfigError: the config or an override is invalid; there is one message per problem.
        """
        config = cfg_file if isinstance(cfg_file, str | Mapping) else Path(cfg_file)
        settings = load_settings(config, overrides, _with_plan)
        self._values = settings.model_dump(exclude_unset=True)
        return self

    def settings(self) -> Settings:
        """Return the settings from the config and from the arguments given so far."""
        return settings_from_mapping(self._values, "config")

    def process_count(self) -> int:
        """Return the number of processes that a command would use with these settings."""
        asked = self.settings()
        return process_count(asked.gpus, asked.device, only_probes=asked.only_probes)

    def fit(
        self,
        data_root: StrPath | None = None,
        ann_file_train: StrPath | None = None,
        ann_file_val: StrPath | None = None,
        video_length: float | None = None,
        num_class: int | None = None,
        epoch: int | None = None,
        videos_per_gpu: int | None = None,
        evaluation: int | None = None,
        work_dir: StrPath | None = None,
        *,
        fresh: bool = False,
        **others: Any,
    ) -> dict[str, Any] | None:
        """Train, or resume the run in `work_dir`.

        Arguments are remembered for later calls. An argument of None, or of -1 as in the original
        AutoX_video, leaves an earlier value unchanged.

        Args:
            data_root: folder of the clips, with one sub-folder per class unless lists are given.
            ann_file_train: list of the training clips.
            ann_file_val: list of the validation clips.
            video_length: seconds of video in one input clip.
            num_class: number of classes.
            epoch: number of epochs.
            videos_per_gpu: batch size of each process.
            evaluation: number of epochs between two evaluations.
            work_dir: folder for everything that the run writes; default: work_dirs/NAME, where
                NAME is the name of `data_root`.
            fresh: start a new run; an existing run in `work_dir` is moved to WORK_DIR/earlier.
            **others: any other key of the config.

        Returns:
            The best validation metrics, or None if nothing was evaluated. The entry `headline` is
            the score to report, with its 95% interval, the number of clips and a description of how
            it was measured. With fewer than 30 validation clips, the score is cross-validated if
            possible.

        Raises:
            Stopped: a signal stopped the run; its state is saved.
        """
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
        return self._fit(self._with({**arguments, **others}), fresh=fresh)

    def _fit(self, asked: dict[str, Any], *, fresh: bool) -> dict[str, Any] | None:
        from autox_video.jobs.train import fit
        from autox_video.metrics.headline import headline
        from autox_video.training.interrupt import Stopped

        settings = _checked(asked, "fit", fresh=fresh)
        _say_if_alone(settings, "train")
        try:
            best = fit(settings, fresh=fresh)
        except Stopped:
            self._values = asked
            raise
        self._values = asked
        return best and {**best, "headline": headline(best).as_dict()}

    def plan(self, *, fresh: bool = False, **others: Any) -> dict[str, Any]:
        """Make all choices for a run, show them with the predicted time, and write record.json.

        Nothing is trained. The arguments apply to this call only.

        Args:
            fresh: plan a new run even if `work_dir` contains a run.
            **others: keys of the config.

        Returns:
            The choices as plain values, with their `reasons`.
        """
        from autox_video.jobs.train import show

        settings = _checked(self._with(others), "plan", fresh=fresh)
        return show(settings, fresh=fresh).as_dict()

    def transform(
        self,
        data_root: StrPath | None = None,
        ann_file_test: StrPath | None = None,
        checkpoints: StrPath | None = None,
        output_path: StrPath | None = None,
        **others: Any,
    ) -> list[dict[str, Any]]:
        """Predict the classes of the listed clips or of all videos in a folder; write results.json.

        The arguments apply to this call only.

        Args:
            data_root: folder of the clips; default: the folder in the config.
            ann_file_test: list of the clips; default: the list in the config. If only `data_root`
                is given, the classes of all videos in that folder are predicted.
            checkpoints: the weight file; default: the best weights in `work_dir`.
            output_path: file to write; default: `test_results_path` in the config.
            **others: any other key of the config.

        Returns:
            One record per clip, as in results.json.
        """
        from autox_video.jobs.test import transform

        whole_folder = ann_file_test is None and data_root is not None
        arguments = {
            "data_root": data_root,
            "ann_file_test": AUTO if whole_folder else ann_file_test,
            "test_results_path": output_path,
        }
        if data_root is not None and "data_root" in self._values:
            # These clips are predicted by the model that was trained on the earlier clips.
            arguments |= {"work_dir": self.settings().work_dir, "demo": False}
        given = self._with({**arguments, **others})
        settings = _checked(given, "transform", fresh=checkpoints is not None)
        _say_if_alone(settings, "test")
        weights = None if checkpoints is None else os.fspath(checkpoints)
        return transform(settings, weights, whole_folder=whole_folder)["predictions"]

    @staticmethod
    def load(
        path: StrPath,
        *,
        device: str = AUTO,
        workers: int | None = None,
        decoder: str | None = None,
        custom_imports: Sequence[str] = (),
    ) -> "VideoModel":
        """Load a trained model, to predict new videos with its method `predict`.

        Args:
            path: the model file, best.safetensors or best.pth of a run; no other file is needed.
            device: `auto` (the first GPU, or the CPU if there is none), `cpu`, `cuda` or `cuda:N`.
            workers: number of decoding processes; None to choose it automatically.
            decoder: video decoder; None for the one used in training.
            custom_imports: your own modules that the model needs; see the config key.

        Raises:
            CheckpointError: the file is missing, damaged, or not a model of autox-video.
            ResourceError: the device is not available.
            InstallError: the decoder is not installed.
        """
        from autox_video.prediction.video_model import VideoModel

        return VideoModel.load(
            path, device=device, workers=workers, decoder=decoder, custom_imports=custom_imports
        )

    def check(self, **others: Any) -> dict[str, Any]:
        """Open all clips, and report what is wrong with the data, without training.

        Arguments are keys of the config and apply to this call only. Writes the report to
        WORK_DIR/check/check.json, and lists without the bad clips to the same folder. Returns the
        content of the report.
        """
        from autox_video.jobs.check import check

        return check(_checked(self._with(others), "check"))

    def _with(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        new = {k: v for k, v in arguments.items() if v is not None and v != -1}
        if new.get("demo") is not False:
            refuse_mixed_demo(self._values, new, "read_cfg")
        return _with_plan({**self._values, **new})


def _with_plan(values: dict[str, Any]) -> dict[str, Any]:
    """If `from_plan` names a run, add the keys that repeat this run."""
    if is_open("from_plan", values.get("from_plan")):
        return values
    from autox_video.automl.repeat import keys_of_plan

    return keys_of_plan(values)


def _checked(values: Mapping[str, Any], source: str, *, fresh: bool = False) -> Settings:
    """Check the settings, and check that the run in the work dir was not trained on other clips."""
    from autox_video.automl.own_work_dir import refuse_run_of_others

    settings = settings_from_mapping(values, source)
    refuse_run_of_others(settings, fresh=fresh)
    return settings


def _say_if_alone(settings: Settings, command: str) -> None:
    """Tell the user if a command would start several processes while this call uses only one."""
    probes = settings.only_probes
    count = process_count(settings.gpus, settings.device, only_probes=probes)
    if count > 1:
        complain(
            f"A call from Python uses a single process; the command `autox-video {command}` would "
            f"use {count} processes."
        )
