"""The pages outside the docs: short, and every link in them leads somewhere."""

import re

import pytest

from tests.datasets import REPOSITORY

LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_the_readme_is_a_page():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 90


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page):
    links = LINK.findall((REPOSITORY / page).read_text())
    local = [link.partition("#") for link in links if "://" not in link]
    assert not [file for file, *_ in local if not (REPOSITORY / file).exists()]
