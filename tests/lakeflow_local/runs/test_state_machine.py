"""Jobs, runs and clusters, driven at random through the SDK: nothing becomes what it can't.

`LAKEFLOW_SOAK=1` takes 10,000 steps, otherwise some hundreds, always the same ones.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest
from databricks.sdk.service.jobs import (
    ForEachTask,
    JobSettings,
    QueueSettings,
    RunIf,
    SubmitTask,
    Task,
    TaskDependency,
)
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from lakeflow_local.compute import processes
from tests.lakeflow_local.helpers import present, probe_task, repair, trigger, until
from tests.lakeflow_local.state_model import SeenCluster, SeenRun, state_of

T = TypeVar("T")
IS_SOAK = bool(os.environ.get("LAKEFLOW_SOAK"))
STEPS = 50
EXAMPLES = 230 if IS_SOAK else 8  # some end before their last step
MOST_RUNS = 20
"""Of one job: they are listed on one page, since runs move between pages when they end."""

KINDS = ("works", "fails", "exits", "naps", "sleeps", "tries-again", "late", "chain", "each")


def tasks_of(kind: str, cluster: str, wheel: str) -> list[Task]:
    """The tasks of a job: that work, fail, exit, last, are tried again, depend on one another."""

    def task(function: str, *parameters: str, **options: Any) -> Task:
        return probe_task(cluster, wheel, function, *parameters, **options)

    of_one: dict[str, Callable[[], Task]] = {
        "works": lambda: task("version"),
        "fails": lambda: task("fail"),
        "exits": lambda: task("die"),
        "naps": lambda: task("nap", "0.2"),
        "sleeps": lambda: task("nap", "600"),
        "tries-again": lambda: task("fail", max_retries=1, min_retry_interval_millis=100),
        "late": lambda: task("nap", "600", timeout_seconds=1),
        "each": lambda: Task(
            task_key="main",
            for_each_task=ForEachTask(
                inputs="[1, 2, 3]", concurrency=2, task=task("nap", "0.1", task_key="inner")
            ),
        ),
    }
    if kind in of_one:
        return [of_one[kind]()]
    return [
        task("nap", "0.1", task_key="first"),
        task("fail", task_key="second", depends_on=[TaskDependency("first")]),
        task("version", task_key="third", depends_on=[TaskDependency("second")]),
        task(
            "version",
            task_key="last",
            depends_on=[TaskDependency("third")],
            run_if=RunIf.ALL_DONE,
        ),
    ]


@dataclass
class KnownJob:
    """A job as the test has created it. `limit` is the highest that it ever had."""

    job_id: int
    cluster_id: str
    limit: int
    has_queue: bool
    tokens: dict[str, int] = field(default_factory=dict)
    is_deleted: bool = False


def answer(call: Callable[[], T]) -> tuple[T | None, str]:
    """What a call gave, or the text of the 400 that refused it."""
    try:
        return call(), ""
    except BadRequest as error:
        return None, str(error)


class Workspace(RuleBasedStateMachine):
    """Asks one thing after the other, and looks at everything after each.

    Which rules there are must not depend on what the server did: hypothesis takes that for a
    mistake. A rule that has nothing to work on does nothing.
    """

    client: WorkspaceClient
    wheel: str
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[KnownJob] = []
        self.runs: dict[int, SeenRun] = {}
        self.clusters: dict[str, SeenCluster] = {}

    def pick(self, items: Mapping[Any, Any] | list[Any], number: int) -> Any:
        values = list(items.values()) if isinstance(items, Mapping) else items
        return values[number % len(values)]

    number = strategies.integers(0, 19)

    @initialize()
    def begin(self) -> None:
        self.create_cluster()
        self.create_job("naps", 0, 2, True)

    @rule()
    def create_cluster(self) -> None:
        if len(self.clusters) > 2:
            return
        cluster_id = self.client.clusters.create(
            spark_version=self.client.clusters.select_spark_version(long_term_support=True),
            node_type_id="local.small",
            num_workers=0,
        ).bind()["cluster_id"]
        self.clusters[cluster_id] = SeenCluster(cluster_id)

    @rule(
        which=number, what=strategies.sampled_from(["start", "restart", "delete", "edit", "resize"])
    )
    def change_cluster(self, which: int, what: str) -> None:
        """Each is possible in some states only, and says so in the others."""
        cluster = self.pick(self.clusters, which)
        body: dict[str, Any] = {"cluster_id": cluster.cluster_id}
        if what == "edit":
            seen = self.client.clusters.get(cluster.cluster_id)
            body |= {"spark_version": seen.spark_version, "node_type_id": "local.large"}
        if what == "resize":
            body["num_workers"] = 3
        do = self.client.api_client.do
        _, refusal = answer(lambda: do("POST", f"/api/2.1/clusters/{what}", body=body))
        if refusal:
            assert "is in unexpected state" in refusal
            return
        if what == "start":
            assert cluster.state in ("TERMINATED", "TERMINATING")
            cluster.state = "PENDING"
        elif what == "restart" or (what == "edit" and cluster.state != "TERMINATED"):
            cluster.state = "RESTARTING"
        elif what == "delete":
            cluster.state = "TERMINATING"

    def may_be_started(self, cluster_id: str) -> bool:
        return any(run.cluster_id == cluster_id and not run.is_over for run in self.runs.values())

    @rule(which=number)
    def delete_cluster_for_good(self, which: int) -> None:
        if len(self.clusters) < 2:
            return
        cluster_id = self.pick(self.clusters, which).cluster_id
        self.client.clusters.permanent_delete(cluster_id)
        del self.clusters[cluster_id]

    @rule(
        kind=strategies.sampled_from(KINDS),
        which=number,
        limit=strategies.integers(1, 2),
        has_queue=strategies.booleans(),
    )
    def create_job(self, kind: str, which: int, limit: int, has_queue: bool) -> None:
        if len(self.jobs) > 3:
            return
        cluster_id = self.pick(self.clusters, which).cluster_id
        job_id = self.client.jobs.create(
            name=kind,
            tasks=tasks_of(kind, cluster_id, self.wheel),
            max_concurrent_runs=limit,
            queue=QueueSettings(has_queue),
        ).job_id
        self.jobs.append(KnownJob(present(job_id), cluster_id, limit, has_queue))

    @rule(kind=strategies.sampled_from(KINDS), which=number)
    def reset_job(self, kind: str, which: int) -> None:
        job = self.pick(self.jobs, which)
        if job.is_deleted:
            return
        new = JobSettings(
            name=kind,
            tasks=tasks_of(kind, job.cluster_id, self.wheel),
            max_concurrent_runs=job.limit,
            queue=QueueSettings(job.has_queue),
        )
        self.client.jobs.reset(job.job_id, new)

    @rule(which=number)
    def delete_job(self, which: int) -> None:
        job = self.pick(self.jobs, which)
        _, refusal = answer(lambda: self.client.jobs.delete(job.job_id))
        assert bool(refusal) == job.is_deleted, refusal
        job.is_deleted = True
        for run in self.runs_of(job):
            run.is_ending = not run.is_over

    def runs_of(self, job: KnownJob) -> list[SeenRun]:
        return [run for run in self.runs.values() if run.job_id == job.job_id]

    @rule(which=number, token=strategies.none() | strategies.sampled_from(["a", "b"]))
    def run_now(self, which: int, token: str | None) -> None:
        job = self.pick(self.jobs, which)
        if len(self.runs_of(job)) >= MOST_RUNS:
            return
        unfinished = sum(not run.is_over for run in self.runs_of(job))
        full_token = f"{token}-{job.job_id}" if token else None
        run_id, refusal = answer(
            lambda: trigger(self.client, job.job_id, idempotency_token=full_token)
        )
        if run_id is None:
            former = job.tokens.get(token or "")
            is_used_up = former is not None and former not in self.runs
            assert job.is_deleted or is_used_up, refusal
            return
        assert not job.is_deleted
        if token is not None and token in job.tokens:
            assert run_id == job.tokens[token]
            return
        assert run_id not in self.runs
        if token is not None:
            job.tokens[token] = run_id
        run = self.runs[run_id] = SeenRun(run_id, job.job_id, job.cluster_id)
        self.look_at(run)
        state = state_of(present(run.last))
        if state == "SKIPPED":
            assert unfinished >= job.limit
            assert not job.has_queue
        if state == "QUEUED":
            assert unfinished >= job.limit
            assert job.has_queue

    @rule(kind=strategies.sampled_from(KINDS), which=number)
    def submit(self, kind: str, which: int) -> None:
        if len(self.runs) > 60:
            return
        cluster_id = self.pick(self.clusters, which).cluster_id
        tasks = [
            SubmitTask.from_dict(task.as_dict()) for task in tasks_of(kind, cluster_id, self.wheel)
        ]
        run_id = self.client.jobs.submit(run_name=kind, tasks=tasks).bind()["run_id"]
        assert run_id not in self.runs
        self.runs[run_id] = SeenRun(run_id, None, cluster_id)

    @rule(which=number)
    def cancel(self, which: int) -> None:
        if not self.runs:
            return
        run = self.pick(self.runs, which)
        self.client.jobs.cancel_run(run.run_id)
        run.is_ending = not run.is_over

    @rule(which=number)
    def cancel_all(self, which: int) -> None:
        job = self.pick(self.jobs, which)
        self.client.jobs.cancel_all_runs(job_id=job.job_id)
        for run in self.runs_of(job):
            run.is_ending = not run.is_over

    @rule(which=number, is_whole=strategies.booleans())
    def repair_run(self, which: int, is_whole: bool) -> None:
        """Repair works for finished runs of existing jobs, with the id of the latest repair."""
        if not self.runs:
            return
        run = self.pick(self.runs, which)
        is_deleted = any(job.is_deleted for job in self.jobs if job.job_id == run.job_id)
        view = self.client.jobs.get_run(run.run_id)
        run.see(view.as_dict())
        keys = sorted({task.task_key or "" for task in view.tasks or ()})
        is_whole = is_whole and bool(keys)  # a skipped run has no tasks
        repair_id, refusal = answer(
            lambda: repair(
                self.client,
                run.run_id,
                latest_repair_id=run.repairs[-1] if run.repairs else None,
                rerun_tasks=keys if is_whole else None,
                rerun_all_failed_tasks=None if is_whole else True,
            )
        )
        if repair_id is None:
            is_gone = is_whole and "The job has no task" in refusal  # the job was reset
            assert not run.is_over or is_deleted or is_gone or "no tasks" in refusal, refusal
            return
        assert not is_deleted
        run.repaired(repair_id)

    @rule(which=number)
    def delete_run(self, which: int) -> None:
        if not self.runs:
            return
        run = self.pick(self.runs, which)
        _, refusal = answer(lambda: self.client.jobs.delete_run(run.run_id))
        if refusal:
            assert "is still active" in refusal
            assert not run.is_over
        else:
            del self.runs[run.run_id]

    @rule(which=number)
    def let_it_go_on(self, which: int) -> None:
        """Wait until a run has changed, or for a moment."""
        if not self.runs:
            return
        run = self.pick(self.runs, which)
        before = run.last and state_of(run.last)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            self.look_at(run)
            if run.last is None or state_of(run.last) != before:
                return

    def look_at(self, run: SeenRun) -> None:
        view = self.client.jobs.get_run(run.run_id, include_history=True)
        history = view.repair_history or []
        assert [item.id for item in history if item.id] == run.repairs
        run.see({k: v for k, v in view.as_dict().items() if k != "repair_history"})

    @invariant()
    def look_at_everything(self) -> None:
        """Lists have what there is and no more; each item may follow what was seen of it."""
        Workspace.steps += 1
        found = {item.cluster_id: item.as_dict() for item in self.client.clusters.list()}
        for cluster in self.clusters.values():
            may_be_started = self.may_be_started(cluster.cluster_id)
            cluster.see(found[cluster.cluster_id], may_be_started)
        for job in self.jobs:
            views = list(self.client.jobs.list_runs(job_id=job.job_id, limit=24, expand_tasks=True))
            assert {view.run_id for view in views} == {run.run_id for run in self.runs_of(job)}
            times = [view.end_time or view.start_time or 0 for view in views]
            assert times == sorted(times, reverse=True)
            for view in views:
                self.runs[view.run_id or 0].see(view.as_dict())
            running = [
                run
                for run in self.runs_of(job)
                if not run.is_over and run.last and state_of(run.last) != "QUEUED"
            ]
            assert len(running) <= job.limit or any(run.repairs for run in running)
        for run in self.runs.values():
            if run.job_id is None and not run.is_over:
                self.look_at(run)

    def teardown(self) -> None:
        """Whatever happened, everything can be stopped, and is."""
        for run in self.runs.values():
            self.client.jobs.cancel_run(run.run_id)
            run.is_ending = not run.is_over
        for run in self.runs.values():
            until(lambda run=run: self.is_over_now(run) or None)  # type: ignore[misc]
        self.look_at_everything()
        for cluster in self.clusters.values():
            self.client.clusters.permanent_delete(cluster.cluster_id)

    def is_over_now(self, run: SeenRun) -> bool:
        self.look_at(run)
        return run.is_over


def test_no_illegal_transition(client: WorkspaceClient, wheel: str, mount: Path) -> None:
    """And when all runs are over, none of their processes lives."""
    Workspace.client, Workspace.wheel = client, wheel
    run_state_machine_as_test(
        Workspace,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not IS_SOAK,
            database=None,
            phases=[Phase.generate],  # what a server did can't be replayed to be created smaller
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Workspace.steps >= (10_000 if IS_SOAK else 300)
    workspace_id = client.get_workspace_id()
    assert list(processes.marked(f"{workspace_id}/")) == []
