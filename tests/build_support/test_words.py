"""The search for wording that words.toml rules out, as a process in temporary repositories."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = Path(__file__).resolve().parents[2] / "build-support" / "words.py"
LIST = """
[phrases]
"bad weather" = "injected faults"
"doors?" = "interface"

[identifiers]
told = "logged"
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "build-support").mkdir()
    shutil.copy(WORDS, tmp_path / "build-support")
    (tmp_path / "build-support" / "words.toml").write_text(LIST)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def find(repo: Path, name: str = "", text: str = "") -> tuple[int, list[str]]:
    """Add a file, and return the exit code with what is printed about files that are not ours."""
    if name:
        (repo / name).write_text(text)
    subprocess.run(["git", "add", "."], cwd=repo, check=True)
    command = [sys.executable, "build-support/words.py"]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()[:-1]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.md", "One\n\nof the Doors\n", "a.md:3: 'Doors': interface"),
        ("a.md", "in bad\nweather\n", "a.md:1: 'bad weather': injected faults"),
        ("a.py", "# in bad\n# weather\n", "a.py:1: 'bad # weather': injected faults"),
        ("a.py", 'x = (\n    "in bad "\n    "weather"\n)\n', None),
        ("a.py", "def is_told(): ...\n", "a.py:1: 'is_told': logged"),
        ("a.py", "class ToldTwice: ...\n", "a.py:1: 'ToldTwice': logged"),
        ("a.py", "x = 1\ny = x.told\n", "a.py:2: 'told': logged"),
        ("told.py", "", "told.py:1: 'told': logged"),
    ],
)
def test_a_ruled_out_word_is_found(repo: Path, name: str, text: str, found: str | None) -> None:
    code, lines = find(repo, name, text)
    assert code == 1
    if found:
        assert lines == [found]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "outdoors, doorstep, told, bad. Weather\n"),
        ("a.py", "untold = 'told'\nx = 'retold'\n"),
        ("a.lock.txt", "doors==1\n"),
    ],
)
def test_other_words_are_not(repo: Path, name: str, text: str) -> None:
    assert find(repo, name, text) == (0, [])


def test_a_file_that_git_does_not_track_is_not_read(repo: Path) -> None:
    (repo / ".gitignore").write_text("a.md\n")
    assert find(repo, "a.md", "doors\n") == (0, [])


def test_an_exemption_holds_for_its_words_and_paths_only(repo: Path) -> None:
    exemption = '[[exemptions]]\npaths = ["a.*"]\nwords = ["doors?"]\nreason = "a song"\n'
    (repo / "build-support" / "words.toml").write_text(LIST + exemption)
    (repo / "a.md").write_text("doors\nbad weather\n")
    code, lines = find(repo, "b.md", "doors\n")
    assert code == 1
    assert lines == ["a.md:2: 'bad weather': injected faults", "b.md:1: 'doors': interface"]


def test_an_exemption_that_nothing_needs_is_reported(repo: Path) -> None:
    exemption = '[[exemptions]]\npaths = ["a.*"]\nwords = ["doors?"]\nreason = "a song"\n'
    (repo / "build-support" / "words.toml").write_text(LIST + exemption)
    code, lines = find(repo)
    assert code == 1
    assert lines == ["build-support/words.toml: not needed any more: doors? in a.*"]
