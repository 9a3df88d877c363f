"""Which pretrained weights a run starts from."""

from pathlib import Path

import pytest

from autox_video.automl import starting_weights
from autox_video.automl.starting_weights import find_weights
from autox_video.core.errors import CheckpointError, ConfigError
from tests.backbones.weights.weight_files import weights_file


def test_a_known_file_in_checkpoints_is_used_by_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starting_weights, "source_tree", lambda: None)
    assert find_weights("auto", "auto") is None
    assert "starts from scratch" in capsys.readouterr().out
    name = "swin_base_patch244_window877_kinetics600_22k.pth"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).write_bytes(b"x")
    found = find_weights("auto", "auto")
    assert (found.backbone, Path(found.path).name) == ("swin_base", name)
    assert find_weights("none", "auto") is None


@pytest.mark.slow
def test_a_named_file_is_identified_by_its_tensors(tmp_path):
    path = weights_file(tmp_path / "w" / "mine.pth")
    found = find_weights(str(path), "auto")
    assert found.backbone == "swin_nano"
    with pytest.raises(ConfigError, match="holds weights of swin_nano, but backbone is swin_tiny"):
        find_weights(str(path), "swin_tiny")
    with pytest.raises(CheckpointError, match="absent"):
        find_weights(str(tmp_path / "absent.pth"), "auto")


def test_weights_are_looked_for_here_and_in_the_source_tree_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = tmp_path / "tree"
    (tree / "checkpoints").mkdir(parents=True)
    for found, folders in ((tree, 2), (None, 1), (tmp_path, 1), (tmp_path / "nowhere", 1)):
        monkeypatch.setattr(starting_weights, "source_tree", lambda found=found: found)
        assert (
            starting_weights.weight_folders()
            == [tmp_path / "checkpoints", tree / "checkpoints"][:folders]
        )
