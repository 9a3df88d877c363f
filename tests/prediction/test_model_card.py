"""The lines and the Markdown card of a model."""

import copy

import pytest
import yaml

from autox_video.prediction.model_card import card_lines, card_markdown
from autox_video.prediction.model_facts import model_facts
from tests.prediction.make_stored_models import FILES


@pytest.fixture(scope="module")
def facts_of():
    """A function that returns a copy of the facts of a stored model."""
    known = {name: model_facts(FILES / f"{name}-1.safetensors") for name in KINDS}
    return lambda name: copy.deepcopy(known[name])


KINDS = ("probe", "trained", "ensemble")


def front_matter(card):
    _, head, _ = card.split("---\n", 2)
    return yaml.safe_load(head)


def test_lines_say_what_the_model_is(facts_of):
    lines = dict(card_lines(facts_of("trained")))
    assert lines["classes"] == "3: red, green, blue"
    assert lines["input"].startswith("4 frames over 0.5 s (8 per second), 32x32 px")
    assert "model.safetensors (a local folder; licence unknown)" in lines["backbone"]
    assert lines["score"] == "validation top-1 1.00 (95% interval 0.76 to 1.00, 12 clips)"
    assert "on 12 validation clips" in lines["calibration"]
    assert "torch 2" in lines["made with"]
    models = [text for label, text in card_lines(facts_of("ensemble")) if label == "backbone"]
    assert [text.partition(":")[0] for text in models] == ["60% of the mean", "40% of the mean"]


def test_many_classes_are_counted(facts_of):
    facts = facts_of("probe") | {"classes": [f"class {n}" for n in range(400)]}
    assert dict(card_lines(facts))["classes"].endswith("class 8, class 9 and 390 more")
    assert "\n400. class 399\n" in card_markdown(facts)


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_begins_as_the_hub_expects(facts_of, kind):
    head = front_matter(card_markdown(facts_of(kind)))
    assert list(head) == ["license", "library_name", "pipeline_tag", "tags"]
    assert (head["license"], head["pipeline_tag"]) == ("unknown", "video-classification")


@pytest.mark.parametrize(
    ("licences", "keys"),
    [
        (["Apache-2.0"], {"license": "apache-2.0"}),
        (["Apache-2.0", "Apache-2.0"], {"license": "apache-2.0"}),
        (["MIT", "CC-BY-NC-4.0"], {"license": "other", "license_name": "mit, cc-by-nc-4.0"}),
        (["Own terms"], {"license": "other", "license_name": "own terms"}),
    ],
)
def test_the_licence_is_that_of_the_pretrained_weights(facts_of, licences, keys):
    facts = facts_of("ensemble")
    for model, licence in zip(facts["models"], licences, strict=False):
        nc = "NC" in licence
        model["pretrained"] = {"name": "w", "trained_on": "clips", "licence": licence}
        model["pretrained"]["noncommercial"] = nc
    facts["models"] = facts["models"][: len(licences)]
    card = card_markdown(facts)
    assert front_matter(card).items() >= keys.items()
    assert ("excludes commercial use" in card) == ("CC-BY-NC-4.0" in licences)


def test_sections(facts_of):
    card = card_markdown(facts_of("trained"))
    titles = [line for line in card.splitlines() if line.startswith("#")]
    wanted = ["Use", "Classes", "Model", "How it was measured", "Limits"]
    assert titles == ["# Video classifier with 3 classes", *(f"## {title}" for title in wanted)]
    code = card.partition("```python\n")[2].partition("```")[0]
    compile(code, "card", "exec")
    assert 'AutoXVideo.load("trained-1.safetensors")' in code


def test_names_are_no_markup(facts_of):
    names = ["<b>", "a|b", "# x", "`x`", "[x](y)", "1. x", "two\nlines", "\x1b[31m"]
    card = card_markdown(facts_of("probe") | {"classes": names})
    wanted = (r"\<b\>", r"a\|b", r"\# x", r"\`x\`", r"\[x\](y)", r"1\. x", r"two\\nlines")
    for number, name in enumerate(wanted, 1):
        assert f"\n{number}. {name}\n" in card
    assert "\x1b" not in card


def test_what_is_missing_is_said(facts_of):
    facts = facts_of("trained") | {"score": None, "metrics": None, "calibration": None}
    lines = dict(card_lines(facts))
    assert (lines["score"], lines["calibration"]) == ("not measured", "none")
    assert "The model was not measured." in card_markdown(facts)
    assert "not calibrated" in card_markdown(facts)
