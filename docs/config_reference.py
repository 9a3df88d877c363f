"""The directive `config-keys`: the keys of the config, made from `Settings`.

`basic` lists the keys that most users need, `advanced` the others. Each key becomes a definition
with its meaning, its values and its default, and can be linked to as `#key-NAME`.
"""

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from autox_video.config.settings import Settings, allowed


def default_of(key: str) -> str:
    """The default of a key as YAML writes it; "required" where it has none."""
    field = Settings.model_fields[key]
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, bool):
        return f"default: {str(value).lower()}"
    return f"default: {list(value) if value == () else value}"


class ConfigKeys(Directive):
    """The keys of one part, in the order of `Settings`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A definition list."""
        entries = nodes.definition_list()
        for key, field in Settings.model_fields.items():
            if field.json_schema_extra["basic"] != (self.arguments[0] == "basic"):
                continue
            term = nodes.term("", "", nodes.literal(key, key), ids=[f"key-{key}"])
            meaning = nodes.paragraph("", field.description)
            values = nodes.paragraph("", f"{allowed(key)}; {default_of(key)}")
            body = nodes.definition("", meaning, values)
            entries += nodes.definition_list_item("", term, body)
        return [entries]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("config-keys", ConfigKeys)
    return {"parallel_read_safe": True}
