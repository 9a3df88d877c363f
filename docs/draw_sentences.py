"""Draw sentences at random from what people read: messages, docstrings and docs.

    python docs/draw_sentences.py [COUNT] [SEED]

Each comes with its file and line. Reading twenty of them aloud shows where the wording is odd.
"""

import ast
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPEAKERS = {"say", "complain", "warn", "info", "warning", "_tell", "refuse", "on_note", "table"}
"""Functions whose text the user sees; so is that of every exception that is raised."""
FEWEST_WORDS = 5
_END = re.compile(r"(?<=[.!?*])\s+(?=[A-Z`*(\[])")
_ITEM = re.compile(r"\s*(-|\d+\.)\s+")
_BREAK = re.compile(r"\n\s*\n|\n(?=\s*[\w*]+: )")
"""Between paragraphs, and before each of the arguments in a docstring."""
_FENCE = re.compile(r"^(```|:::).*?^\1\s*$", re.MULTILINE | re.DOTALL)

Found = tuple[str, int, str]
"""File, line and a sentence."""


def main() -> None:
    """Print as many sentences as are asked for."""
    count, seed = (int(word) for word in [*sys.argv[1:], "20", "0"][:2])
    every = [*sentences_of_code(), *sentences_of_docs()]
    for file, line, sentence in random.Random(seed).sample(every, min(count, len(every))):
        print(f"{file}:{line}: {sentence}")


def sentences_of_code() -> Iterator[Found]:
    """Sentences of messages and docstrings of the package."""
    for path in sorted(ROOT.glob("autox_video/**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = str(path.relative_to(ROOT))
        for node in ast.walk(tree):
            for line, text in (*_docstring(node), *_messages(node)):
                yield from ((name, line, sentence) for sentence in split(text))


def sentences_of_docs() -> Iterator[Found]:
    """Sentences of the README and the docs, without blocks of code, headings and tables."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    for path in sorted(pages):
        name, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        text = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
        for line, paragraph in paragraphs(text):
            yield from ((name, line, sentence) for sentence in split(paragraph))


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Give each paragraph and each item of a list with its first line; no headings and tables."""
    start, lines = 1, []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        item = _ITEM.match(line)
        if item or not line.strip() or line.startswith(("|", "#", "<", "!")):
            if lines:
                yield start, " ".join(lines)
            start, lines = number, [line[item.end() :]] if item else []
        else:
            start = start if lines else number
            lines.append(line)


def split(text: str) -> list[str]:
    """The sentences of a text, on one line each."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in _BREAK.split(text))
    parts = (part for paragraph in paragraphs for part in _END.split(paragraph))
    return [part for part in parts if len(part.split()) >= FEWEST_WORDS]


def _docstring(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if text := ast.get_docstring(node):
            yield getattr(node, "lineno", 1), text
    elif isinstance(node, ast.Expr) and (text := text_of(node.value)):  # of an attribute
        yield node.lineno, text


def _messages(node: ast.AST) -> Iterator[tuple[int, str]]:
    call = node.exc if isinstance(node, ast.Raise) else node
    if not isinstance(call, ast.Call):
        return
    function = call.func
    name = getattr(function, "id", None) or getattr(function, "attr", "")
    if isinstance(node, ast.Raise) or name in SPEAKERS:
        for argument in call.args:
            if text := text_of(argument):
                yield call.lineno, text


def text_of(node: ast.AST) -> str:
    """The text of a literal, with `{}` for each value that is put into it; "" of anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "{}" for part in node.values)
    return ""


if __name__ == "__main__":
    main()
