"""The learning rate by step."""

import math

import pytest
import torch

from autox_video.engine.schedule import WarmFlatCosine


def schedule(lrs=(0.1, 0.02)):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    return WarmFlatCosine(torch.optim.SGD(groups), warmup=4, fall=10, end=20)


def rates(made):
    return [group["lr"] for group in made.optimizer.param_groups]


def run(made, steps):
    found = []
    for _ in range(steps):
        found.append(rates(made))
        made.optimizer.step()
        made.step()
    return found


def test_it_rises_stays_and_falls():
    found = run(schedule(), 20)
    assert [lr for lr, _ in found[:4]] == pytest.approx([0.001, 0.02575, 0.0505, 0.07525])
    assert [lr for lr, _ in found[4:11]] == [0.1] * 7
    assert found[15][0] == pytest.approx(0.05)
    assert found[19][0] == pytest.approx(0.1 * (1 + math.cos(0.9 * math.pi)) / 2)
    assert all(small == pytest.approx(large / 5) for large, small in found)


@pytest.mark.parametrize("step", [0, 2, 7, 13, 20])
def test_from_any_step_it_goes_on_bit_for_bit(step):
    whole = [*run(made := schedule(), 20), rates(made)]
    again = schedule()
    again.go_to(step)
    assert [*run(again, 20 - step), rates(again)] == whole[step:]


def test_lowered_it_stays_low():
    made = schedule()
    made.go_to(6, scale=0.5)
    assert run(made, 3) == [[0.05, 0.01]] * 3
