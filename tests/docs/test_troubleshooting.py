"""docs/troubleshooting.md quotes messages that the code still has."""

import ast
import re
from functools import cache

import pytest

from docs.draw_sentences import text_of
from tests.datasets import REPOSITORY

PAGE = REPOSITORY / "docs" / "troubleshooting.md"
QUOTED = re.findall(r"^### ``?(.+?)``?$", PAGE.read_text(), re.MULTILINE)


@cache
def texts() -> tuple[str, ...]:
    """Every literal text of the package, with `{}` for each value that is put into it."""
    modules = REPOSITORY.glob("autox_video/**/*.py")
    nodes = (node for path in modules for node in ast.walk(ast.parse(path.read_text())))
    return tuple(filter(None, map(text_of, nodes)))


def test_messages_are_quoted():
    assert len(QUOTED) >= 20


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_is_in_the_code(message):
    parts = [part.strip() for part in message.split("...")]
    for part in filter(None, parts):
        assert any(part in text for text in texts()), f"`{part}` is in no message"
