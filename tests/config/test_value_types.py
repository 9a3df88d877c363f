"""Values of the config as types."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from autox_video.config import value_types
from autox_video.config.value_types import Flag, Number, PathText, SizedFolder, Whole


def read(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (Number, "1e-3", 0.001),
        (Number, 2, 2.0),
        (Whole, "8", 8),
        (Whole, 8.0, 8),
        (Number, "1_000.5", 1000.5),
        (Whole, "010", 10),
        *((Flag, word, True) for word in ("on", "Yes", "TRUE", True)),
        *((Flag, word, False) for word in ("off", "No", "false", False)),
        (PathText, "no", "no"),
        (PathText, "~nobody-at-all/x", "~nobody-at-all/x"),
        (PathText, "s3://bucket/x", "s3://bucket/x"),
        (SizedFolder, "/fast/x:20G", "/fast/x:20G"),
    ],
)
def test_values_that_are_read(kind, value, wanted):
    assert read(kind, value) == wanted


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((Number, value) for value in ("inf", ".nan", "1:30", "1,5", "0x10", "_1", True)),
        *((Whole, value) for value in (8.5, "1:30", "0o10")),
        *((Flag, value) for value in ("maybe", 1, "1")),
        *((PathText, value) for value in (" ", "true", False)),
        (SizedFolder, "x:20"),
    ],
)
def test_values_that_are_not(kind, value):
    with pytest.raises(ValidationError):
        read(kind, value)


def test_off_may_be_plain():
    values = (False, "off", "NO", True, "on", "/fast/on")
    wanted = ["off", "off", "off", True, True, "/fast/on"]
    assert [value_types.read_off(value) for value in values] == wanted
