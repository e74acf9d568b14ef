"""Where runs compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lakeflow.cli.plan_text import plan_lines
from lakeflow.client.connect import connect
from lakeflow.errors import Refused, UsageError, WorkspaceError
from lakeflow.specs.compute import SINGLE_NODE_CONF, Compute
from lakeflow.specs.deploy import DeployRequest
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.proxy import ForwardingProxy


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"kind": "cloud"}, "cluster, per-run, serverless"),
        ({"cluster_id": "a", "kind": "serverless"}, "--cluster-id"),
        ({"cluster_id": "a", "node_type": "x"}, "--node-type: .*not with --cluster-id"),
        ({"kind": "serverless", "spot": True}, "--spot: .*not with --compute serverless"),
        ({"kind": "per-run", "workers": 2}, "each run has a single-node cluster"),
        ({"workers": 2, "max_workers": 3}, "contradict"),
        ({"single_node": True, "max_workers": 3}, "contradict"),
        ({"pool": "p", "node_type": "x"}, "--pool determines the node type"),
        ({"pool": "p", "spot": True}, "--pool determines whether machines are spot"),
        ({"idle_minutes": 5}, "10 to 10,000 minutes"),
        ({"idle_minutes": 15, "kind": "per-run"}, "terminates when its run ends"),
        ({"performance_target": "standard"}, "only with --compute serverless"),
        ({"performance_target": "x", "kind": "serverless"}, "standard, optimized"),
        ({"init_scripts": ("dbfs:/x.sh",)}, "--init-script"),
    ],
)
def test_options_that_contradict_each_other(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Compute(**given).check()


@pytest.mark.parametrize("kind", ["per-run", "serverless"])
def test_runs_without_a_cluster_of_the_job(
    captured: CapturedLauncher, tmp_path: Path, kind: str
) -> None:
    manifest = make_project(tmp_path)
    created = captured.launcher.deploy(
        manifest, name=kind, compute=Compute(kind), calls=[["1"], ["2"]]
    )
    assert created.status == "succeeded", captured.progress.getvalue()
    said = [json.loads(line[line.index("{") :]) for line in captured.out.getvalue().splitlines()]
    assert sorted(one["argv"] for one in said) == [["1"], ["2"]]
    assert created.targets[0].cluster_id is None
    (task,) = connect().get("/api/2.2/jobs/get", job_id=created.targets[0].job_id)["settings"][
        "tasks"
    ]
    assert "existing_cluster_id" not in task
    again = CapturedLauncher()
    again.launcher.deploy(manifest, name=kind, compute=Compute(kind))
    assert any(f"job {kind}" in line and "unchanged" in line for line in again.lines)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"workers": 3}, {"num_workers": 3}),
        ({"single_node": True}, {"num_workers": 0}),
        ({"idle_minutes": 15}, {"autotermination_minutes": 15}),
        (
            {"spot": True},
            {"aws_attributes": {"availability": "SPOT_WITH_FALLBACK", "first_on_demand": 1}},
        ),
        ({"spark_env": {"A": "b"}}, {"spark_env_vars": {"A": "b"}}),
        ({"spark_conf": {"spark.x": "1"}}, {"spark_conf": {"spark.x": "1"}}),
    ],
)
def test_options_of_a_cluster(
    captured: CapturedLauncher, tmp_path: Path, given: dict[str, Any], found: dict[str, Any]
) -> None:
    name = "-".join(given)
    compute, manifest = Compute(**given), make_project(tmp_path)
    cluster_id = (
        captured.launcher.deploy(manifest, name=name, compute=compute).targets[0].cluster_id
    )
    there = connect().get("/api/2.1/clusters/get", cluster_id=cluster_id)
    if "spark_conf" in found:
        found = {"spark_conf": {**SINGLE_NODE_CONF, **found["spark_conf"]}}
    assert {key: there[key] for key in found} == found
    assert there["autotermination_minutes"] == given.get("idle_minutes", 30)
    again = captured.launcher.deploy(manifest, name=name, compute=compute)
    assert again.targets[0].cluster_id == cluster_id


def test_node_types_that_the_region_or_subscription_lacks(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    listed = connect().get("/api/2.1/clusters/list-node-types")["node_types"]
    smallest = min(listed, key=lambda node: (node["num_cores"], node["memory_mb"]))
    assert smallest["node_info"]["status"]
    created = captured.launcher.deploy(manifest, name="available").targets[0]
    there = connect().get("/api/2.1/clusters/get", cluster_id=created.cluster_id)
    assert there["node_type_id"] == "local.large"
    for name in ("local.elsewhere", "local.forbidden"):
        with pytest.raises(Refused, match=f"--node-type {name}: not in this workspace"):
            captured.launcher.deploy(manifest, name="lacking", compute=Compute(node_type=name))


def test_what_the_workspace_does_not_offer(captured: CapturedLauncher, tmp_path: Path) -> None:
    manifest = make_project(tmp_path)
    for compute in (Compute(node_type="huge"), Compute(runtime="99.9.x")):
        with pytest.raises(Refused, match="not in this workspace, which has"):
            captured.launcher.deploy(manifest, name="odd", compute=compute)


def test_what_the_workspace_does_not_offer_a_cluster_that_is_there(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    created = captured.launcher.deploy(make_project(tmp_path), name="there").targets[0]
    several = captured.launcher.clusters.create("there")
    (tmp_path / "changed").mkdir()
    changed = make_project(tmp_path / "changed", greeting="another")

    def refused() -> None:
        for compute, why in (
            (Compute(node_type="huge"), "--node-type huge: not in this workspace"),
            (Compute(runtime="99.9.x"), r"--runtime 99\.9\.x: not in this workspace"),
        ):
            with pytest.raises(Refused, match=why):
                captured.launcher.deploy(changed, name="there", compute=compute)
            with pytest.raises(Refused, match=why):
                captured.launcher.clusters.create("there", compute=compute)
        old = Compute(runtime="12.2.x-scala2.12")
        with pytest.raises(Refused, match=r"needs 13\.3 LTS or newer"):
            captured.launcher.deploy(changed, name="there", compute=old)

    refused()
    sent = [line for line in captured.lines if "uploaded" in line]
    for cluster_id in (created.cluster_id, several.id):
        connect().post("/api/2.1/clusters/delete", {"cluster_id": cluster_id}, repeatable=True)
    refused()
    assert [line for line in captured.lines if "uploaded" in line] == sent
    there = connect().get("/api/2.1/clusters/get", cluster_id=created.cluster_id)
    assert (there["node_type_id"], there["state"]) == ("local.large", "TERMINATED")


def test_a_runtime_with_another_python_gets_a_cluster_of_its_own(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    first = captured.launcher.deploy(manifest, name="pythons").targets[0]
    older = Compute(runtime="15.4.x-scala2.12")
    for compute in (older, older, Compute()):
        second = captured.launcher.deploy(manifest, name="pythons", compute=compute).targets[0]
        there = connect().get("/api/2.1/clusters/get", cluster_id=second.cluster_id)
        assert there["spark_version"] == "15.4.x-scala2.12"
        assert there["cluster_name"] == "lakeflow-pythons-py3.11"
    created = [
        line for line in captured.lines if line.startswith("cluster lakeflow-pythons-py3.11")
    ]
    assert [line.partition(": ")[2].split(",")[0] for line in created] == [
        "created",
        "terminated until a run starts it",
        "unchanged",
        "unchanged",
    ]
    assert second.cluster_id != first.cluster_id


def test_a_cluster_that_got_another_python_meanwhile_is_left_alone(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    created = captured.launcher.deploy(manifest, name="edited").targets[0]
    there = connect().get("/api/2.1/clusters/get", cluster_id=created.cluster_id)
    kept = ("cluster_id", "cluster_name", "node_type_id", "num_workers", "custom_tags")
    other = {**{key: there[key] for key in kept}, "spark_version": "12.2.x-scala2.12"}
    connect().post("/api/2.1/clusters/edit", other, repeatable=True)
    second, third = (captured.launcher.deploy(manifest, name="edited").targets[0] for _ in range(2))
    assert second.cluster_id not in (None, created.cluster_id)
    assert third.cluster_id == second.cluster_id
    now = connect().get("/api/2.1/clusters/get", cluster_id=second.cluster_id)
    assert now["spark_version"] == there["spark_version"]


def test_a_cluster_of_ours_with_other_options(captured: CapturedLauncher, tmp_path: Path) -> None:
    manifest = make_project(tmp_path)
    created = captured.launcher.deploy(manifest, name="odd").targets[0]
    captured.launcher.clusters.ensure_running(str(created.cluster_id))
    requested = Compute(workers=7, spark_env={"A": "b"})
    with pytest.raises(Refused, match=r"num_workers: 0 -> 7(?s:.*)hint: terminate it"):
        captured.launcher.deploy(manifest, name="odd", compute=requested)
    connect().post("/api/2.1/clusters/delete", {"cluster_id": created.cluster_id}, repeatable=True)
    plan = captured.launcher.plan(DeployRequest(manifest=manifest, name="odd", compute=requested))
    (change,) = [change for change in plan.changes if change.resource.kind == "cluster"]
    assert (change.kind, change.resource.id) == ("update", created.cluster_id)
    assert change.fields["num_workers"] == (0, 7)
    again = captured.launcher.deploy(manifest, name="odd", compute=requested).targets[0]
    assert again.cluster_id == created.cluster_id
    there = connect().get("/api/2.1/clusters/get", cluster_id=created.cluster_id)
    assert (there["num_workers"], there["spark_env_vars"]) == (7, {"A": "b"})
    assert "autoscale" not in there
    assert there["autotermination_minutes"] == 30
    assert there["spark_conf"] == {}  # of a single node no longer
    assert list(there["custom_tags"]) == ["lakeflow_id"]


def test_a_deploy_that_runs_nothing_leaves_nothing_running(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    request = DeployRequest(manifest=manifest, name="idle")
    plan = captured.launcher.plan(request)
    assert "terminated after the deploy" in list(plan_lines(plan))[-1]
    created = captured.launcher.apply(plan).targets[0]
    there = connect().get("/api/2.1/clusters/get", cluster_id=created.cluster_id)
    assert there["state"] in ("TERMINATING", "TERMINATED")
    assert (there["num_workers"], there["spark_conf"]) == (0, SINGLE_NODE_CONF)
    assert there["aws_attributes"] == {"availability": "ON_DEMAND"}
    request = DeployRequest(manifest=manifest, name="idle", calls=((),), wait=False)
    plan = captured.launcher.plan(request)
    last = list(plan_lines(plan))[-1]
    assert last == "  compute: the cluster is started and terminates after 30 idle minutes"
    captured.launcher.apply(plan)
    captured.launcher.deploy(manifest, name="idle")  # not created by it, so kept as is
    there = connect().get("/api/2.1/clusters/get", cluster_id=created.cluster_id)
    assert there["state"] in ("PENDING", "RUNNING")


def test_a_single_node_that_is_up_does_not_become_larger(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    created = captured.launcher.deploy(manifest, name="single").targets[0]
    captured.launcher.clusters.ensure_running(str(created.cluster_id))
    with pytest.raises(Refused, match="autoscale"):
        captured.launcher.deploy(manifest, name="single", max_workers=4)
    connect().post("/api/2.1/clusters/delete", {"cluster_id": created.cluster_id}, repeatable=True)
    captured.launcher.deploy(manifest, name="single", max_workers=4)
    there = connect().get("/api/2.1/clusters/get", cluster_id=created.cluster_id)
    assert there["autoscale"] == {"min_workers": 1, "max_workers": 4}
    assert there["spark_conf"] == {}


def test_serverless_runs_that_cost_less(captured: CapturedLauncher, tmp_path: Path) -> None:
    manifest = make_project(tmp_path)
    standard = Compute("serverless", performance_target="standard")
    created = captured.launcher.deploy(manifest, name="cheap", compute=standard).targets[0]
    settings = connect().get("/api/2.2/jobs/get", job_id=created.job_id)["settings"]
    assert settings["performance_target"] == "STANDARD"
    captured.launcher.deploy(manifest, name="cheap", compute=standard)
    assert any("job cheap" in line and "unchanged" in line for line in captured.lines)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (
            {"pool": "pool-1"},
            {"instance_pool_id": "pool-1", "node_type_id": None, "aws_attributes": None},
        ),
        (
            {"init_scripts": ("/Volumes/a/b/c/x.sh", "/Workspace/Shared/y.sh")},
            {
                "init_scripts": [
                    {"volumes": {"destination": "/Volumes/a/b/c/x.sh"}},
                    {"workspace": {"destination": "/Workspace/Shared/y.sh"}},
                ]
            },
        ),
    ],
)
def test_what_the_local_workspace_does_not_serve_is_sent_and_refused_by_name(
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    sent: dict[str, Any],
) -> None:
    with ForwardingProxy(endpoint.host) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        captured = CapturedLauncher()
        with pytest.raises(WorkspaceError, match="does not serve clusters with"):
            captured.launcher.deploy(make_project(tmp_path), name="other", compute=Compute(**given))
    (body,) = [json.loads(r.body) for r in proxy.requests if r.path.endswith("clusters/create")]
    assert {key: body.get(key) for key in sent} == sent
    assert body["autotermination_minutes"] == 30
    assert body["single_user_name"] == connect().me
    assert not any(r.path.endswith("jobs/create") for r in proxy.requests)


def test_serverless_does_not_try_again_by_itself(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    compute = Compute("serverless")
    created = captured.launcher.deploy(
        make_project(tmp_path), name="once", compute=compute, calls=[["fail"]]
    )
    assert created.status == "failed"
    (task,) = connect().get("/api/2.2/jobs/get", job_id=created.targets[0].job_id)["settings"][
        "tasks"
    ]
    assert task["disable_auto_optimization"] is True
    (run,) = created.targets[0].runs
    assert len(captured.launcher.runs.get(run.run_id).attempts) == 1


def test_a_cluster_of_a_name_is_reused_started_or_created(captured: CapturedLauncher) -> None:
    created = captured.launcher.clusters.create("several", max_workers=2)
    assert captured.launcher.clusters.create("several").id == created.id
    captured.launcher.clusters.ensure_running(created.id)
    connect().post("/api/2.1/clusters/delete", {"cluster_id": created.id}, repeatable=True)
    assert captured.launcher.clusters.create("several", max_workers=3).id == created.id
    assert captured.launcher.clusters.ensure_running(created.id).max_workers == 3
    connect().post(
        "/api/2.1/clusters/permanent-delete", {"cluster_id": created.id}, repeatable=True
    )
    assert captured.launcher.clusters.create("several").id != created.id
    assert any("updated, autoscale" in line and "starting" in line for line in captured.lines)


def test_what_was_chosen_is_said(captured: CapturedLauncher, tmp_path: Path) -> None:
    created = captured.launcher.deploy(make_project(tmp_path), name="chosen").targets[0]
    there = connect().get("/api/2.1/clusters/get", cluster_id=created.cluster_id)
    line, _ = [line for line in captured.lines if line.startswith("cluster lakeflow-chosen")]
    assert line.endswith(
        f"({there['spark_version']}, {there['node_type_id']}, single node, "
        f"terminates after 30 idle minutes): created, id {created.cluster_id}"
    )


def attached_to(cluster_id: str | None) -> dict[str, str]:
    """The state of each wheel that a cluster has attached, by its file's name."""
    status = connect().get("/api/2.0/libraries/cluster-status", cluster_id=cluster_id)
    return {
        entry["library"]["whl"].rpartition("/")[2]: entry["status"]
        for entry in status.get("library_statuses", [])
    }


def test_superseded_wheels_leave_the_cluster_when_nothing_needs_them(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old = make_project(tmp_path / "old", greeting="of no other test")
    new = make_project(tmp_path / "new", greeting="of no other test either")
    created = captured.launcher.deploy(old, name="superseded", calls=[["1"]]).targets[0]
    shared = captured.launcher.deploy(
        old, name="other", cluster_id=str(created.cluster_id)
    ).targets[0]
    before = set(attached_to(created.cluster_id))
    captured.launcher.deploy(new, name="superseded", calls=[["1"]])
    assert set(attached_to(created.cluster_id).values()) == {"INSTALLED"}  # another job needs them
    assert shared.job_id is not None
    captured.launcher.jobs.delete(shared.job_id)
    (tmp_path / "newest").mkdir()
    newest = make_project(tmp_path / "newest", greeting="a third")
    captured.launcher.deploy(newest, name="superseded", calls=[["1"]])
    states = attached_to(created.cluster_id)
    leaving = {name for name, state in states.items() if state == "UNINSTALL_ON_RESTART"}
    assert leaving
    assert any("when it restarts, superseded wheels of" in line for line in captured.lines)
    body = {"cluster_id": created.cluster_id}
    connect().post("/api/2.1/clusters/restart", body, repeatable=True)
    captured.launcher.clusters.ensure_running(str(created.cluster_id))
    assert set(attached_to(created.cluster_id)) == states.keys() - leaving
    assert before & leaving
    done = captured.launcher.deploy(newest, name="superseded", calls=[["1"]])
    assert done.status == "succeeded"


def test_a_job_whose_cluster_was_deleted_says_so(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    created = captured.launcher.deploy(manifest, name="vanished").targets[0]
    body = {"cluster_id": created.cluster_id}
    connect().post("/api/2.1/clusters/permanent-delete", body, repeatable=True)
    assert created.job_id is not None
    with pytest.raises(Refused, match=r"no longer exists\. (?s:.*)hint: deploy the job again"):
        captured.launcher.trigger_run(created.job_id, ["1"])
    assert not captured.launcher.runs.list(created.job_id)
    captured.launcher.deploy(manifest, name="vanished")
    started = captured.launcher.trigger_run(created.job_id, ["1"], wait=True)
    assert started.status == "succeeded"
    assert not any("resuming the same command" in line for line in captured.lines)
