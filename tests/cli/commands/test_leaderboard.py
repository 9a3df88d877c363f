"""The leaderboard of a work dir."""

from autox_video.automl.leaderboard import Row, put_row
from autox_video.cli.main import main


def test_leaderboard_shows_what_was_tried(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text("data_root: clips\nwork_dir: work\n")
    assert main(["leaderboard", "my.yaml"]) == 0
    assert "No leaderboard" in capsys.readouterr().out
    (tmp_path / "work").mkdir()
    for name, score in (("slow", 0.25), ("quick", 0.75)):
        put_row(tmp_path / "work", Row(name, "search", "swin_nano", 8, 112, score=score))
    assert main(["leaderboard", "my.yaml", "work_dir=work"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("quick") < shown.index("slow") and "0.7500" in shown
    assert main(["leaderboard", "absent.yaml"]) == 2
