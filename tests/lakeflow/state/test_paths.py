"""Folders of the state: no other user can enter them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow.state import cache, invocations


@pytest.fixture(params=[0o000, 0o022, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("exists", [False, True], ids=["new", "old"])
def test_folders_are_private_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(state))
    if exists:
        for name in ("invocations", "cache"):
            (state / name).mkdir(parents=True)
            (state / name).chmod(0o755)
        state.chmod(0o755)
    cache.put("host", value={"a": 1})
    invocations.begin(invocations.folder(), ["a"]).finish()
    for name in ("invocations", "cache"):
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o700
    if not exists:
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
