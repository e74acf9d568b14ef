"""Execution contexts of a cluster's driver."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from lakeflow_local.compute.errors import ContextsExceeded
from lakeflow_local.compute.execution_contexts import DRIVER_CONTEXTS, ExecutionContexts


def test_a_driver_has_145_contexts() -> None:
    contexts = ExecutionContexts()
    with ExitStack() as held, ExitStack() as last:
        for _ in range(144):
            held.enter_context(contexts.hold("full"))
        last.enter_context(contexts.hold("full"))
        with pytest.raises(ContextsExceeded), contexts.hold("full"):
            pass
        with contexts.hold("another"):
            pass
        for _ in range(2 * DRIVER_CONTEXTS):
            held.enter_context(contexts.hold(None))
        last.close()
        held.enter_context(contexts.hold("full"))
        with pytest.raises(ContextsExceeded), contexts.hold("full"):
            pass
