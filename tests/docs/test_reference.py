"""The reference pages say what the command and the docstrings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.reference import make

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(make.pages()))
def test_a_page_is_what_would_be_made_now(name: str) -> None:
    current = (FOLDER / name).read_text(encoding="utf-8") == make.pages()[name]
    assert current, f"docs/reference/{name} is out of date: ./pants run docs/reference/make.py"


def test_nothing_public_is_without_a_word() -> None:
    for heading in make.pages()["python.md"].split("\n#")[2:]:
        assert heading.replace("`", "").split("\n", 1)[1].strip(), heading
