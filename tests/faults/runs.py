"""Shared by the fault scripts: small runs of the real commands on demo clips.

A `Place` holds the clips, a `Run` is a folder with a config, a `Life` is one start of autotrain.py.
Runs of one place differ only in what the faults did to them. Linux only (/proc, signals).
"""

import atexit
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from autox_video.data.demo import MOTIONS, make_demo  # noqa: E402 (of this source tree)

BATCH_SIZE = 4
CLIPS = {"train": 3, "val": 1, "test": 1}  # per class
STEPS = CLIPS["train"] * len(MOTIONS) // BATCH_SIZE
"""Steps per epoch: few enough that each has a line in metrics.jsonl."""
KEYS = {
    "work_dir": "work",
    "test_results_path": "results.json",
    "videos_per_gpu": BATCH_SIZE,
    "resolution": 32,
    "clip_len": 2,
    "workers": 1,
    "evaluation": 2,
    "device": "cpu",
    "precision": "float32",
    "load_from": "none",
    "backbone": "conv_nano",  # without a probe, unless a script asks for one
    "cache": "off",
}
CHECKPOINTS = ("latest.pth", "previous.pth")
PATIENCE_SEC = 600.0
"""Time after which a start without progress counts as hanging."""
POLL_SEC, LOOK_SEC = 0.0005, 0.02
MARK = "FAULTS_MARK"


@dataclass(frozen=True, slots=True)
class Run:
    """A folder with config.yaml, in which the commands run; all output goes to `work`."""

    folder: Path
    environment: dict[str, str]

    @property
    def work(self) -> Path:
        """The work dir."""
        return self.folder / "work"

    def start(self, *words: str, script: str = "autotrain.py", **environment: str) -> "Life":
        """Start a command; `words` follow it, `environment` is added to that of the run."""
        return Life(self, [str(ROOT / script), *words], {**self.environment, **environment})

    def finish(self, *words: str, script: str = "autotrain.py") -> str:
        """Run a command and return its output; raises MissedError if it fails."""
        life = self.start(*words, script=script)
        if code := life.wait():
            raise MissedError(f"{script} in {self.folder} ended with {code}:\n{life.said()}")
        return life.said()

    def events(self, kind: str) -> list[dict]:
        """Return the events of one kind in metrics.jsonl, without incomplete lines."""
        try:
            lines = (self.work / "metrics.jsonl").read_bytes().splitlines()
        except OSError:  # missing, or a folder
            return []
        whole = []
        for line in lines:
            with contextlib.suppress(ValueError):
                whole.append(json.loads(line))
        return [event for event in whole if event.get("event") == kind]

    def steps_done(self) -> int:
        """Return the last step in metrics.jsonl."""
        return max((event["iter"] for event in self.events("train")), default=0)

    def steps_saved(self) -> int:
        """Return the last step in a checkpoint, else 0; raises MissedError if one is damaged."""
        # The newer one may become the older one in between: repeat while there is none.
        for _ in range(3):
            saved = [read_checkpoint(p)["meta"]["iter"] for p in self.checkpoints()]
            if saved:
                return max(saved)
        return 0

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints to resume from."""
        return [path for name in CHECKPOINTS if (path := self.work / name).exists()]

    def left_over(self) -> list[str]:
        """Return the names of temporary files in the work dir."""
        return sorted(p.name for p in self.work.rglob(".*part")) if self.work.is_dir() else []


class Place:
    """A folder with the demo's clips and a cache, in which runs are made.

    Args:
        root: an empty folder.
        keys: config keys of every run, in addition to KEYS.
    """

    def __init__(self, root: Path, **keys: object) -> None:
        self.root = root
        self.keys = {**KEYS, **keys}
        self.environment = {"XDG_CACHE_HOME": str(root / "cache"), "OMP_NUM_THREADS": "1"}
        make_demo(root / "data", clips_per_class=CLIPS)

    def run(self, name: str, **keys: object) -> Run:
        """Make a run without starting it; `keys` go into its config."""
        folder = self.root / name
        folder.mkdir(parents=True)
        self.write_config(folder, **keys)
        return Run(folder, self.environment)

    def write_config(self, folder: Path, **keys: object) -> None:
        """Write the config.yaml of a run; JSON is YAML as well."""
        lists = {
            f"ann_file_{split}": str(self.root / f"data/annotations/{split}_list.txt")
            for split in ("train", "val", "test")
        }
        data = {"data_root": str(self.root / "data/videos"), **lists}
        text = json.dumps({**data, **self.keys, **keys}, indent=1)
        (folder / "config.yaml").write_text(text)


class Life:
    """One start of a command, in its own process group, with its output in a file."""

    def __init__(self, run: Run, command: list[str], environment: dict[str, str]) -> None:
        self.run = run
        self.mark = uuid.uuid4().hex  # inherited by every process of this start
        self.shown = run.folder / f"said_{self.mark}.txt"
        self.began_at = time.time()
        self.lived_sec = 0.0
        self.trains_since: float | None = None
        """Time at which its first step was seen (Unix time)."""
        self.evaluations = len(run.events("val"))
        with self.shown.open("wb") as shown:
            # Through a pipe, so that a limit on file sizes does not affect the output.
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=run.folder,
                env={**without_coverage(), **environment, MARK: self.mark},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.writer = subprocess.Popen(["cat"], stdin=self.process.stdout, stdout=shown)
        self.process.stdout.close()
        atexit.register(self.kill)

    @property
    def code(self) -> int | None:
        """The exit code as in a shell (128 + signal); None while it runs."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def said(self) -> str:
        """Return its output so far."""
        return self.shown.read_text(errors="replace")

    def training(self) -> bool:
        """Return whether it has done its first step."""
        return bool(re.search(r"^epoch \d+/\d+, step", self.said(), re.MULTILINE))

    def went_on_at(self) -> int | None:
        """Return the step after which it resumed; 0: from the start; None: not known yet."""
        said = re.search(r"Resuming after epoch (\d+) of \d+(?:, step (\d+))?", self.said())
        if done := re.search(r"Training was already finished after (\d+) epochs", self.said()):
            return int(done[1]) * STEPS
        if said:
            return int(said[1]) * STEPS + int(said[2] or 0)
        return 0 if self.training() else None

    def until(self, reached: Callable[[], bool], limit_sec: float = PATIENCE_SEC) -> bool:
        """Wait for a condition; return False if the process ended or time ran out before."""
        began = looked = time.monotonic()
        while not reached():
            now = time.monotonic()
            if self.code is not None or now > began + limit_sec:
                return False
            if self.trains_since is None and now > looked + LOOK_SEC:
                looked = now
                self.trains_since = time.time() if self.training() else None
            time.sleep(POLL_SEC)
        return True

    def live(self, seconds: float) -> None:
        """Let it run for a while, or until it ends."""
        self.until(lambda: False, seconds)

    def until_training(self) -> bool:
        """Wait for the first step; return False if the process ended before."""
        return self.until(lambda: self.trains_since is not None)

    def wait(self, limit_sec: float = PATIENCE_SEC) -> int:
        """Wait for its end and return the exit code; raises MissedError if time runs out."""
        try:
            self.process.wait(limit_sec)
        except subprocess.TimeoutExpired:
            self.kill()
            raise MissedError(f"no end after {limit_sec:.0f} s:\n{self.said()}") from None
        self.lived_sec = time.time() - self.began_at
        atexit.unregister(self.kill)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.writer.wait(5)  # workers that outlive their parent hold its output open
        return self.code

    def send(self, signum: int) -> None:
        """Send a signal to the process itself."""
        self.process.send_signal(signum)

    def kill(self, *, only_parent: bool = False) -> None:
        """Kill it by SIGKILL, alone or with everything that it started."""
        atexit.unregister(self.kill)
        if only_parent:
            self.process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def survivors(self, within_sec: float) -> list[int]:
        """Return the processes of this start that still run after a while, and kill them."""
        end = time.monotonic() + within_sec
        while (alive := marked(self.mark)) and time.monotonic() < end:
            time.sleep(0.05)
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.writer.wait(5)
        return alive


class MissedError(Exception):
    """Something that the bar does not allow."""


def marked(mark: str) -> list[int]:
    """Return the running processes with a mark in their environment."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
    return found


def read_checkpoint(path: Path) -> dict:
    """Return the content of a checkpoint; raises MissedError if the file is damaged."""
    import pickle
    import zipfile

    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            if bad := archive.testzip():
                raise MissedError(f"{path}: {bad} in it is damaged.")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise MissedError(f"{path} is not a whole checkpoint: {error}") from error


def without_coverage() -> dict[str, str]:
    """Return the environment without coverage, whose files would not fit on a full disk."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "COV_CORE_"))}
