"""What every driver does: calls the workspace and notes which calls did what they should.

Standard library only: it runs in the clients' own environments. A driver is started with a file of
facts (the workspace, and what was made there for it) and the name of the file for its findings.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class Facts:
    """`cluster_id` runs, `wheel` is the probe in the workspace, `name` is for what is made."""

    host: str
    token: str
    user: str
    cluster_id: str
    wheel: str
    spark_version: str
    node_type_id: str
    name: str


class Tour:
    """The calls of one client, one after the other; each is noted as it ends.

    `version` is that of the API, set by clients that speak several.
    """

    def __init__(self) -> None:
        self.version: str | None = None
        self.facts = Facts(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
        self._findings = Path(sys.argv[2])
        self._findings.touch()

    @contextlib.contextmanager
    def call(self, *keys: str) -> Iterator[None]:
        """Note the outcome of the calls of this block: by the keys of tests/parity/catalog.py.

        An exception is the finding, and the tour continues.
        """
        text = None
        try:
            yield
        except (Exception, SystemExit) as error:
            here = next(
                frame
                for frame in reversed(traceback.extract_tb(error.__traceback__))
                if "drivers" in frame.filename
            )
            text = f"{here.filename}:{here.lineno}: {type(error).__name__}: {error}"
        with open(self._findings, "a", encoding="utf-8") as file:
            for key in keys:
                finding = {"call": key, "failed": text, "version": self.version}
                file.write(json.dumps(finding) + "\n")


def until(condition: Callable[[], T | None]) -> T:
    """Wait for what has to come to pass."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError("this never came to pass")


def equal(found: object, expected: object) -> None:
    """Like `assert found == expected`, naming both."""
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")
