"""docs/draw_sentences.py draws sentences of messages, docstrings and docs."""

import ast
import subprocess
import sys

from docs import draw_sentences
from tests.datasets import REPOSITORY


def test_as_many_as_are_asked_for_the_same_for_a_seed():
    command = [sys.executable, str(REPOSITORY / "docs" / "draw_sentences.py"), "7", "3"]
    drawn = [subprocess.run(command, capture_output=True, text=True).stdout for _ in range(2)]
    assert drawn[0] == drawn[1] and len(drawn[0].splitlines()) == 7


def test_messages_and_docstrings_are_found():
    found = {sentence for _, _, sentence in draw_sentences.sentences_of_code()}
    assert "A config file or a command-line override cannot be used." in found
    assert "Allow lists to name clips outside data_root." in found
    assert "at most this much work can be lost" in found
    text = draw_sentences.text_of(ast.parse("f'{a}: there is no {b}.'", mode="eval").body)
    assert text == "{}: there is no {}."


def test_docs_are_found_without_their_code_and_tables():
    found = [sentence for *_, sentence in draw_sentences.sentences_of_docs()]
    assert len(found) > 100
    assert not [sentence for sentence in found if "```" in sentence or sentence.startswith("|")]
