"""What the user can choose: every key with its help, nothing impossible."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from autox_video.config.load import settings_from_mapping
from autox_video.config.settings import BASIC_KEYS, KEY_HELP, Settings


def test_settings_are_frozen():
    settings = settings_from_mapping({"data_root": "d"}, "test")
    with pytest.raises(ValidationError):
        settings.epoch = 3


def test_impossible_combinations_fail_on_construction():
    with pytest.raises(ValidationError, match="ann_file_train"):
        Settings(data_root="d", ann_file_val="v.txt")


def test_every_key_has_help():
    assert list(KEY_HELP) == list(Settings.model_fields)
    assert KEY_HELP["epoch"].endswith("(a whole number from 1 to 1000000 or auto; default auto)")
    assert KEY_HELP["data_root"].endswith("s3://bucket/clips; required)")


def test_the_basic_keys_come_first_and_are_few():
    assert tuple(Settings.model_fields)[: len(BASIC_KEYS)] == BASIC_KEYS
    assert {"data_root", "work_dir", "epoch", "time_budget", "load_from"} <= set(BASIC_KEYS)
    assert len(BASIC_KEYS) <= 14


def test_defaults_are_what_their_keys_allow():
    fields = Settings.model_fields.items()
    given = {key: field.default for key, field in fields if not field.is_required()}
    assert settings_from_mapping({"data_root": "d"} | given, "test").evaluation == 2


def test_importing_settings_brings_nothing_heavy():
    program = (
        "import sys, autox_video.config.load; "
        "print(*{m.partition('.')[0] for m in sys.modules} & {'numpy', 'torch', 'mmengine', 'av'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "")
