"""Execution contexts: how many tasks run on a cluster's driver at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from lakeflow_local.compute.errors import ContextsExceeded

DRIVER_CONTEXTS = 145
"""The limit of a cluster (docs: notebooks, execution contexts)."""


class ExecutionContexts:
    """Counts contexts per cluster. A task has one while its process runs, not while it waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, cluster_id: str | None) -> Iterator[None]:
        """Hold a context of a cluster; None is serverless compute, which has no limit.

        Raises:
            ContextsExceeded: none is free; as on Databricks, nothing waits for one.
        """
        if cluster_id is None:
            yield
            return
        with self._lock:
            if self._held[cluster_id] >= DRIVER_CONTEXTS:
                raise ContextsExceeded(cluster_id)
            self._held[cluster_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[cluster_id] -= 1
                if not self._held[cluster_id]:
                    del self._held[cluster_id]
