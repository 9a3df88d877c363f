"""Draw random sentences from messages, help texts, docstrings and docs.

    python docs/draw_sentences.py [COUNT] [SEED]

Each sentence is printed with its file and line. Odd wording stands out when read aloud.
"""

import ast
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FEWEST_WORDS = 5
_END = re.compile(r"(?<=[.!?*])\s+(?=[A-Z`*(\[])")
_ITEM = re.compile(r"\s*(-|\d+\.)\s+")
_BREAK = re.compile(r"\n\s*\n|\n(?=\s*[\w*]+: )")
"""Between paragraphs, and before each argument in a docstring."""
_NO_SENTENCE = re.compile(r"\\|\(\?|^[A-Z]+ [A-Z*]+ ")
"""In regular expressions and SQL."""
_FENCE = re.compile(r"^(```|:::).*?^\1\s*$", re.MULTILINE | re.DOTALL)

Found = tuple[str, int, str]
"""File, line and sentence."""


def main() -> None:
    """Print the requested number of sentences."""
    count, seed = (int(word) for word in [*sys.argv[1:], "20", "0"][:2])
    every = [*sentences_of_code(), *sentences_of_docs()]
    for file, line, sentence in random.Random(seed).sample(every, min(count, len(every))):
        print(f"{file}:{line}: {sentence}")


def sentences_of_code() -> Iterator[Found]:
    """Yield the sentences in all strings of the package: messages, help texts and docstrings."""
    for path in sorted(ROOT.glob("autox_video/**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = str(path.relative_to(ROOT))
        for line, text in literals(tree):
            yield from ((name, line, sentence) for sentence in split(text))


def sentences_of_docs() -> Iterator[Found]:
    """Yield the sentences of the Markdown pages, without code blocks, headings and tables."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    for path in sorted(pages):
        name, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        text = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
        for line, paragraph in paragraphs(text):
            yield from ((name, line, sentence) for sentence in split(paragraph))


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yield each paragraph and list item with its first line number; skip headings and tables."""
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
    """Return the sentences of a text, each on one line."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in _BREAK.split(text))
    parts = (part for paragraph in paragraphs for part in _END.split(paragraph))
    return [part for part in parts if len(part.split()) >= FEWEST_WORDS]


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string in a syntax tree that may be a sentence."""
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {part for node in joined for part in ast.walk(node) if part is not node}
    for node in ast.walk(tree):
        if node not in parts and (text := text_of(node)) and not _NO_SENTENCE.search(text):
            yield node.lineno, text


def text_of(node: ast.AST) -> str:
    """Return the text of a literal, with `{}` for each inserted value; "" for other nodes."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "{}" for part in node.values)
    return ""


if __name__ == "__main__":
    main()
