"""File names that would steer a terminal, or break a line: shown escaped, and kept as they are."""

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from autox_video.cli.main import main
from tests.datasets import COLOURS, REPOSITORY, TINY, colour_clip, write_config

FAKE = "\nTraining is done: all is well"
CLASSES = dict(
    zip(COLOURS, ("cl\nass", "\x1b]0;title\x07\x1b[2J", os.fsdecode(b"\xff\xfe \x9b")), strict=True)
)
NAMES = [
    f"a{FAKE}.mp4",
    "esc\x1b[31m.mp4",
    "cr\rover.mp4",
    "bs\x08\x08\x08.mp4",
    "rlo\u202egpm.mp4",
    os.fsdecode(b"\xe9\xff.mp4"),
    "[bold]x[/bold] {task} %d.mp4",
    "csi\x9b31m.mp4",
    "next\x85line\u2028.mp4",
    "q\"',;.mp4",
]
BROKEN = (NAMES[0], NAMES[5])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Class folders of three classes, two clips of each broken, under names of that kind."""
    root = tmp_path_factory.mktemp("names")
    for number, (colour, folder) in enumerate(CLASSES.items()):
        for index, name in enumerate(NAMES):
            path = root / "videos" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            colour_clip(root / "clip.mp4", colour, seed=100 * number + index)
            if name in BROKEN:
                path.write_bytes(f"{number} {name!r}".encode())
            else:
                os.rename(root / "clip.mp4", path)
    keys = {**TINY, "epoch": 1, "data_root": "videos", "work_dir": "work\x1b[31m\n"}
    write_config(root / "config.yaml", **keys, test_results_path="r.json")
    return root


@pytest.fixture
def run(place, monkeypatch, capsys):
    monkeypatch.chdir(place)

    def run(*words):
        capsys.readouterr()
        code = main(words)
        said = capsys.readouterr()
        text = said.out + said.err
        assert {c for c in text if not c.isprintable()} <= {"\n"}
        assert FAKE not in text
        assert "Traceback" not in text
        return code, text

    return run


def work(name):
    return Path("work\x1b[31m\n", name)


def test_the_commands_show_them_escaped_and_keep_them(run):
    for job in ("check", "train", "test"):
        code, text = run(job, "verbose=true")
        assert code == 0, text
        if job != "test":
            assert "cl\\nass" in text
            assert "\\x1b]0;title\\x07" in text
    for name in ("config.py", "record.json", "metrics.jsonl", "train.log", "check/check.json"):
        _only_printable(work(name))
    _only_printable(Path("r.json"))
    events = [json.loads(line) for line in work("metrics.jsonl").read_text().splitlines()]
    assert events
    with open(work("unreadable.csv"), encoding="utf-8", errors="surrogateescape", newline="") as f:
        rows = list(csv.reader(f))[1:]
    broken = {f"{folder}/{name}" for folder in CLASSES.values() for name in BROKEN}
    assert {path for path, _ in rows} == broken
    assert set(json.loads(Path("r.json").read_text())["classes"]) == set(CLASSES.values())
    report = json.loads(work("check/check.json").read_text())
    assert {clip["video"] for clip in report["unreadable"]} == broken


def _only_printable(path):
    text = path.read_bytes().decode("utf-8")
    assert {c for c in text if not c.isprintable()} <= {"\n"}, path


def test_error_sentences_stay_one_line_each(run):
    lines = [f"../out{FAKE}\x1b[2J.mp4", "there\x1b[1m.mp4"]
    with open("l\n\x1b.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((line, "x\ry") for line in lines)])
    for words in (
        ["check", "ann_file_train=l\n\x1b.csv"],
        ["check", "ann_file_train=l\n\x1b.csv", "allow_outside=true"],
        ["check", "ann_file_train=no\n\x1b.csv"],
        ["train", "no\n\x1b.yaml"],
        ["train", "data_root=no\n\x1b"],
        ["train", "no\n\x1b=1", "epoch=\x1b\n"],
        ["test", "work_dir=no\n\x1b"],
        ["train", "load_from=no\n\x1b.pth"],
        ["test", "test_results_path=no\n\x1b/r.json"],
    ):
        code, text = run(*words)
        assert code == 2
        assert "\\x1b" in text


def command_line():
    return [sys.executable, "-c", "from autox_video.cli.main import main; raise SystemExit(main())"]


def environment(**others):
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **others}


def test_on_a_terminal(place):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command_line(), "check"], cwd=place, env=environment(), stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(60) == 0
    for bad in (
        b"\x1b]0;title",
        b"\x1b[2J",
        b"\x1b[31m.mp4",
        b"\x08\x08",
        b"\xe2\x80\xae",
        b"\xc2\x9b",
    ):
        assert bad not in shown
    assert b"\\x1b]0;title" in shown


def test_a_terminal_that_lacks_letters(tmp_path):
    colour_clip(tmp_path / "clip.mp4", "red", seed=1)
    for folder in ("視頻", "naïve"):
        for name in ("1.mp4", "2.mp4"):
            (tmp_path / "v" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "v" / folder / name).write_bytes((tmp_path / "clip.mp4").read_bytes())
    write_config(tmp_path / "config.yaml", **TINY, data_root="v")
    done = subprocess.run(
        [*command_line(), "check", "verbose=true"],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\u8996" in done.stdout
