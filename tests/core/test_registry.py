import sys

import pytest

from autox_video.core.errors import ConfigError
from autox_video.core.registry import Registry


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry with one thing of its own, in a module that is not imported yet."""
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "module_of_the_registry.py"
    module.write_text("import __main__\n__main__.registry_of_the_test.register('square')(4)\n")
    registry = Registry("shape", {"square": module.stem})
    monkeypatch.setattr(sys.modules["__main__"], "registry_of_the_test", registry, raising=False)
    yield registry
    sys.modules.pop(module.stem, None)


def test_a_module_is_imported_when_its_name_is_asked_for(registry):
    assert "square" in registry and list(registry) == ["square"]
    assert "module_of_the_registry" not in sys.modules
    assert registry["square"] == 4


def test_what_is_registered_comes_behind_the_projects_own(registry):
    @registry.register("circle")
    class Circle:
        pass

    assert registry["circle"] is Circle
    assert list(registry) == ["square", "circle"]


def test_a_name_is_taken_once(registry):
    registry.register("circle")(1)
    with pytest.raises(ConfigError, match="circle"):
        registry.register("circle")(2)


def test_nothing_takes_the_place_of_the_projects_own(registry):
    with pytest.raises(ConfigError, match="square"):
        registry.register("square")(5)


def test_an_unknown_name_is_told_with_those_that_there_are(registry):
    with pytest.raises(ConfigError, match="known names: square.*Did you mean square"):
        registry["squar"]


def test_a_component_of_a_family_is_restored_from_what_a_record_keeps(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "family_of_the_registry.py").write_text(
        "import __main__\nfamily = __main__.registry_of_the_test.register_family\n"
        "family('n', restore=lambda kept: kept['value'])(int)\n"
    )
    registry = Registry("number", {}, families={"n": "family_of_the_registry", "m": "sys"})
    monkeypatch.setattr(sys.modules["__main__"], "registry_of_the_test", registry, raising=False)
    registry.restore("n:seven", {"value": 7})
    assert registry["n:seven"] == 7
    assert registry["n:8"] == 8
    for name in ("m:7", "seven"):
        with pytest.raises(ValueError, match=f"number {name} cannot be restored"):
            registry.restore(name, {"value": 7})
    sys.modules.pop("family_of_the_registry")


def test_a_family_whose_library_is_missing_says_which(tmp_path, monkeypatch):
    (tmp_path / "family_without_library.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("number", {}, families={"n": "family_without_library"})
    with pytest.raises(ConfigError, match="pip install no_such_library"):
        registry["n:one"]
