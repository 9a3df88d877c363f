"""What the caches take, and emptying them."""

import numpy as np

from autox_video.cli.main import main
from autox_video.data.loading.frame_cache import CachedClip, FrameCache


def test_the_cache_is_shown_and_cleared(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "autox_video" / "frames"
    pixels = np.zeros((2, 64, 64, 3), np.uint8)
    clip = CachedClip(1.0, np.array([0.0, 0.5]), np.array([0, 1]), pixels)
    FrameCache(folder, 1.0).put("ab", clip)
    assert main(["cache", "show"]) == 0
    assert "Frames of 1 clip cached: 0.00 GiB" in capsys.readouterr().out
    assert main(["cache", "clear", str(folder)]) == 0
    assert "Frames of 1 clip removed" in capsys.readouterr().out
    assert FrameCache(folder, 1.0).get("ab") is None
    assert main(["cache", "clear", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err
