"""Which batches are computed by compiled blocks."""

import pytest
import torch
from torch import nn

from autox_video.training.compiled import compiled_for
from autox_video.training.run_training import train
from tests.training.tiny import tiny_config


@pytest.mark.parametrize("is_full", [True, False])
def test_a_batch_that_is_not_full_is_computed_without(is_full):
    seen = []

    def backend(graph, inputs):
        seen.append(inputs[0].shape)
        return graph.forward

    model = nn.Sequential(nn.Linear(2, 2))
    model[0].compile(backend=backend, dynamic=False)
    x = torch.ones(3, 2)
    with compiled_for(model, is_full=is_full):
        assert torch.equal(model(x), nn.functional.linear(x, model[0].weight, model[0].bias))
    assert len(seen) == is_full


def test_training_and_validation_tell_which_are_full(clips, tmp_path, monkeypatch):
    told = []

    def note(model, *, is_full):
        told.append(is_full)
        return compiled_for(model, is_full=is_full)

    monkeypatch.setattr("autox_video.training.loops.compiled_for", note)
    config = tiny_config(clips, tmp_path, epoch=1)  # nine clips, four at a time
    config.val_dataloader.batch_size = 2  # of three
    train(config)
    assert told == [True, True, False, True, False]
