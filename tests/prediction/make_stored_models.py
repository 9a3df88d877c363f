"""Make the model files that later versions must be able to read.

`python -m tests.prediction.make_stored_models CLIPS` writes a probe, a trained model and an
ensemble, with the schema of this version in their names, and the probabilities that they predict.
Files of earlier schemas are never made anew. CLIPS is a folder for the clips of the training.
"""

import json
import sys
from pathlib import Path
from unittest.mock import patch

from autox_video import AutoXVideo
from autox_video.data.clip_table import ClipTable
from autox_video.evaluation.ensemble import load_models, predict_all
from autox_video.evaluation.predict import Loading, for_testing, record_of
from autox_video.training.checkpoints.checkpoint import (
    RECORD_KEY,
    SCHEMA,
    read_checkpoint,
    write_best,
)
from autox_video.training.checkpoints.members import Member, joined
from tests.backbones.libraries.tiny_transformers import FRAMES, PX, saved
from tests.datasets import COLOURS, TINY, colour_clip, colour_data

FILES = Path(__file__).parent / "stored_models"
EXPECTED = FILES / "expected.json"
"""Probabilities of the clips of `clips_to_predict`, by model file."""
KINDS = ("probe", "trained", "ensemble")
SEED = 7


def clips_to_predict(folder: Path) -> ClipTable:
    """Write a clip of each colour to a folder; the clips are the same each time."""
    names = [f"{colour}.mp4" for colour in COLOURS]
    for name, colour in zip(names, COLOURS, strict=True):
        colour_clip(folder / name, colour, seed=SEED, seconds=1.0)
    return ClipTable(tuple(names), None)


def probabilities(file: Path, folder: Path) -> list[list[float]]:
    """Return the probabilities that a model file predicts for the clips in a folder."""
    models = load_models(file, for_testing(record_of(file)), "cpu")
    clips = clips_to_predict(folder)
    loading = Loading(len(clips), 0, "cpu")
    predictions = predict_all(models, clips, data_root=folder, loading=lambda record: loading)
    return [list(prediction.scores) for prediction in predictions]


def train(clips: Path, work_dirs: Path) -> dict[str, Path]:
    """Train a probe and a tiny network, join them, and return the model files by kind."""
    keys = {**colour_data(clips / "colours", train=4, val=4, test=2), **TINY, "ensemble": "off"}
    (clips / "colours" / "classes.txt").write_text("\n".join(COLOURS))
    folders = {kind: work_dirs / kind for kind in KINDS}
    probe = {"backbone": "descriptors", "mode": "probe", "work_dir": str(folders["probe"])}
    AutoXVideo().fit(**{**keys, **probe})
    network = {
        **{"backbone": f"hf:{saved(clips / 'tiny', 'videomae')}", "load_from": "auto"},
        **{"clip_len": FRAMES, "resolution": PX, "epoch": 4, "lr": 1e-3},
        "work_dir": str(folders["trained"]),
    }
    # Features of random weights tell colours apart, so the probe would be kept.
    with patch("autox_video.automl.run_plan.keep_better", lambda folder, best, *others: best):
        AutoXVideo().fit(**{**keys, **network})
    files = {kind: folder / "best.safetensors" for kind, folder in folders.items()}
    one, other = (read_checkpoint(files[kind]) for kind in ("probe", "trained"))
    members = [
        Member(state["meta"][RECORD_KEY], state["state_dict"], *numbers)
        for state, numbers in ((one, (0.6, 1.0)), (other, (0.4, 1.5)))
    ]
    meta = {**one["meta"], "origin": "ensemble", "metrics": {**one["meta"]["metrics"], "models": 2}}
    write_best(folders["ensemble"], {"schema": SCHEMA, **joined(members, meta)})
    return files


def main(clips: Path) -> None:
    """Write the files of this version and what they predict."""
    from autox_video.training.checkpoints.model_record import MODEL_SCHEMA

    expected = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    for kind, file in train(clips, clips / "work").items():
        copy = FILES / f"{kind}-{MODEL_SCHEMA}.safetensors"
        copy.write_bytes(file.read_bytes())
        expected[copy.name] = probabilities(copy, clips)
    EXPECTED.write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
