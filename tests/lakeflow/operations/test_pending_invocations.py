from __future__ import annotations

from pathlib import Path

import pytest

from lakeflow.errors import Refused
from lakeflow.operations.pending_invocations import withdrawn_if_refused
from lakeflow.state.invocations import begin_named


def test_a_refused_request_frees_its_id(tmp_path: Path) -> None:
    invocation = begin_named(tmp_path, "mine", ["one"], 0)
    with pytest.raises(Refused), withdrawn_if_refused(invocation):
        raise Refused("no permission")
    assert begin_named(tmp_path, "mine", ["another"], 0).started == {}


def test_a_request_that_started_a_run_keeps_its_id(tmp_path: Path) -> None:
    invocation = begin_named(tmp_path, "mine", ["one"], 0)
    invocation.record(7, 0, 100)
    with pytest.raises(Refused), withdrawn_if_refused(invocation):
        raise Refused("the disk is full")
    invocation.close()
    assert begin_named(tmp_path, "mine", ["one"], 0).started == {(7, 0): 100}
