"""Plans as data, without a workspace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lakeflow.cli.plan_text import plan_lines
from lakeflow.operations.compute import ComputePlan
from lakeflow.operations.plan import DeployPlan, Target, TargetPlan
from lakeflow.resources import artifacts, jobs
from lakeflow.resources.artifacts import Artifact
from lakeflow.resources.clusters import Cluster
from lakeflow.resources.files import KnownSize, NoFile
from lakeflow.specs.compute import ExistingCluster, NewCluster, Placement, Serverless
from lakeflow.specs.deploy import DeployRequest
from lakeflow.specs.job import JobOptions
from lakeflow.wheels.stamping import StampedWheel, stamp
from lakeflow.wheels.wheel import read_wheel
from tests.support.wheels import make_wheel

ROOT = "/Volumes/main/default/v/lakeflow"
NEW = NewCluster(
    "lakeflow-demo-py3.12", {"spark_version": "17.3.x", "node_type_id": "x", "num_workers": 1}
)
OLD = ExistingCluster("0101-1", NEW.name, "x")


@pytest.fixture
def wheel(tmp_path: Path) -> StampedWheel:
    path = make_wheel(tmp_path, "demo", "1.0", {"demo.py": ""})
    (stamped,) = stamp([read_wheel(path)], tmp_path / "stamped")
    return stamped


def target_plan(
    wheel: StampedWheel,
    request: DeployRequest,
    compute: ComputePlan,
    job: jobs.Job | None = None,
    *,
    is_stored: bool = False,
) -> TargetPlan:
    size = KnownSize(wheel.wheel.size) if is_stored else NoFile()
    plan = TargetPlan(
        target=Target("src/demo:dist", "demo", wheel, (wheel,), ((3, 12),)),
        request=request,
        identity="identity",
        root=ROOT,
        artifacts=(Artifact(wheel, artifacts.path_of(ROOT, wheel), size),),
        compute=compute,
        job=job,
        job_url=None,
    )
    return replace(plan, updates=jobs.differences(plan.settings(compute.placement), job))


def existing(placement: Placement, wheel: StampedWheel, request: DeployRequest) -> jobs.Job:
    """The job that a deploy of this request has created."""
    settings = target_plan(wheel, request, ComputePlan(placement, "identity")).settings(placement)
    return jobs.Job(12, "demo", settings)


def cluster(state: str) -> Cluster:
    return Cluster(OLD.id, OLD.name, state, "17.3.x", "x", 1, {}, {})


def deploy_plan(target: TargetPlan, secrets: dict[str, str] | None = None) -> DeployPlan:
    return DeployPlan("https://host", target.request, (target,), secrets=secrets or {})


def test_everything_is_new(wheel: StampedWheel) -> None:
    request = DeployRequest(calls=(("a b",), ()), env={"K": "v"}, secret_env_vars=("TOKEN",))
    target = target_plan(wheel, request, ComputePlan(NEW, "identity", is_own=True))
    plan = deploy_plan(target, {"TOKEN": "hush"})
    kinds = [(change.kind, change.resource.kind) for change in plan.changes]
    assert kinds == [
        ("upload", "wheel"),
        ("create", "cluster"),
        ("create", "job"),
        ("trigger", "run"),
        ("trigger", "run"),
    ]
    assert plan.changes[-1].after == {"argv": [], "env": {"K": "v"}, "secrets": ["TOKEN"]}
    assert "hush" not in f"{plan!r}{plan.changes}"
    job = plan.changes[2].after or {}
    assert job["tasks.main.existing_cluster_id"] == "(new cluster)"
    lines = list(plan_lines(plan))
    assert lines[0] == "plan for src/demo:dist:"
    assert "  job demo: create" in lines
    assert "  run: 'a b'" in lines
    assert (plan.report.status, plan.report.targets[0].job_id) == ("planned", None)


@pytest.mark.parametrize("placement", [OLD, Serverless("3")])
def test_a_second_deploy_changes_nothing(wheel: StampedWheel, placement: Placement) -> None:
    request = DeployRequest()
    compute = ComputePlan(placement, "identity", cluster("RUNNING") if placement is OLD else None)
    job = existing(placement, wheel, request)
    plan = deploy_plan(target_plan(wheel, request, compute, job, is_stored=True))
    assert {change.kind for change in plan.changes} == {"unchanged"}


def test_an_update_holds_the_fields_that_differ(wheel: StampedWheel) -> None:
    job = existing(OLD, wheel, DeployRequest(job=JobOptions(retries=2, timeout=60)))
    request = DeployRequest(job=JobOptions(retries=1, timeout=60))
    compute = ComputePlan(OLD, "identity", cluster("RUNNING"), is_own=True)
    target = target_plan(wheel, request, compute, job, is_stored=True)
    change = target.changes[-1]
    assert (change.kind, str(change.resource)) == ("update", "job demo (12)")
    assert change.fields == {"tasks.main.max_retries": (2, 1)}
    assert deploy_plan(target).digest == deploy_plan(target).digest
    other = replace(target, updates={"tasks.main.max_retries": (2, 3)})
    assert deploy_plan(other).digest != deploy_plan(target).digest


def test_whether_a_cluster_is_up_is_no_drift(wheel: StampedWheel) -> None:
    request = DeployRequest(calls=((),))
    plans = []
    for state in ("RUNNING", "TERMINATED"):
        compute = ComputePlan(OLD, "identity", cluster(state), is_own=True, start=True)
        job = existing(OLD, wheel, request)
        plans.append(deploy_plan(target_plan(wheel, request, compute, job, is_stored=True)))
    up, down = plans
    lasting = ["unchanged", "unchanged", "unchanged", "trigger"]
    assert [change.kind for change in up.changes] == lasting
    assert [change.kind for change in down.changes] == [*lasting[:2], "start", *lasting[2:]]
    assert up.digest == down.digest


def test_a_restart_names_the_wheels_that_are_detached() -> None:
    newer = f"{ROOT}/artifacts/demo/2.0/demo-2.0-py3-none-any.whl"
    compute = ComputePlan(
        OLD, "identity", cluster("RUNNING"), is_own=True, start=True, conflicts=(newer,)
    )
    (change,) = compute.changes
    assert (change.kind, change.fields) == ("restart", {"libraries": ([newer], None)})
