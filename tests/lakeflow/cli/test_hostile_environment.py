"""No environment ends in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("--help >/dev/full", 1, "No space left"),
        ("deploy --help >/dev/full", 1, "No space left"),
        ("--version >/dev/full", 1, "No space left"),
        ("build-wheel --target LATIN", 2, "is not UTF-8 text"),
        ("build-wheel --target LONG", None, ""),
        ("upload-wheel LONG", None, ""),
        ("deploy --manifest LONG", None, ""),
        ("trigger-run 5 --secrets-file LONG", 2, "cannot read the secrets file"),
        ("trigger-run 5 --secrets-file /dev/zero", 2, "cannot read the secrets file"),
        ("trigger-run '\u0667'", 2, "'\u0667'"),
        ("get-run 1_000", 2, "1_000"),
        ("get-run 99999999999999999999999", 2, "Invalid"),
        ("get-run -1", 2, ""),
    ],
)
def test_one_line_and_an_exit_code(
    tmp_path: Path, command: str, code: int | None, said: str
) -> None:
    latin = tmp_path / "latin"
    latin.mkdir()
    (latin / "pyproject.toml").write_bytes(b'[project]\nname = "caf\xe9"\n')
    command = command.replace("LATIN", str(latin)).replace("LONG", "x" * 5000)
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "LAKEFLOW_STATE_DIR": str(tmp_path / "state"),
        "DATABRICKS_HOST": "http://127.0.0.1:1",
        "DATABRICKS_TOKEN": "dapi-of-the-test",
    }
    done = subprocess.run(
        ["bash", "-c", f'ulimit -v 4000000; "$0" -m lakeflow {command}', sys.executable],
        text=True,
        capture_output=True,
        check=False,
        env=environ,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert done.returncode in ((1, 2, 3, 4) if code is None else (code,)), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("redirection", ["<&-", "</dev/null"])
def test_without_standard_input_nothing_is_confirmed(tmp_path: Path, redirection: str) -> None:
    program = (
        "from lakeflow.cli.option_types import confirmed\nfrom lakeflow.errors import UsageError\n"
        "try:\n    confirmed('Sure?', False)\n"
        "except UsageError as error:\n    print(error)\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {redirection}', sys.executable, program],
        text=True,
        capture_output=True,
        check=False,
        env=environ,
    )
    assert "pass --yes" in done.stdout, done.stderr
