"""Short versions of the bars of docs/reliability.md; the scripts themselves run the full ones."""

import pytest

from tests.faults import damage, disk_full, kills, signals
from tests.faults.harm import KINDS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "words"),
    [
        (kills, "--kills 2 --epochs 6"),
        (signals, "--count 1 --epochs 13"),
        (disk_full, "--every 61 --mounts 0"),
        (damage, "--only in_its_middle --every 5"),
    ],
    ids=lambda value: getattr(value, "__name__", "").rpartition(".")[2] or None,
)
def test_the_bar_is_met(script, words, capfd):
    code = script.main([word.replace("_", " ") for word in words.split()])
    assert code == 0, capfd.readouterr().out


def test_kinds_of_damage_are_many_and_told_apart():
    titles = [kind.title for kind in KINDS]
    assert len(titles) >= 30
    assert len(set(titles)) == len(titles)
