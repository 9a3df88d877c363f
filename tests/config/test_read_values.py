"""Switches, sizes and durations in a config, as people write them."""

import pytest

from autox_video.config.load import load_settings, settings_from_mapping
from autox_video.config.settings import OFF
from autox_video.core.errors import ConfigError


@pytest.fixture
def load(tmp_path):
    """Give a function that loads a config file with this content."""

    def load(content):
        (tmp_path / "c.yaml").write_text(content)
        return load_settings(tmp_path / "c.yaml")

    return load


@pytest.mark.parametrize("key", ["compile", "gradient_checkpointing"])
@pytest.mark.parametrize(("text", "value"), [("on", True), ("off", False), ("auto", "auto")])
def test_switches_are_words_in_yaml_in_quotes_and_from_python(key, text, value, tmp_path):
    for written in (text, f"'{text}'"):
        (tmp_path / "c.yaml").write_text(f"data_root: d\n{key}: {written}\n")
        assert getattr(load_settings(tmp_path / "c.yaml"), key) == value
    assert getattr(settings_from_mapping({"data_root": "d", key: text}, "test"), key) == value


@pytest.mark.parametrize("text", ["/a:50", "/a:50XB", "/a:0GB", "true"])
def test_a_cache_of_no_size_is_refused(load, text):
    with pytest.raises(ConfigError, match=r"`cache`.*not allowed; give DIR, DIR:SIZE"):
        load(f"data_root: d\ncache: {text}\n")


def test_a_plain_off_is_off(load):
    assert (
        load("data_root: d\ncache: off\n").cache == OFF == load("data_root: d\ncache: 'off'").cache
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45m", 2700), ("'1h30m'", 5400), ("90", 90), ("'90'", 90), ("2.5", 2.5), ("auto", "auto")],
)
def test_a_time_budget_is_a_duration_or_seconds(load, text, seconds):
    assert load(f"data_root: d\ntime_budget: {text}\n").time_budget == seconds
    assert settings_from_mapping({"data_root": "d", "time_budget": "2h"}, "fit").time_budget == 7200


@pytest.mark.parametrize("text", ["soon", "0", "-5", "0s", "1h1h", "true", "inf", "[1]", "400d"])
def test_a_time_budget_that_is_none_is_refused_with_a_sentence(load, text):
    with pytest.raises(ConfigError, match=r"`time_budget`.*not allowed; give a duration such as"):
        load(f"data_root: d\ntime_budget: {text}\n")


@pytest.mark.parametrize("word", ["time_budget=1:30", "epoch=1:30", "flip=y", "lr=1,5"])
def test_a_word_of_the_command_is_no_trap_either(word, tmp_path):
    (tmp_path / "c.yaml").write_text("data_root: d\n")
    value = word.partition("=")[2]
    with pytest.raises(ConfigError, match=f"{value}'? is not allowed"):
        load_settings(tmp_path / "c.yaml", [word])


def test_words_are_read_as_the_file_is(tmp_path):
    (tmp_path / "c.yaml").write_text("data_root: d\n")
    words = ["epoch=010", "flip=No", "seed=1_000", "work_dir=no", "cache=Off"]
    read = load_settings(tmp_path / "c.yaml", words)
    found = (read.epoch, read.flip, read.seed, read.work_dir, read.cache)
    assert found == (10, False, 1000, "no", OFF)
