"""The state of many followed runs, asked for with few requests."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict

from lakeflow.client.workspace import Workspace
from lakeflow.resources import runs
from lakeflow.resources.runs import Run

_TICK_SECONDS = 1.1
"""Between two looks at whether runs have finished."""

_SINGLY = 3
"""Runs of one job that are requested one by one; more of them share one list."""


class RunPoller:
    """Looks up followed runs once in a tick. Safe to use from several threads.

    All runs are looked up in the same ticks, so that many runs of one job share one list of its
    active runs and none is known to have finished later than a tick after it has.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._start = time.monotonic()
        self._followed: dict[int, set[int]] = defaultdict(set)
        self._active: dict[int, tuple[int, dict[int, Run]]] = {}
        self._job_locks: dict[int, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    @property
    def tick(self) -> int:
        """The number of the current tick."""
        return math.floor((time.monotonic() - self._start) / _TICK_SECONDS)

    def start_of(self, tick: int) -> float:
        """Return when a tick starts, on the monotonic clock."""
        return self._start + tick * _TICK_SECONDS

    def look_up(self, job_id: int, run_id: int, tick: int) -> Run:
        """Return the run as it is now, or was earlier in this tick."""
        with self._lock:
            followed = self._followed[job_id]
            followed.add(run_id)
            job_lock, many = self._job_locks[job_id], len(followed) > _SINGLY
        active: dict[int, Run] = {}
        if many:
            # One thread lists the job's runs while the others that need the same list wait for it.
            with job_lock:
                listed_in, active = self._active.get(job_id, (-1, active))
                if listed_in < tick:
                    active = self._list_active(job_id)
                    self._active[job_id] = tick, active
        if run_id in active:
            return active[run_id]
        run = runs.get(self.workspace, run_id)  # a list of active runs has no finished ones
        if run.state.outcome is not None:
            with self._lock:
                self._followed[job_id].discard(run_id)
        return run

    def _list_active(self, job_id: int) -> dict[int, Run]:
        with self._lock:
            missing = set(self._followed[job_id])
        options = {"active_only": "true", "expand_tasks": "true", "limit": runs.PAGE}
        found: dict[int, Run] = {}
        for raw in self.workspace.pages(f"{runs.API}/runs/list", "runs", job_id=job_id, **options):
            run_id = int(raw["run_id"])
            if run_id in missing:
                missing.remove(run_id)
                found[run_id] = runs.read(raw)
            if not missing:
                break
        return found
