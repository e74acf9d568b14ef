"""What runs and clusters may become, as documented, and the judge of what was seen of them.

Sources: docs.databricks.com/api/workspace/jobs (RunLifeCycleState, RunLifecycleStateV2State) and
/clusters (ClusterState); repair, retry and run_if as in docs.databricks.com/jobs. What is seen are
samples, so that a state may be followed by whatever comes later on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FINAL = {"TERMINATED", "SKIPPED", "INTERNAL_ERROR"}
ENDING = {"TERMINATING"} | FINAL
STARTED = {"RUNNING"} | ENDING
WAITING = {"PENDING"} | STARTED
RUN_NEXT: Mapping[str, set[str]] = {
    "QUEUED": {"QUEUED"} | WAITING,
    "BLOCKED": {"BLOCKED"} | WAITING,
    "PENDING": WAITING,
    "RUNNING": STARTED,
    "TERMINATING": ENDING,
    "TERMINATED": {"TERMINATED"},
    "SKIPPED": {"SKIPPED"},
    "INTERNAL_ERROR": {"INTERNAL_ERROR"},
}
RESULTS: Mapping[str, set[str]] = {
    "TERMINATED": {"SUCCESS", "SUCCESS_WITH_FAILURES", "FAILED", "CANCELED", "TIMEDOUT"},
    "SKIPPED": {
        "EXCLUDED",
        "UPSTREAM_FAILED",
        "UPSTREAM_CANCELED",
        "MAXIMUM_CONCURRENT_RUNS_REACHED",
    },
    "INTERNAL_ERROR": {"FAILED"},
}

CLUSTER_NEXT: Mapping[str, set[str]] = {
    "PENDING": {"PENDING", "RUNNING"},
    "RUNNING": {"RUNNING", "RESIZING"},
    "RESIZING": {"RESIZING", "RUNNING"},
    "RESTARTING": {"RESTARTING", "RUNNING"},
    "TERMINATING": {"TERMINATING", "TERMINATED"},
    "TERMINATED": {"TERMINATED"},
}
"""Without a request that changes the cluster, and without runs that start it."""


@dataclass
class SeenRun:
    """A run as it was last seen, and what was asked of it since. `last` is its view in the API."""

    run_id: int
    job_id: int | None
    cluster_id: str | None
    last: Mapping[str, Any] | None = None
    is_ending: bool = False
    repairs: list[int] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return self.last is not None and state_of(self.last) in FINAL

    def repaired(self, repair_id: int) -> None:
        """A repair was accepted: the run, but none of its tasks so far, starts again."""
        assert self.last is not None
        assert repair_id not in self.repairs
        self.repairs.append(repair_id)
        self.is_ending = False
        started = {"life_cycle_state": "PENDING"}
        self.last = {**self.last, "state": started, "end_time": 0}

    def see(self, view: Mapping[str, Any]) -> None:
        """Compare with what was seen before.

        Raises:
            AssertionError: the run can't have become this.
        """
        check_one(view)
        tasks = view.get("tasks", [])
        for task in tasks:
            check_one(task)
            assert not task["start_time"] or task["start_time"] >= view["start_time"], view
            if view["end_time"]:
                assert task["end_time"] <= view["end_time"], view
        check_attempts(view)
        state = state_of(view)
        unfinished = [task for task in tasks if state_of(task) not in FINAL]
        assert not (state in FINAL and unfinished), view
        assert state in FINAL or state == "QUEUED" or unfinished, view
        assert not (state == "QUEUED" and tasks), view
        assert not self.is_ending or state in ENDING, (self.last, view)
        if self.last is not None:
            check_change(self.last, view)
            before = {task["run_id"]: task for task in self.last.get("tasks", [])}
            now = {task["run_id"]: task for task in tasks}
            for run_id, task in before.items():
                assert run_id in now, (self.last, view)
                check_change(task, now[run_id])
            if self.is_over:
                assert facts_of(view) == facts_of(self.last), (self.last, view)
        self.last = view


@dataclass
class SeenCluster:
    """A cluster as it was last seen."""

    cluster_id: str
    state: str = "PENDING"

    def see(self, view: Mapping[str, Any], may_be_started: bool) -> None:
        """Compare with what was seen before; runs that name a cluster may start it.

        Raises:
            AssertionError: the cluster can't have become this.
        """
        allowed = set(CLUSTER_NEXT[self.state])
        if may_be_started and self.state in ("TERMINATING", "TERMINATED"):
            allowed |= {"PENDING", "RUNNING", "RESTARTING"}
        state = view["state"]
        assert state in allowed, (self.state, view)
        assert ("terminated_time" in view) == (state == "TERMINATED"), view
        assert ("termination_reason" in view) == (state == "TERMINATED"), view
        self.state = state


def state_of(view: Mapping[str, Any]) -> str:
    state: str = view["state"]["life_cycle_state"]
    return state


def facts_of(view: Mapping[str, Any]) -> list[list[Any]]:
    """What stays of a run that is over, whichever call shows it."""
    names = ("run_id", "state", "status", "start_time", "end_time", "attempt_number")
    return [[item.get(name) for name in names] for item in (view, *view.get("tasks", []))]


def check_one(view: Mapping[str, Any]) -> None:
    """A run or a task by itself: both views agree, and what belongs to an end is there with it."""
    state, status = view["state"], view["status"]
    phase = state["life_cycle_state"]
    is_over = phase in FINAL
    assert (status["state"] == "TERMINATED") == is_over, view
    assert is_over or status["state"] == phase, view
    assert ("result_state" in state) == is_over, view
    assert ("termination_details" in status) == is_over, view
    assert bool(view["end_time"]) == is_over, view
    if is_over:
        assert state["result_state"] in RESULTS[phase], view
        assert view["end_time"] >= view["start_time"], view
        is_finished = state["result_state"] in ("CANCELED", "TIMEDOUT")
        assert state["user_cancelled_or_timedout"] == is_finished, view


def check_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    assert state_of(after) in RUN_NEXT[state_of(before)], (before, after)
    for moment in ("start_time", "end_time"):
        assert before[moment] in (0, after[moment]), (before, after)


def check_attempts(view: Mapping[str, Any]) -> None:
    """Of each task the attempts 0, 1, 2 and on, and only the last of them not over."""
    attempts: dict[str, list[Mapping[str, Any]]] = {}
    for task in sorted(view.get("tasks", []), key=lambda task: int(task["run_id"])):
        attempts.setdefault(task["task_key"], []).append(task)
    for of_task in attempts.values():
        numbers = [task["attempt_number"] for task in of_task]
        assert numbers == list(range(len(of_task))), view
        assert all(state_of(task) in FINAL for task in of_task[:-1]), view
