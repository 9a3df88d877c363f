"""Which listed clips are not there, and why."""

from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.missing_clips import say_missing


def test_links_that_lead_nowhere_or_in_a_circle_are_told_from_what_is_not_there(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "lost.mp4").symlink_to("../annex/lost")
    (tmp_path / "itself.mp4").symlink_to("itself.mp4")
    paths = ["a.mp4", "lost.mp4", "itself.mp4", "no.mp4"]
    entries = ClipTable(paths, source="list.txt")
    said = [problem.partition(": ")[2] for problem in say_missing({"train": entries}, tmp_path)]
    assert said == [
        f"clip {tmp_path}/lost.mp4 is a broken link to ../annex/lost.",
        f"clip {tmp_path}/itself.mp4 is a broken link to itself.mp4.",
        f"clip {tmp_path}/no.mp4 does not exist.",
    ]


def test_where_no_clip_is_there_it_is_said_what_is(tmp_path):
    def problem(path, root):
        entries = ClipTable([path], source="list.txt")
        (sentence,) = say_missing({"train": entries}, root)
        return sentence

    videos = tmp_path / "videos"
    videos.mkdir()
    assert "data_root" in problem("a_0.npy", videos)
    (videos / "a_0.mp4").touch()
    assert problem("a_0.npy", videos).endswith("; the closest match is a_0.mp4.")
    assert problem("xyz.mp4", videos).endswith(
        "; the clips there have other names, such as a_0.mp4."
    )


def test_missing_clips_may_be_left_to_whoever_opens_them_unless_all_are_missing(tmp_path):
    (tmp_path / "a.mp4").touch()
    some, none = ClipTable(["a.mp4", "b.mp4"]), ClipTable(["b.mp4", "c.mp4"])
    assert say_missing({"test": some}, tmp_path, only_if_all=True) == []
    (sentence,) = say_missing({"test": none}, tmp_path, only_if_all=True)
    assert "none of the 2 listed clips exists" in sentence
