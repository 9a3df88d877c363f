"""Values of the config as types."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from autox_video import setting_types
from autox_video.setting_types import Number, PathText, SizedFolder, Switch, Whole


def read(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (Number, "1e-3", 0.001),
        (Number, 2, 2.0),
        (Whole, "8", 8),
        (Whole, 8.0, 8),
        (Switch, "on", True),
        (PathText, "~nobody-at-all/x", "~nobody-at-all/x"),
        (PathText, "s3://bucket/x", "s3://bucket/x"),
        (SizedFolder, "/fast/x:20G", "/fast/x:20G"),
    ],
)
def test_values_that_are_read(kind, value, wanted):
    assert read(kind, value) == wanted


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Number, "inf"), (Number, True), (Whole, 8.5), (PathText, " "), (SizedFolder, "x:20")],
)
def test_values_that_are_not(kind, value):
    with pytest.raises(ValidationError):
        read(kind, value)


def test_off_may_be_plain():
    assert [setting_types.read_off(value) for value in (False, "off", True)] == ["off", "off", True]
