"""A file that we write holds what it held or what is new, whatever happens in between."""

import errno
import json
import os
import stat
import subprocess
import sys

import pytest

from autox_video.core.errors import ResourceError
from autox_video.core.files import (
    append_json_line,
    atomic_write,
    remove_leftovers,
    sha256,
    write_json,
    write_text,
)


def test_write_text_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "new folder" / "a.txt"
    write_text(path, "old")
    write_text(path, "new ü\n")
    assert path.read_bytes() == "new ü\n".encode()
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_failure_in_between_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_process_that_dies_in_between_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    program = (
        "import os, sys\n"
        "from autox_video.core.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == 9
    assert path.read_text() == "old"


def test_data_reach_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(handle):
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        events.append(f"flush {kind}")
        fsync(handle)

    def note_replace(old, new):
        events.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_text(tmp_path / "a.txt", "x")
    assert events == ["flush file", "replace", "flush folder"]


def test_the_file_has_the_ordinary_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_no_thread_ever_sees_another_umask(tmp_path, monkeypatch):
    """To ask for it is to change it for a moment, in which another thread may ask too."""

    def changed(mask):
        raise AssertionError("the umask belongs to all threads")

    monkeypatch.setattr(os, "umask", changed)
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.txt", tmp_path):
        with pytest.raises(ResourceError, match="cannot be written") as caught:
            write_text(path, "x")
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]


def test_write_json_round_trips_and_refuses_nan(tmp_path):
    path = tmp_path / "a.json"
    value = {"name": "Müller", "scores": [0.1, 1e-300], "none": None}
    write_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == value
    assert "Müller" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == value


def test_append_starts_a_new_line_after_a_torn_one(tmp_path):
    path = tmp_path / "a.jsonl"
    append_json_line(path, {"step": 1})
    append_json_line(path, {"step": 2})
    with open(path, "a") as file:
        file.write('{"step": 3, "lo')  # what a crash leaves
    append_json_line(path, {"step": 4})
    lines = path.read_text().splitlines()
    assert lines[:2] == ['{"step": 1}', '{"step": 2}']
    assert json.loads(lines[3]) == {"step": 4}
    assert path.read_text().endswith("\n")


def test_append_to_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(ResourceError, match="cannot be written"):
        append_json_line(tmp_path / "missing" / "a.jsonl", {})


def test_a_line_that_does_not_fit_leaves_nothing_of_it(tmp_path):
    program = (
        "import resource, signal, sys\n"
        "from autox_video.core.errors import ResourceError\n"
        "from autox_video.core.files import append_json_line\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "append_json_line(sys.argv[1], {'step': 1})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))\n"
        "try:\n"
        "    append_json_line(sys.argv[1], {'step': 2})\n"
        "except ResourceError as error:\n"
        "    print(error)\n"
    )
    path = tmp_path / "a.jsonl"
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert "cannot be written (File too large)" in done.stdout, done.stderr
    assert path.read_text() == '{"step": 1}\n'


def test_a_line_is_on_the_disk_before_append_returns(tmp_path, monkeypatch):
    flushed = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(fsync(handle)))
    append_json_line(tmp_path / "a.jsonl", {})
    assert len(flushed) == 1


@pytest.mark.parametrize(("number", "tolerated"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_file_system_that_cannot_flush_folders_will_do(tmp_path, monkeypatch, number, tolerated):
    fsync = os.fsync

    def refuse_folders(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    if tolerated:
        write_text(tmp_path / "a.txt", "x")
    else:
        with pytest.raises(ResourceError, match="cannot be written"):
            write_text(tmp_path / "a.txt", "x")


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    program = (
        "import os, sys\n"
        "from autox_video.core.files import atomic_write\n"
        "with atomic_write(sys.argv[1]):\n"
        "    os._exit(9)\n"
    )
    for name in ("latest.pth", "mine.txt"):
        subprocess.run([sys.executable, "-c", program, tmp_path / name], check=False)
    (tmp_path / ".latest.pth.swp").write_text("an editor's")
    assert len(os.listdir(tmp_path)) == 3
    remove_leftovers(tmp_path, {"latest.pth"})
    kept = sorted(os.listdir(tmp_path))
    assert kept[0] == ".latest.pth.swp"
    assert kept[1].startswith(".mine.txt.")
    assert len(kept) == 2
    remove_leftovers(tmp_path / "absent", {"latest.pth"})


def test_json_holds_nothing_that_steers_a_terminal(tmp_path):
    value = {
        "naïve 視頻": "\x1b[31m\x07\n\x7f\x85\x9b\u202e\u2066\u2028\ufeff\udcff",
        "e": "\\u202e 🎬",
    }
    write_json(tmp_path / "a.json", value)
    append_json_line(tmp_path / "a.jsonl", value)
    for name in ("a.json", "a.jsonl"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert {c for c in text if not c.isprintable()} == {"\n"}
        assert "naïve 視頻" in text
        assert "🎬" in text
        assert json.loads(text) == value


def test_a_name_that_is_no_text_is_written_as_its_bytes(tmp_path):
    write_text(tmp_path / "a", os.fsdecode(b"x\xff\n"))
    assert (tmp_path / "a").read_bytes() == b"x\xff\n"


def test_sha256_is_the_files(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x").startswith("ba7816bf8f01cfea")
