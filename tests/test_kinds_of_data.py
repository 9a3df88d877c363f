"""Whole jobs on data that is not `path label`."""

import json

import numpy as np
import pytest
import torch

from autox_video import AutoXVideo
from tests.datasets import COLOURS, TINY, colour_clip, colour_data, write_config
from tests.servers import serve
from tests.videos import write_video

pytestmark = pytest.mark.slow

SIZE = (36, 48)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(folder, capsys, **keys):
    """Train and test; gives the content of results.json and what was said."""
    config = write_config(
        folder / "config.yaml",
        **{**TINY, "workers": 1, **keys},
        work_dir=str(folder / "work"),
        test_results_path=str(folder / "results.json"),
    )
    model = AutoXVideo().read_cfg(str(config))
    model.fit()
    model.transform()
    return json.loads((folder / "results.json").read_text()), capsys.readouterr().out


def halves(path, left, right, seed):
    """Write a clip whose halves have two colours."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 50, (6, *SIZE, 3))
    frames[:, :, : SIZE[1] // 2] += np.array(COLOURS[left]) // 5 * 4
    frames[:, :, SIZE[1] // 2 :] += np.array(COLOURS[right]) // 5 * 4
    write_video(path, np.clip(frames, 0, 255).astype(np.uint8), fps=12)


def test_clips_of_several_classes(tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    names = list(COLOURS)
    for split, count in (("train", 12), ("val", 3), ("test", 4)):
        lines = ["path,label"]
        for i in range(count):
            left, right = names[i % 3], names[(i // 3) % 3]
            halves(tmp_path / "videos" / f"{split} {i}.mp4", left, right, i)
            lines.append(f"{split} {i}.mp4,{';'.join(dict.fromkeys((left, right)))}")
        (tmp_path / f"{split}.csv").write_text("\n".join(lines) + "\n")
    lists = {f"ann_file_{s}": str(tmp_path / f"{s}.csv") for s in ("train", "val", "test")}
    results, said = run(
        tmp_path, capsys, data_root=str(tmp_path / "videos"), **lists, augment="strong"
    )
    assert "validation mAP" in said
    assert set(results["metrics"]) >= {"mAP", "f1", "average_precision", "clips"}
    assert results["metrics"]["clips"] == 4
    record = results["predictions"][1]
    assert record["label"] == sorted(record["label"]) and isinstance(record["predicted"], list)
    assert all(0 <= score <= 1 for score in record["scores"])
    assert sum(record["scores"]) != pytest.approx(1.0, abs=1e-3)


def test_parts_of_a_video_are_clips_of_their_own(tmp_path, capsys):
    """One video of three colours, each a second long: only the segment tells the class."""
    rng = np.random.default_rng(0)
    colours = np.repeat(np.array(list(COLOURS.values())), 12, axis=0)
    for name in ("a", "b"):
        frames = colours[:, None, None] + rng.integers(-25, 26, (36, *SIZE, 3))
        write_video(tmp_path / f"{name}.mp4", np.clip(frames, 0, 255).astype(np.uint8), fps=12)
    rows = [f"{{}}.mp4,{name},{i},{i + 1}" for i, name in enumerate(COLOURS)]
    for split, video in (("train", "a"), ("val", "b"), ("test", "b")):
        lines = ["path,label,start,end", *(row.format(video) for row in rows)]
        (tmp_path / f"{split}.csv").write_text("\n".join(lines) + "\n")
    lists = {f"ann_file_{s}": str(tmp_path / f"{s}.csv") for s in ("train", "val", "test")}
    results, _ = run(
        tmp_path, capsys, data_root=str(tmp_path), **lists, epoch=30, lr=0.003, evaluation=10
    )
    assert results["metrics"]["top1"] == 1.0
    assert [(r["start"], r["end"]) for r in results["predictions"]] == [(0, 1), (1, 2), (2, 3)]


def test_clips_on_a_web_server(tmp_path, capsys):
    (tmp_path / "site").mkdir()
    for split, count in (("train", 2), ("val", 1), ("test", 1)):
        lines = []
        for colour in COLOURS:
            for i in range(count):
                name = f"{split}_{colour}_{i}.mp4"
                colour_clip(tmp_path / "site" / name, colour, seed=i)
                lines.append(f"{name} {colour}\n")
        (tmp_path / "site" / f"{split}.txt").write_text("".join(lines))
    with serve(tmp_path / "site") as server:
        address = server.address
        lists = {f"ann_file_{s}": f"{address}/{s}.txt" for s in ("train", "val", "test")}
        results, _ = run(
            tmp_path,
            capsys,
            data_root=address,
            **lists,
            remote_cache=str(tmp_path / "fetched"),
        )
    assert results["metrics"]["clips"] == 3
    assert len(list((tmp_path / "fetched").rglob("*.mp4"))) == 12


def test_another_decoder_than_in_training_is_said(tmp_path, capfd, command_here):
    data = colour_data(tmp_path / "data", train=2, val=1, test=1)
    results, said = run(tmp_path, capfd, **data)
    assert results["decoder"] == "pyav" and "trained with" not in said
    meta = torch.load(tmp_path / "work" / "best.pth", weights_only=True)["meta"]
    assert meta["record"]["choices"]["decoder"]["value"] == "pyav"
    pytest.importorskip("decord", exc_type=ImportError)
    done = command_here("autotest.py", "decoder=decord", cwd=tmp_path)
    assert "decoded by decord, but the model was trained with pyav" in " ".join(done.stderr.split())
    again = json.loads((tmp_path / "results.json").read_text())
    if done.returncode:  # it could give none of them exactly
        assert (done.returncode, again) == (2, results)
        assert "None of the 3 clips" in done.stderr and "decoder: pyav" in done.stderr
        return
    assert again["decoder"] == "decord"
    for one, other in zip(results["predictions"], again["predictions"], strict=True):
        if other["status"] == "unreadable":  # what it cannot give exactly it does not give
            assert "decoder: pyav" in other["error"]
        else:
            assert np.allclose(one["scores"], other["scores"], atol=0.02)
