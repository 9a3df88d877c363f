"""The folder of the list formats' tests, with small videos of known frame rates."""

import os

import pytest

from tests.places import Place
from tests.videos import numbered_frames, write_video


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with `videos`: a.mp4 and sub/b.mp4 of 2 s at 12 fps, v.mp4 of 1 s."""
    monkeypatch.chdir(tmp_path)
    os.makedirs("videos/sub")
    for name, frames in (("a.mp4", 24), ("sub/b.mp4", 24), ("v.mp4", 12)):
        write_video(f"videos/{name}", numbered_frames(frames), fps=12)
    place = Place()
    place.write(v_dot_csv="path,label\nv.mp4,run\n")
    return place
