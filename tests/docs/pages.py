"""The README and the docs: their pages, and the blocks of code in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.datasets import REPOSITORY

PAGES = sorted(
    path
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/**/*.md")
    for path in REPOSITORY.glob(pattern)
)
_BLOCK = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```\s*$", re.MULTILINE | re.DOTALL)
_SHELLS = ("bash", "sh", "console", "shell")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    line: int
    """Of its first line of text."""
    language: str
    text: str

    @property
    def place(self) -> str:
        """Its page and line, for messages."""
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    """Every fenced block of every page."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start(3)) + 1
            yield Block(str(path.relative_to(REPOSITORY)), line, match[2].strip(), match[3])


def python_blocks() -> list[Block]:
    """The blocks of Python."""
    return [block for block in blocks() if block.language == "python"]


def commands() -> dict[str, str]:
    """Every command in a block of shell, without its comment, and a place where it stands."""
    found: dict[str, str] = {}
    for block in blocks():
        if block.language in _SHELLS:
            text = re.sub(r"\s*\\\n\s*", " ", block.text)
            for line in text.splitlines():
                command = re.sub(r"(^|\s)#.*", "", line).removeprefix("$ ").strip()
                if command:
                    found.setdefault(command, block.place)
    return found
