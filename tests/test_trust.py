"""Nothing that is read is ever run: a hostile file in every place that the commands read.

The payload is a pickle, raw or in a checkpoint of torch, or code in the language of the place; it
would make a folder. Each command must come to its end, or to a sentence, and the folder not exist.
"""

import ast
import io
import json
import os
import pickle
import shutil
import sqlite3
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from autox_video import AutoXVideo
from autox_video.backbones.weights.known_weights import KNOWN_FILES
from autox_video.cli.main import main
from autox_video.core.errors import CheckpointError
from autox_video.data.inspection.facts_cache import TABLE
from autox_video.video.files.remote_cache import RemoteCache
from tests.datasets import TINY, colour_data, command, write_config
from tests.servers import serve

PACKAGE = Path(__file__).parents[1] / "autox_video"
LISTS = {"data_root": "videos", **{f"ann_file_{s}": f"{s}.txt" for s in ("train", "val", "test")}}
KEYS = {**LISTS, **TINY, "work_dir": "work", "test_results_path": "r.json"}


class Payload:
    """Unpickled anywhere, it makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture(scope="module")
def marker(tmp_path_factory):
    """The folder that would be there if anything had run."""
    folder = tmp_path_factory.mktemp("marker") / "ran"
    yield folder
    assert not folder.exists()


def forms_of(folder):
    """The payload that would make a folder, by form."""
    buffer, legacy = io.BytesIO(), io.BytesIO()
    content = {"schema": 2, "state_dict": {"a": Payload(folder)}, "meta": {}}
    torch.save(content, buffer)
    torch.save(content, legacy, _use_new_zipfile_serialization=False)
    return {
        "raw": pickle.dumps(Payload(folder), protocol=2),
        "text": pickle.dumps(Payload(folder), protocol=0),
        "torch": buffer.getvalue(),
        "old torch": legacy.getvalue(),
        "python": f"import os\nos.mkdir({str(folder)!r})\n".encode(),
        "yaml": f"data_root: !!python/object/apply:os.mkdir [{folder}]\n".encode(),
    }


@pytest.fixture(scope="module")
def hostile(marker):
    """The payload by form."""
    return forms_of(marker)


RUNNING = {
    "raw": pickle.loads,
    "text": pickle.loads,
    "torch": lambda content: torch.load(io.BytesIO(content), weights_only=False),
    "old torch": lambda content: torch.load(io.BytesIO(content), weights_only=False),
    "python": exec,
    "yaml": lambda content: yaml.load(content, yaml.UnsafeLoader),
}


@pytest.mark.parametrize("form", RUNNING)
def test_the_payload_works_where_it_is_run(tmp_path, form):
    content = forms_of(tmp_path / "ran")[form]
    assert not (tmp_path / "ran").exists()
    RUNNING[form](content)
    assert (tmp_path / "ran").is_dir()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with clips, lists and a finished run."""
    root = tmp_path_factory.mktemp("trained")
    colour_data(root, train=3, val=1, test=1)
    write_config(root / "config.yaml", **KEYS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        assert main(["train"]) == 0
    return root


@pytest.fixture
def place(trained, tmp_path, monkeypatch):
    """A copy of it, the current folder."""
    root = tmp_path / "place"
    shutil.copytree(trained, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))
    return root


@pytest.fixture
def run(place, marker, capsys):
    """Run a command as its script does; gives what it says, once nothing has run."""

    def run(*words, ends_well=None):
        capsys.readouterr()
        code = main(words)  # an exception would be a traceback
        said = capsys.readouterr()
        assert not marker.exists()
        assert code == {None: code, True: 0, False: 2}[ends_well], (said.out, said.err)
        assert code == 0 or said.err.strip()
        assert "Traceback" not in said.out + said.err
        return said.out + said.err

    return run


def put(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)


# ---- weights ----


@pytest.mark.parametrize("form", ["raw", "text", "torch", "old torch"])
def test_checkpoints_to_go_on_from(place, hostile, run, form):
    put("work/latest.pth", hostile[form])
    put("work/previous.pth", hostile[form])
    put("work/best.safetensors", hostile[form])
    assert "latest.pth" in run("train", "epoch=3", ends_well=False)


@pytest.mark.parametrize("form", ["raw", "text", "torch", "old torch"])
@pytest.mark.parametrize("name", ["best.pth", "best.safetensors", "latest.pth"])
def test_weights_to_test(place, hostile, run, name, form):
    for other in ("best.pth", "best.safetensors", "latest.pth"):
        Path("work", other).unlink(missing_ok=True)
    put(f"work/{name}", hostile[form])
    assert name in run("test", ends_well=False)
    with pytest.raises(CheckpointError, match=name):
        AutoXVideo().read_cfg("config.yaml").transform(checkpoints=f"work/{name}")


def test_safetensors_are_tested_as_checkpoints_are(place, run):
    before = AutoXVideo().read_cfg("config.yaml").transform()
    state = torch.load("work/best.pth", weights_only=True)
    Path("work/best.pth").unlink()
    said = json.dumps({"metrics": state["meta"]["metrics"]})
    save_file(state["state_dict"], "work/best.safetensors", metadata={"meta": said})
    chosen = AutoXVideo().read_cfg("config.yaml").transform(checkpoints="work/best.safetensors")
    assert chosen == before
    assert "Results: " in run("test", ends_well=True)


@pytest.mark.parametrize("form", ["raw", "text", "torch", "old torch"])
@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors", "w"])
def test_pretrained_weights_by_name(place, hostile, run, name, form):
    put(name, hostile[form])
    assert name in run("train", "work_dir=new", f"load_from={name}", ends_well=False)


def test_pretrained_weights_that_are_found(place, hostile, run):
    known = next(k.file_name for k in KNOWN_FILES if k.backbone == "swin_tiny")
    put(f"checkpoints/{known}", hostile["torch"])
    put("checkpoints/unknown.pth", hostile["torch"])
    assert known in run("train", "work_dir=new", "load_from=auto", "backbone=auto", ends_well=False)


# ---- what else a work dir holds ----


@pytest.mark.parametrize("form", ["raw", "python"])
def test_what_training_reads_of_a_work_dir_or_writes_anew(place, hostile, run, form):
    names = ("config.py", "record.json", "train.csv", "val.csv", "unreadable.csv", "train.log")
    for name in (*names, "best.pth"):
        put(f"work/{name}", hostile[form])
    put("work/check/check.json", hostile[form])
    run("train", "epoch=3", ends_well=True)
    run("test")
    run("check", ends_well=True)


@pytest.mark.parametrize("form", ["raw", "text"])
def test_records_of_a_run(place, hostile, run, form):
    for name in ("memory.json", "metrics.jsonl", "record.json", "clips.json"):
        put(f"work/{name}", hostile[form])
    assert "restored from latest.pth" in run("train", "epoch=3", ends_well=True)
    put("work/record.json", hostile[form])
    put("work/run.lock", hostile[form])
    for name in ("latest.pth", "previous.pth"):
        put(f"work/{name}", hostile[form])
    assert "record.json" in run("train", "epoch=4", ends_well=False)


@pytest.mark.parametrize("form", ["raw", "text", "python"])
def test_a_division_that_is_kept(place, hostile, run, form):
    folder = ["ann_file_train=train.txt", "ann_file_val=auto", "work_dir=new"]
    for name in ("train", "val", "test"):
        put(f"new/split/{name}.csv", hostile[form])
    assert "split" in run("train", *folder, ends_well=False)
    assert "split" in run("check", *folder, ends_well=False)
    shutil.move("work/best.pth", "new/best.pth")
    assert "test.csv" in run("test", *folder, "ann_file_test=auto", ends_well=False)


@pytest.mark.parametrize("form", ["raw", "text", "torch", "python"])
def test_no_config_is_read(place, hostile, run, form):
    put("work/config.py", hostile[form])
    run("test", ends_well=True)
    run("train", "epoch=3", ends_well=True)


@pytest.mark.parametrize("form", ["raw", "text", "torch", "python"])
def test_a_record_beside_weights_that_carry_none(place, hostile, run, form):
    state = torch.load("work/best.pth", weights_only=True)
    del state["meta"]["record"]
    del state["meta"]["digest"]
    torch.save(state, "work/best.pth")
    run("test", ends_well=True)
    put("work/record.json", hostile[form])
    assert "no intact record.json in its folder" in run("test", ends_well=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone", "../../evil"),
        ("backbone", "os.mkdir"),
        ("backbone", {"type": "os.mkdir"}),
        ("clip_len", 0),
        ("clip_len", 1 << 40),
        ("resolution", -1),
        ("frame_interval_sec", 0.0),
        ("test_clips", "two"),
        ("window_size", [0, 7, 7]),
        ("head_grid", [0, 0, 0]),
        ("num_classes", 4),
        ("decoder", ["pyav"]),
    ],
)
def test_a_record_that_makes_no_sense(place, run, name, value):
    state = torch.load("work/best.pth", weights_only=True)
    state["meta"]["record"]["choices"][name]["value"] = value
    del state["meta"]["digest"]
    torch.save(state, "work/best.pth")
    assert "work/best.pth: invalid run record" in run("test", ends_well=False)


@pytest.mark.slow
def test_the_real_scripts_end_in_a_sentence(place, hostile, marker):
    state = torch.load("work/best.pth", weights_only=True)
    state["meta"]["record"] = hostile["python"].decode()
    del state["meta"]["digest"]
    torch.save(state, "work/best.pth")
    done = command("autotest.py", cwd=place)
    assert done.returncode == 2
    assert "best.pth" in done.stderr
    put("work/latest.pth", hostile["torch"])
    put("work/previous.pth", hostile["torch"])
    again = command("autotrain.py", cwd=place)
    assert again.returncode == 2
    assert "latest.pth" in again.stderr
    assert "Traceback" not in done.stderr + again.stderr
    assert not marker.exists()


# ---- lists and config ----


@pytest.mark.parametrize("form", ["raw", "text", "torch", "python"])
@pytest.mark.parametrize("suffix", ["txt", "csv", "json", "jsonl"])
def test_lists(place, hostile, run, suffix, form):
    put(f"l.{suffix}", hostile[form])
    run("check", f"class_names=l.{suffix}", ends_well=False)
    for key in ("ann_file_train", "ann_file_val"):
        assert f"l.{suffix}" in run("check", f"{key}=l.{suffix}", ends_well=False)
    assert f"l.{suffix}" in run("test", f"ann_file_test=l.{suffix}", ends_well=False)


@pytest.mark.parametrize(
    "data_format",
    ["list", "ucf101", "kinetics", "ssv2", "jester", "metadata", "vertex_csv", "vertex_jsonl"],
)
@pytest.mark.parametrize("form", ["text", "python"])
def test_lists_of_every_format(place, hostile, run, data_format, form):
    put("l", hostile[form])
    for name in ("classInd.txt", "labels.json", "labels.csv"):
        put(name, hostile[form])
    run("check", "ann_file_train=l", f"data_format={data_format}", ends_well=False)


@pytest.mark.parametrize("form", ["raw", "python"])
@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "classes.txt"])
def test_what_is_found_in_data_root(place, hostile, run, name, form):
    put(f"videos/{name}", hostile[form])
    run("check", "ann_file_train=auto", "ann_file_val=auto", "ann_file_test=auto", ends_well=False)


@pytest.mark.parametrize("form", ["raw", "text", "torch", "python", "yaml"])
def test_the_config(place, hostile, run, form):
    put("evil.yaml", hostile[form])
    for job in ("train", "test", "check"):
        assert "evil.yaml" in run(job, "evil.yaml", ends_well=False)


def test_keys_of_the_command_line(place, run, marker):
    value = f"!!python/object/apply:os.mkdir ['{marker}']"
    assert "epoch" in run("train", f"epoch={value}", ends_well=False)
    run("train", f"data_root={value}", ends_well=False)


# ---- clips and caches ----


@pytest.mark.parametrize("form", ["raw", "text", "torch", "python"])
def test_clips_and_pictures(place, hostile, run, form):
    clips = []
    for suffix in ("mp4", "avi", "mkv", "gif", "ts"):
        clips.append(f"evil.{suffix}")
        put(f"videos/{clips[-1]}", hostile[form])
    clips.append("frames")
    for number in range(3):
        put(f"videos/frames/img_{number:05d}.jpg", hostile[form])
    lines = "".join(f"{clip} 0\n" for clip in clips)
    Path("train.txt").write_text(Path("train.txt").read_text() + lines)
    Path("test.txt").write_text(Path("test.txt").read_text() + lines)
    assert "Unreadable clips: " in run("check", ends_well=True)
    assert "6 clips cannot be read" in run("test", ends_well=True)


def test_the_cache_of_probed_clips(place, hostile, run):
    cache = place / "cache" / "autox_video" / "probe.sqlite"
    put(cache, hostile["raw"])
    assert "was recreated" in run("check", ends_well=True)
    with sqlite3.connect(cache) as database:
        for column in ("facts", "digest", "fingerprint", "scene"):
            database.execute(f"UPDATE {TABLE} SET {column} = ?", (hostile["raw"],))
    database.close()
    run("check", ends_well=True)


def test_the_cache_of_frames(place, hostile, run):
    words = ("train", "work_dir=new", "cache=frames")
    run(*words, "epoch=1", ends_well=True)
    kept = list(Path("frames").rglob("*.frames"))
    assert len(kept) == 12
    for number, file in enumerate(kept):
        header = file.read_bytes()[: 100 * (number % 2)]
        put(file, header + hostile["raw"])
    run(*words, "epoch=2", ends_well=True)


def test_the_cache_of_clips_from_elsewhere(place, hostile, run):
    with serve(place) as server:
        root = f"{server.address}/videos"
        for line in Path("train.txt").read_text().splitlines():
            clip = line.rsplit(" ", 1)[0].replace(" ", "%20")
            put(RemoteCache("remote").path_of(f"{root}/{clip}"), hostile["raw"])
        put("remote/.usage", hostile["raw"])
        assert "Unreadable clips: " in run(
            "check", f"data_root={root}", "remote_cache=remote", ends_well=True
        )


# ---- the source itself ----

_FORBIDDEN = {"eval", "exec", "compile", "unsafe_load", "full_load", "load_checkpoint"}


def calls_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_no_file_of_the_package_reads_by_running(path):
    for name, call in calls_of(ast.parse(path.read_text(encoding="utf-8"))):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        last = name.rpartition(".")[2]
        assert name not in _FORBIDDEN, name
        if name == "torch.load":
            assert given.get("weights_only") == "True"
        assert not name.startswith("pickle.load"), name
        if name in ("np.load", "numpy.load"):
            assert "allow_pickle" not in given
        if name.startswith("yaml."):
            assert last in ("safe_load", "compose", "safe_dump"), name
        assert last != "fromfile", name
