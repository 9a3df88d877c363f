"""The learning rate by step."""

import math
from itertools import pairwise

import pytest
import torch

from autox_video.training.schedule import WarmFlatCosine


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


@pytest.mark.parametrize(("step", "end"), [(2, 8), (6, 12), (9, 10), (13, 16), (18, 19), (3, 40)])
def test_it_comes_down_to_nothing_at_another_end_without_a_jump(step, end):
    made = schedule()
    run(made, step)
    before = rates(made)[0]
    made.end_at(end)
    assert made._factor(step) * 0.1 == pytest.approx(before)
    found = [lr for lr, _ in run(made, end - step)]
    falling = found[max(4 - step, 1) :]
    assert all(lr >= after for lr, after in pairwise(falling))
    assert rates(made)[0] == pytest.approx(0.0, abs=1e-9)
    assert found[-1] > 0


def test_before_the_cosine_it_keeps_its_share():
    made = schedule()
    run(made, 3)
    made.end_at(12)
    assert (made.fall, made.total) == (6, 12)


def test_at_its_own_step_it_just_ends():
    made = schedule()
    run(made, 7)
    made.end_at(7)
    assert made._factor(7) == 1.0


def test_the_shape_is_taken_again():
    made, again = schedule(), schedule()
    run(made, 13)
    shape = made.end_at(16)
    again.go_to(13)
    again.take_shape(shape)
    assert run(again, 3) == run(made, 3)
