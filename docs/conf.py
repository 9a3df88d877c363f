"""Settings of Sphinx: `sphinx-build -W -b html docs build/docs`."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

import autox_video

sys.path.insert(0, str(Path(__file__).parent))

project = "autox_video"
version = release = autox_video.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "config_reference",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["build"]

html_theme = "furo"
html_title = f"autox_video {version}"
html_show_copyright = False
html_static_path = ["_static"]

# Single backticks in docstrings are code, as in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Every link within the docs must lead somewhere. Types are not linked: other projects' are not
# looked up, so that the docs build without a network, and few of ours have an entry.
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]


def setup(app: Sphinx) -> None:
    """Let docstrings of attributes hold colons: napoleon takes what is before one for a type."""

    def keep_colons(_app, what, _name, _object, _options, lines):
        if what in ("attribute", "data", "property") and lines:
            lines[0] = f": {lines[0]}"  # an empty type

    app.connect("autodoc-process-docstring", keep_colons, priority=400)
