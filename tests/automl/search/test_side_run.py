"""Runs beside that of a work dir, in one of several processes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from autox_video.automl.probing import candidates
from autox_video.automl.search.side_run import SideRun, TimeLeft
from autox_video.distributed import processes
from autox_video.distributed.launch import use_device
from autox_video.distributed.processes import Processes
from autox_video.machine.hardware import device_to_find
from autox_video.planning.record import RunRecord, TrainingData
from autox_video.training.config.build_config import build_config
from tests.automl.search.test_search import PLAN, PREDICTION
from tests.training.conftest import clips  # noqa: F401

ON_GPU = replace(PLAN, device="cuda:0", processes=2)
LEFT = TimeLeft(lambda: 1000.0, 1e6, PREDICTION)


@pytest.fixture(params=[0, 1])
def rank(request, monkeypatch):
    """Be one of two processes on a machine with two GPUs."""
    monkeypatch.setattr(processes, "current", lambda: Processes(request.param, 2, request.param, 2))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    return request.param


@pytest.fixture
def data(clips):  # noqa: F811
    lists = (str(clips / "train.csv"), str(clips / "val.csv"))
    return TrainingData(str(clips / "videos"), *lists, ("red", "green", "blue"), num_train=9)


def test_each_process_has_its_own_gpu_in_every_training(rank, data, tmp_path):
    record = RunRecord(ON_GPU, data)
    side = SideRun(record, tmp_path / "trials" / "0001", cost=1.0)
    for config in (build_config(record, tmp_path), side.config(LEFT)):
        assert config.device == f"cuda:{rank}"
    assert use_device(processes.current(), "cuda:0") == f"cuda:{rank}"


class SeenError(Exception):
    """What a probe computes its features on."""


def test_each_process_has_its_own_gpu_in_a_probe(rank, data, tmp_path, monkeypatch):
    def extractor(config, pretrained, store):
        raise SeenError(config.device)

    monkeypatch.setattr(candidates, "Extractor", extractor)
    prepared = SimpleNamespace(listing=SimpleNamespace(train=()))
    job = candidates.Job(prepared, data, tmp_path, None, np.zeros(0), ("linear",))
    with pytest.raises(SeenError, match=f"cuda:{rank}"):
        candidates.try_plan(job, ON_GPU, 60.0)


def test_a_process_alone_keeps_to_the_gpu_it_was_given(monkeypatch):
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert use_device(Processes(), "cuda:1") == "cuda:1"
    assert use_device(Processes(), "cpu") == "cpu"
    assert current == ["cuda:1"]


@pytest.mark.parametrize(
    ("me", "device", "gpus", "found"),
    [
        (Processes(), "auto", (2, 0), "cuda:2"),
        (Processes(), "cuda", (1,), "cuda:1"),
        (Processes(1, 2, 1, 2), "auto", (0, 2), "auto"),  # it sees these two alone
        (Processes(), "cuda:1", 1, "cuda:1"),
        (Processes(), "auto", "auto", "auto"),
    ],
)
def test_which_device_a_process_looks_for(me, device, gpus, found, monkeypatch):
    monkeypatch.setattr(processes, "current", lambda: me)
    assert device_to_find(device, gpus) == found


@pytest.mark.parametrize(
    ("me", "gpus", "given", "own"),
    [
        (Processes(), 2, "cuda:1", "cuda:1"),
        (Processes(), 0, "cpu", "cpu"),
        (Processes(1, 2, 1, 2), 0, "cpu", "cpu"),
        (Processes(1, 2, 1, 2), 1, "cuda:0", "cuda:0"),  # Slurm shows each process its own only
        (Processes(5, 8, 1, 4), 4, "cuda:0", "cuda:1"),
        (Processes(5, 8, 1, 4), 4, "cuda:1", "cuda:1"),
    ],
)
def test_whose_gpu_is_whose(me, gpus, given, own, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(processes, "current", lambda: me)
    assert processes.local_device(given) == own
