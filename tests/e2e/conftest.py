from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scratch import Repo, make_repo


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C reaches what the tests start, also where a shell in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def wheels() -> list[Path]:
    """The wheels of lakeflow, which Pants has put beside the tests with its own script."""
    wheels = sorted(Path.cwd().glob("lakeflow_*.whl"))
    if len(wheels) != 4:
        pytest.fail("run these tests with `./pants test tests/e2e:`, which builds the wheels")
    return wheels


@pytest.fixture(scope="session")
def repo(tmp_path_factory: pytest.TempPathFactory, wheels: list[Path]) -> Iterator[Repo]:
    """A scratch repo that takes lakeflow from its wheels."""
    repo = make_repo(tmp_path_factory.mktemp("scratch"), Path.cwd(), wheels)
    yield repo
    repo.stop()
