"""The pages name commands and options that exist, and their lines are short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from docs import check

REPO = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(REPO).as_posix() for path in (REPO / "docs").rglob("*.md"))
MEASURED = {"docs/parity.md"}
OPTIONS_OF_OTHERS: dict[str, set[str]] = {
    "docs/architecture.md": {"--attempt", "--call", "--distribution", "--entry-point"}
    | {"--job-run", "--port", "--requires", "--root", "--task-run", "--until-stdin-closes"},
    "docs/guides/pants.md": {"--changed-dependents", "--changed-since", "--smoke"},
    "docs/guides/runs.md": {"--epochs", "--lr", "--own-option"},
    "docs/mcp.md": {"--directory", "--header", "--no-project", "--python", "--transport"}
    | {"--with-requirements", "--quiet"},
}


@cache
def options() -> dict[str, set[str]]:
    """Return every command as it is typed, with its options."""
    return {
        name: {"--help"}.union(
            *({*parameter.opts, *parameter.secondary_opts} for parameter in command.params)
        )
        for name, command in check.commands()
    }


def code(page: str) -> Iterator[str]:
    """Yield the code of a page: blocks, indented lines and what is in backquotes."""
    text = (REPO / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^    (.*)$", text, re.MULTILINE)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text))


@pytest.mark.parametrize("page", PAGES)
def test_a_command_that_a_page_names_exists(page: str) -> None:
    for line in code(page):
        for match in re.finditer(r"(?:^|\()lakeflow ((?:[a-z][a-z-]+ ?)+)", line):
            words = match[1].split()
            group = f"lakeflow {words[0]}"
            assert group in options(), line
            if len(words) > 1 and any(name.startswith(f"{group} ") for name in options()):
                assert f"{group} {words[1]}" in options(), line


@pytest.mark.parametrize("page", PAGES)
def test_an_option_that_a_page_names_exists(page: str) -> None:
    known = set().union(*options().values()) | OPTIONS_OF_OTHERS.get(page, set())
    for line in code(page):
        for option in re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", line):
            assert option in known or option.startswith("--lakeflow-"), line


@pytest.mark.parametrize("page", sorted({*PAGES, "README.md", "CONTRIBUTING.md"} - MEASURED))
def test_lines_are_short(page: str) -> None:
    fenced = False
    for number, line in enumerate((REPO / page).read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.startswith("```")
        table_or_code = fenced or line.startswith(("|", "    ", "!["))
        assert table_or_code or len(line) <= 100, f"{page}:{number}"
