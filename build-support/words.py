"""Find wording that words.toml rules out, in the files that git tracks.

Run from the root of the repository: ./pants run build-support/words.py
"""

from __future__ import annotations

import bisect
import fnmatch
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIST = "build-support/words.toml"
GAP = r"(?:\s|(?<=\n)[ \t]*(?:#|\*|//|>)[ \t]?|\"\s*\n\s*f?\")+"
"""White space, with the comment marks or quotes between two lines of one sentence."""


@dataclass(frozen=True)
class Rule:
    """A phrase or a word of an identifier, and what to say instead."""

    key: str
    instead: str
    pattern: re.Pattern[str] | None
    """None for a word of identifiers."""


@dataclass(frozen=True)
class Finding:
    """A place that breaks a rule; lines count from 1."""

    path: str
    line: int
    text: str
    rule: Rule


@dataclass(frozen=True)
class Exemption:
    """Paths (shell patterns) in which some rules do not hold, and why."""

    paths: tuple[str, ...]
    keys: tuple[str, ...]
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Say whether a finding is exempt. The key `*` stands for every rule."""
        return (finding.rule.key in self.keys or "*" in self.keys) and any(
            fnmatch.fnmatch(finding.path, path) for path in self.paths
        )


def main() -> int:
    """Print each finding as `path:line: text: what to say`. Returns 1 if there are any."""
    with open(LIST, "rb") as file:
        listed = tomllib.load(file)
    rules = read_rules(listed)
    exemptions = [
        Exemption(tuple(entry["paths"]), tuple(entry["words"]), entry["reason"])
        for entry in listed.get("exemptions", [])
    ]
    used = set()
    count = 0
    for path in tracked_files():
        for finding in check(path, Path(path).read_text(encoding="utf-8", errors="replace"), rules):
            covering = [it for it in exemptions if it.covers(finding)]
            used.update(covering)
            if not covering:
                count += 1
                print(f"{path}:{finding.line}: {finding.text!r}: {finding.rule.instead}")
    for exemption in exemptions:
        if exemption not in used:
            count += 1
            words, paths = ", ".join(exemption.keys), ", ".join(exemption.paths)
            print(f"{LIST}: not needed any more: {words} in {paths}")
    if count:
        print(f"hint: {count} findings; reword them, or exempt them in {LIST} with a reason")
    return 1 if count else 0


def tracked_files() -> Iterator[str]:
    """Yield the paths of text files that git tracks, without lockfiles and the list itself."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout
    for path in listed.rstrip("\0").split("\0"):
        lock = ".lock" in path
        if (
            not lock
            and path != LIST
            and not path.endswith((".png", ".svg"))
            and Path(path).exists()
        ):
            yield path


def read_rules(listed: Mapping[str, Any]) -> list[Rule]:
    """Compile the tables `phrases` and `identifiers` of the list."""
    return [
        Rule(key, instead, re.compile(rf"(?<![\w-])(?:{key.replace(' ', GAP)})(?![\w])", re.I))
        for key, instead in listed.get("phrases", {}).items()
    ] + [Rule(key, instead, None) for key, instead in listed.get("identifiers", {}).items()]


def check(path: str, text: str, rules: list[Rule]) -> Iterator[Finding]:
    """Yield what breaks a rule in a file, phrases first."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    for rule in rules:
        if rule.pattern is not None:
            for match in rule.pattern.finditer(text):
                line = bisect.bisect_right(starts, match.start())
                yield Finding(path, line, " ".join(match[0].split()), rule)
    words = {rule.key: rule for rule in rules if rule.pattern is None}
    if path.endswith((".py", ".pyi")):
        for name, line in names(path, text):
            for word in split(name):
                if word in words:
                    yield Finding(path, line, name, words[word])


def names(path: str, text: str) -> Iterator[tuple[str, int]]:
    """Yield the names of a Python file with their lines, its own name first."""
    yield Path(path).stem, 1
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.string, token.start[0]


def split(name: str) -> list[str]:
    """Split a name into lower-case words, at underscores, digits and capitals."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


if __name__ == "__main__":
    sys.exit(main())
