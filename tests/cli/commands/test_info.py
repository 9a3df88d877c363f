"""`autox-video info`: lines, the card and JSON."""

import json

import pytest

from autox_video.cli.main import main
from autox_video.prediction.model_facts import model_facts
from tests.prediction.make_stored_models import FILES

MODEL = FILES / "probe-1.safetensors"


def test_lines(capsys):
    assert main(["info", str(MODEL)]) == 0
    out = capsys.readouterr().out
    assert "probe-1.safetensors: probe" in out and "3: red, green, blue" in out


def test_json_is_all_that_is_printed(capsys):
    assert main(["info", str(MODEL), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == model_facts(MODEL)


def test_a_card_is_written_and_not_replaced_unasked(tmp_path, capsys):
    card = tmp_path / "README.md"
    assert main(["info", str(MODEL), "--card"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("---\nlicense: unknown\n")
    assert main(["info", str(MODEL), "--card", "--out", str(card)]) == 0
    assert card.read_text() == printed
    card.write_text("mine")
    assert main(["info", str(MODEL), "--card", "--out", str(card)]) == 2
    assert "--overwrite" in capsys.readouterr().err and card.read_text() == "mine"
    assert main(["info", str(MODEL), "--card", "--out", str(card), "--overwrite"]) == 0
    assert card.read_text() == printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: MODEL"),
        (["none.safetensors"], "none.safetensors: there is no such checkpoint"),
        (["none.pth"], "none.pth: there is no such checkpoint"),
        (["."], "is a folder"),
        (["https://somewhere/best.safetensors"], "there is no such checkpoint"),
        ([str(MODEL), "--out", "x.md"], "--out needs --card"),
        ([str(MODEL), "--card", "--json"], "not allowed with"),
        ([str(MODEL), "--card", "--out", "none/x.md"], "there is no folder none"),
        ([str(MODEL), "--import", "no_module_of_mine"], "no_module_of_mine"),
    ],
)
def test_mistakes_are_sentences(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["info", *words]) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err
