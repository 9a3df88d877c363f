"""Values of the config, as people write them."""

import math

import numpy as np
import pytest

from autox_video.config.value_types import FLAG, GPUS, number, sized_folder, text, whole

NUMBER = number("a number", lambda x: x > -9)
WHOLE, STAGES = whole(0, 1000), whole(0, 4, or_word="all")
PATH, CACHE = text("a folder"), sized_folder("DIR", may_be_off=True)


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (NUMBER, "1e-3", 0.001),
        (NUMBER, 2, 2.0),
        (NUMBER, "1_000.5", 1000.5),
        (NUMBER, np.float32(0.5), 0.5),
        (WHOLE, "8", 8),
        (WHOLE, 8.0, 8),
        (WHOLE, "010", 10),
        (WHOLE, np.int64(4), 4),
        (STAGES, " ALL ", "all"),
        (STAGES, "3", 3),
        *((FLAG, word, True) for word in ("on", "Yes", "TRUE", True)),
        *((FLAG, word, False) for word in ("off", "No", "false", False)),
        (PATH, "no", "no"),
        (PATH, "~nobody-at-all/x", "~nobody-at-all/x"),
        (PATH, "s3://bucket/x", "s3://bucket/x"),
        (CACHE, "/fast/x:20G", "/fast/x:20G"),
        (CACHE, "/fast/on", "/fast/on"),
        *((CACHE, word, "off") for word in (False, "off", "NO")),
        (GPUS, "0, 2", (0, 2)),
        (GPUS, [3], (3,)),
    ],
)
def test_values_that_are_read(kind, value, wanted):
    value = kind.read(value)
    assert (value, type(value)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((NUMBER, value) for value in ("inf", ".nan", "1:30", "1,5", "0x10", "_1", True, [1])),
        *((WHOLE, value) for value in (8.5, "1:30", "0o10", math.inf, math.nan, -1, 1001)),
        *((STAGES, value) for value in ("every", "all 2", 5)),
        *((FLAG, value) for value in ("maybe", 1, "1")),
        *((PATH, value) for value in (" ", "true", False, "a\0b")),
        *((CACHE, value) for value in ("x:20", True, "on", "s3://bucket")),
        *((GPUS, value) for value in ((), "0,0", [-1], "0;2")),
    ],
)
def test_values_that_are_not(kind, value):
    with pytest.raises(ValueError):
        kind.read(value)


def test_what_is_allowed_is_said():
    assert WHOLE.allowed("auto") == "a whole number from 0 to 1000 or auto"
    assert STAGES.allowed("auto") == "a whole number from 0 to 4, all or auto"
    assert FLAG.allowed(False) == "true or false"
