"""Modules of a user: found beside the config, named when they cannot be imported."""

import sys

import pytest

from autox_video.config.choices import DECODERS
from autox_video.config.load import load_settings, settings_from_mapping
from autox_video.core.errors import ConfigError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for a config and modules, whose imports are forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    monkeypatch.setattr(DECODERS, "_items", {})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    yield tmp_path
    for name in sys.modules.keys() - before:
        del sys.modules[name]


def load(folder, imports, *overrides):
    (folder / "c.yaml").write_text(f"data_root: d\ncustom_imports: {imports}\n")
    return load_settings(folder / "c.yaml", overrides)


REGISTERING = (
    "from autox_video.config.choices import DECODERS\nDECODERS.register('of_the_user')(3)\n"
)


def test_what_a_module_registers_can_be_chosen(folder):
    (folder / "my_decoder.py").write_text(REGISTERING)
    settings = load(folder, "[my_decoder]", "decoder=of_the_user")
    assert settings.decoder == "of_the_user"
    assert settings.custom_imports == ("my_decoder",)
    # As the API does, which checks its settings again.
    again = settings_from_mapping(settings.model_dump(exclude_unset=True), "fit")
    assert again == settings
    with pytest.raises(ConfigError, match="pyav, torchcodec, decord, of_the_user or auto"):
        load(folder, "[my_decoder]", "decoder=of_nobody")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[]", ()),
        ("", ()),
        ("json", ("json",)),
        ("json, email.policy", ("json", "email.policy")),
        ("[json, my_package.part]", ("json", "my_package.part")),
    ],
)
def test_lists_as_they_may_be_written(folder, text, names):
    (folder / "elsewhere" / "my_package").mkdir()
    (folder / "elsewhere" / "my_package" / "part.py").touch()
    assert load(folder, text).custom_imports == names


@pytest.mark.parametrize("text", ["[1]", "my-module", "a.py/b", "[[a]]", "'a b'", "{a: b}"])
def test_what_is_no_name(folder, text):
    with pytest.raises(ConfigError, match=r"c.yaml:2: key `custom_imports`: .* is not allowed"):
        load(folder, text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError: "),
        (REGISTERING.replace("of_the_user", "pyav"), "the decoder name pyav is already taken"),
    ],
)
def test_a_module_that_fails_is_named_with_the_reason(folder, text, reason):
    (folder / "broken.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(folder, "[broken]", "epoch=nonsense")
    (problem,) = caught.value.problems
    assert problem.startswith(f"{folder / 'c.yaml'}:2: key `custom_imports`: the module broken ")
    assert reason in problem and "\n" not in problem


def test_a_module_that_is_nowhere_is_told_where_it_was_looked_for(folder):
    with pytest.raises(ConfigError, match=f"{folder}, {folder}/elsewhere"):
        load(folder, "[json]", "custom_imports=nowhere_at_all")


def test_an_installed_module_is_not_taken_for_the_users(folder):
    (folder / "email.py").write_text("")
    with pytest.raises(ConfigError, match="email in .* the same name as an installed .* rename"):
        load(folder, "[email]")
