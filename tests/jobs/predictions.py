"""A model file and clips for the tests of predictions, and the command in a process of its own."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.datasets import REPOSITORY, colour_clip
from tests.prediction.model_files import CLASSES, member, tiny_plan, write_model

PROGRAM = """\
import os, sys
import autox_video
import autox_video.jobs.predicted_parts as parts
parts.PART_VIDEOS, parts.PART_SEC = 2, 0.0
{more}
from autox_video.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
KILL_AFTER_PARTS = """
write, written = parts.Parts.write, []
def write_and_die(self, rows, predictions):
    write(self, rows, predictions)
    written.append(rows)
    if len(written) == {count}:
        os.kill(os.getpid(), {signal})
parts.Parts.write = write_and_die
"""


def make_clips(folder: Path, count: int = 3) -> Path:
    """Write `count` clips of each class into a folder named as the class."""
    for colour in CLASSES:
        (folder / colour).mkdir(parents=True)
        for number in range(count):
            colour_clip(folder / colour / f"{number}.mp4", colour, seed=number)
    return folder


def make_model(folder: Path, **changes) -> Path:
    """Write a model file with random weights."""
    folder.mkdir(exist_ok=True)
    return write_model(folder, member(tiny_plan(**changes)))


def in_parts(*words, cwd, more="", launcher=(), program=None) -> subprocess.CompletedProcess:
    """Run `autox-video predict` with parts of two videos, which do not grow."""
    script = cwd / "in_parts.py"
    script.write_text(program or PROGRAM.format(more=more))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *launcher, str(script), "predict", *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )


def read(path: Path) -> list[dict]:
    """Read the predictions in a JSON or CSV file."""
    if path.suffix == ".json":
        return json.loads(path.read_text())["predictions"]
    with open(path, newline="", errors="surrogateescape") as file:
        return list(csv.DictReader(file))
