"""Reading a config file and overrides as plain values."""

from pathlib import Path

import pytest

from autox_video.config.config_file import read_config, read_overrides, show_value
from autox_video.core.errors import ConfigError


def test_read_config_gives_values_places_and_repeated_keys(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("# comment\na: 1\nname: 010\n\nb: [x]\na: 2\n")
    values, origins, problems = read_config(path)
    assert values == {"a": "2", "name": "010", "b": ["x"]}
    assert origins == {"a": f"{path}:2", "name": f"{path}:3", "b": f"{path}:5"}
    assert problems == [f"{path}:6: key `a` is already set at {path}:2; keep one."]


def test_a_key_twice_in_one_line_is_found(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("{a: 1, a: 2}")
    assert len(read_config(path)[2]) == 1


@pytest.mark.parametrize(
    "value",
    ["1:30", "-1:30:00", "1:30.5", "no", "Y", "010", "0o10", "1e-3", "1_000", "2024-01-01", ".inf"],
)
def test_values_stay_as_they_are_written(value, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(f"a: &it {value}\nb: *it\nc: [{value}]\nd: '{value}'\n")
    values, _, _ = read_config(path)
    assert values == {"a": value, "b": value, "c": [value], "d": value}
    assert (show_value(values["b"]), show_value(values["d"])) in (
        (value, repr(value)),
        (repr(value), repr(value)),
    )


@pytest.mark.parametrize("value", ["", "~", "null", "Null"])
def test_nothing_is_nothing(value, tmp_path):
    (tmp_path / "c.yaml").write_text(f"a: {value}\n")
    assert read_config(tmp_path / "c.yaml")[0] == {"a": None}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("data_root: d\nepoch:10\n", "Write line 2 as `epoch: 10`."),
        ("epoch:10\n", "Write line 1 as `epoch: 10`."),
        ("data_root = /a b\nepoch = 10\n", "Write line 1 as `data_root: /a b`."),
        ("a:\n\tb: 2\n", "Indent with spaces, not with tabs."),
    ],
)
def test_lines_of_other_formats_are_shown_as_yaml_has_them(text, hint, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / "c.yaml")
    assert str(caught.value).endswith(f" {hint}")


def test_an_endless_file_is_not_read_to_its_end():
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        read_config(Path("/dev/zero"))


def test_read_overrides_gives_values_and_problems():
    overrides = ["a=1", "b=[1, x]", "name=a: #1", "name2='q'", "c=null", "name3=~", "oops", "d="]
    values, problems = read_overrides(overrides, ["name", "name2", "name3"])
    wanted = {"a": "1", "b": ["1", "x"], "name": "a: #1", "name2": "q", "c": None, "name3": None}
    assert values == wanted
    assert [p.split("`")[1] for p in problems] == ["oops", "d="]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "true"), ("ten", "'ten'"), (2.5, "2.5"), (10**30, "a huge number")],
)
def test_show_value(value, shown):
    assert show_value(value) == shown


def test_show_value_is_short_whatever_the_value():
    nested = ["x" * 1000]
    for _ in range(50):
        nested = [nested] * 50
    assert len(show_value(nested)) < 300
