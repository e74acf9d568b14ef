"""Deploys against the local workspace, over HTTP."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lakeflow.client.connect import connect
from lakeflow.errors import LakeflowError, Refused, UsageError
from lakeflow.operations.report import TargetReport
from lakeflow.specs.compute import Compute
from lakeflow.specs.deploy import DeployRequest
from lakeflow.specs.job import job_options
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.proxy import ForwardingProxy, Request
from tests.support.wheels import make_wheel

TORTURE = [
    ["-x", "--flag=1", "--", "-"],
    ["", " ", "a b", "\t\n"],
    ["'", '"', "\\", "`id`", "$HOME", "%PATH%"],
    ["{{job.id}}", "{{", "}}", "{", "{{job.parameters.lakeflow_call}}"],
    ["ünïcödé", "日本語", "🎲", "\u202e", "e\u0301"],
    ["--lakeflow-protocol=1", "null", "[]", '{"argv": []}'],
]


def outputs(text: str) -> list[dict[str, Any]]:
    """The JSON objects that runs have printed, whatever labels stand before them."""
    return [json.loads(line[line.index('{"greeting"') :]) for line in text.splitlines()]


@pytest.mark.parametrize("kind", ["cluster", "per-run", "serverless"])
def test_a_job_stays_as_it_is_besides_its_code(
    captured: CapturedLauncher, tmp_path: Path, kind: str
) -> None:
    name = f"kept {kind}"
    first = captured.launcher.deploy(
        make_project(tmp_path / "old"),
        name=name,
        compute=Compute(kind=kind),
        job=job_options(schedule="0 0 6 * * ?", timezone="Europe/Berlin", timeout="2h", retries=2),
    )
    (job_id,) = [target.job_id for target in first.targets]
    workspace = connect()
    before = workspace.get("/api/2.2/jobs/get", job_id=job_id)["settings"]
    before["schedule"]["pause_status"] = "PAUSED"
    before["tags"]["team"] = "a"
    body = {"job_id": job_id, "new_settings": before}
    workspace.post("/api/2.2/jobs/reset", body, repeatable=True)

    again = make_project(tmp_path / "new", greeting=f"other {kind}")
    plan = captured.launcher.plan(DeployRequest(manifest=again, name=name, code_only=True))
    (change,) = [change for change in plan.changes if change.resource.kind == "job"]
    assert change.fields
    for value in (*(change.before or {}).values(), *(change.after or {}).values()):
        assert "try_" in str(value) or "try-" in str(value), change.fields
    captured.launcher.deploy(again, name=name, code_only=True)
    now = workspace.get("/api/2.2/jobs/get", job_id=job_id)["settings"]

    def besides_code(settings: dict[str, Any]) -> dict[str, Any]:
        (task,) = settings["tasks"]
        code = ("libraries", "python_wheel_task")
        left = {k: v for k, v in task.items() if k not in code}
        return {**settings, "tasks": [left], "environments": None}

    assert besides_code(now) == besides_code(before)
    assert now != before
    captured.launcher.deploy(again, name=name, code_only=True)
    assert any("unchanged" in line for line in captured.lines if line.startswith("job "))


def test_four_runs_of_a_new_job(captured: CapturedLauncher, tmp_path: Path) -> None:
    manifest, report = make_project(tmp_path), tmp_path / "out" / "report.json"
    calls = [["a"], ["b", "c"], [], ["d"]]
    created = captured.launcher.deploy(
        manifest, name="four", calls=calls, env={"COLOUR": "red"}, max_workers=3, report=report
    )
    said = outputs(captured.out.getvalue())
    assert sorted(one["argv"] for one in said) == sorted(calls)
    assert {one["greeting"] for one in said} == {"hello"}
    assert {one["env"] for one in said} == {"red"}
    assert {int(one["run"]) for one in said} == {run.run_id for run in created.targets[0].runs}
    assert [run.argv for run in created.targets[0].runs] == [tuple(argv) for argv in calls]
    assert {run.exit_code for run in created.targets[0].runs} == {0}
    written = json.loads(report.read_text())
    assert written == json.loads(json.dumps(created.as_dict()))
    assert written["status"] == "succeeded"
    names = [wheel["distribution"] for wheel in written["targets"][0]["wheels"]]
    assert names == ["lakeflow-task", "try-lib", "try-demo"]
    cluster = connect().get("/api/2.1/clusters/get", cluster_id=created.targets[0].cluster_id)
    assert cluster["autoscale"] == {"min_workers": 1, "max_workers": 3}
    assert cluster["single_user_name"] == connect().me
    assert cluster["autotermination_minutes"] == 30


def test_a_library_that_is_used_but_not_declared_is_shipped(
    captured: CapturedLauncher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the task fails for want of it, or finds an older copy on a cluster that is up."""
    main = "import demo_lib\n\ndef main():\n    print('value', demo_lib.VALUE)\n"
    root = make_wheel(
        tmp_path,
        "demo-app",
        "1.0",
        {"demo_app.py": main},
        entry_points={"console_scripts": {"lakeflow-task": "demo_app:main"}},
    )
    library = make_wheel(tmp_path, "demo-lib", "1.0", {"demo_lib.py": "VALUE = 42\n"})
    entries = [
        {"address": "src/app:dist", "root": True, "wheel": root.name, "needs": ["src/lib:dist"]},
        {"address": "src/lib:dist", "root": False, "wheel": library.name},
    ]
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"schema": 1, "project": "p", "distributions": entries}))
    created = captured.launcher.deploy(manifest, calls=[[]])
    assert "value 42" in captured.out.getvalue()
    assert [wheel.distribution for wheel in created.targets[0].wheels] == [
        "lakeflow-task",
        "demo-lib",
        "demo-app",
    ]
    assert "src/app:dist uses code of src/lib:dist" in caplog.text
    assert 'hint: add "demo-lib" to the dependencies of demo-app' in caplog.text


def test_a_deploy_of_what_is_there_only_reads(endpoint: Endpoint, tmp_path: Path) -> None:
    manifest = make_project(tmp_path)
    with ForwardingProxy(endpoint.host) as proxy, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABRICKS_HOST", proxy.host)
        first = CapturedLauncher()
        created = first.launcher.deploy(manifest, name="no-op", max_workers=2)
        proxy.requests.clear()
        again = CapturedLauncher()
        assert again.launcher.deploy(manifest, name="no-op", max_workers=2).targets[0] == (
            _without_uploads(created.targets[0])
        )
    assert {request.method for request in proxy.requests} == {"GET"}
    assert len(proxy.requests) <= 6
    assert "uploaded 0 bytes" in again.lines
    assert "wheel try-lib" in again.progress.getvalue()
    assert any("job no-op" in line and "unchanged" in line for line in again.lines)
    assert any("cluster" in line and "unchanged, " in line for line in again.lines)


def test_changed_code_is_a_new_artifact_of_the_same_job(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    one = captured.launcher.deploy(make_project(tmp_path / "one"), name="changing", calls=[["1"]])
    two = captured.launcher.deploy(
        make_project(tmp_path / "two", greeting="goodbye"), name="changing", calls=[["2"]]
    )
    assert [said["greeting"] for said in outputs(captured.out.getvalue())] == ["hello", "goodbye"]
    before, after = one.targets[0], two.targets[0]
    assert (before.job_id, before.cluster_id) == (after.job_id, after.cluster_id)
    old = {wheel.path for wheel in before.wheels}
    assert old.isdisjoint(wheel.path for wheel in after.wheels if wheel.uploaded_bytes)
    for path in old:
        assert connect().get("/api/2.0/workspace/get-status", path=path)["path"] == path


def test_code_that_was_changed_back_runs_again(captured: CapturedLauncher, tmp_path: Path) -> None:
    one = make_project(tmp_path / "one")
    two = make_project(tmp_path / "two", greeting="goodbye")
    created = [
        captured.launcher.deploy(manifest, name="back", calls=[[str(n)]])
        for n, manifest in enumerate([one, two, one])
    ]
    assert [one.status for one in created] == ["succeeded"] * 3, captured.progress.getvalue()
    said = [one["greeting"] for one in outputs(captured.out.getvalue())]
    assert said == ["hello", "goodbye", "hello"]
    assert any("restarted without newer wheels of try_lib" in line for line in captured.lines)


def test_a_deploy_of_code_only_never_restarts_a_cluster_of_others(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    """A job may use a cluster on which others work; nobody named it for this deploy."""
    one = make_project(tmp_path / "one")
    two = make_project(tmp_path / "two", greeting="goodbye")
    cluster_id = captured.launcher.clusters.create("of others").id
    for manifest in (one, two):
        created = captured.launcher.deploy(
            manifest, name="guest", cluster_id=cluster_id, calls=[["x"]]
        )
        assert created.status == "succeeded"
    with pytest.raises(Refused, match=r"has newer wheels of try_lib(?s:.*)detach them"):
        captured.launcher.deploy(one, name="guest", code_only=True)
    cluster = captured.launcher.clusters.ensure_running(cluster_id)
    assert not any("restarted" in line for line in captured.lines)
    assert cluster.state == "RUNNING"


def test_arguments_arrive_as_they_are(captured: CapturedLauncher, tmp_path: Path) -> None:
    captured.launcher.deploy(make_project(tmp_path), name="torture", calls=TORTURE)
    got = [one["argv"] for one in outputs(captured.out.getvalue())]
    assert sorted(got) == sorted(TORTURE)


def test_failed_runs_show_the_reason(captured: CapturedLauncher, tmp_path: Path) -> None:
    calls = [["fail"], ["exit", "3"], ["exit", "0"]]
    created = captured.launcher.deploy(make_project(tmp_path), name="failing", calls=calls)
    assert created.status == "failed"
    raised, exited, fine = created.targets[0].runs
    assert (raised.status, raised.exit_code) == ("failed", 1)
    assert raised.error is not None
    assert "as asked" in raised.error
    assert (exited.status, exited.exit_code) == ("failed", 3)
    assert (fine.status, fine.exit_code, fine.error) == ("succeeded", 0, None)
    assert 'raise RuntimeError("as asked")' in captured.progress.getvalue()
    assert "with exit code 3 after" in captured.progress.getvalue()


def test_max_workers_resizes_the_cluster_that_is_there(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    one = captured.launcher.deploy(manifest, name="growing", max_workers=2)
    two = captured.launcher.deploy(manifest, name="growing", max_workers=5)
    assert one.targets[0].cluster_id == two.targets[0].cluster_id
    kept = captured.launcher.deploy(manifest, name="growing")
    cluster = connect().get("/api/2.1/clusters/get", cluster_id=kept.targets[0].cluster_id)
    assert cluster["autoscale"]["max_workers"] == 5


def test_a_terminated_cluster_is_started_when_runs_are_requested(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    cluster_id = (
        captured.launcher.deploy(manifest, name="stopped", calls=[["1"]]).targets[0].cluster_id
    )
    connect().post("/api/2.1/clusters/delete", {"cluster_id": cluster_id}, repeatable=True)
    created = captured.launcher.deploy(manifest, name="stopped", calls=[["2"]])
    assert created.status == "succeeded"
    assert created.targets[0].cluster_id == cluster_id


def test_a_named_cluster_is_used(captured: CapturedLauncher, tmp_path: Path) -> None:
    manifest = make_project(tmp_path)
    cluster_id = captured.launcher.deploy(manifest, name="owner").targets[0].cluster_id
    created = captured.launcher.deploy(manifest, name="guest", cluster_id=cluster_id, calls=[["x"]])
    assert created.targets[0].cluster_id == cluster_id
    assert created.status == "succeeded"


def test_a_dry_run_changes_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    manifest, report = make_project(tmp_path), tmp_path / "report.json"
    with ForwardingProxy(endpoint.host) as proxy, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABRICKS_HOST", proxy.host)
        captured = CapturedLauncher()
        plan = captured.launcher.plan(
            DeployRequest(manifest=manifest, name="dry", calls=(("a b",),))
        )
        words = ["--manifest", str(manifest), "--name", "dry", "--run", "'a b'"]
        command = cli("deploy", *words, "--report", str(report), "--dry-run")
        shown = subprocess.run(command, text=True, capture_output=True, check=True)
    assert {request.method for request in proxy.requests} == {"GET"}
    assert plan.report.status == json.loads(report.read_text())["status"] == "planned"
    assert plan.report.targets[0].job_id is None
    assert "  run: 'a b'" in shown.stderr.splitlines()
    assert shown.stdout == ""


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"cluster_id": "0101-000000-nowhere1"}, "cluster '0101-000000-nowhere1' not found"),
        ({"calls": [["x" * 10_000]]}, "10000"),
        ({"cluster_id": "a", "max_workers": 2}, "--max-workers"),
        ({"shared": True}, "LAKEFLOW_ROOT"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(
    endpoint: Endpoint, tmp_path: Path, options: dict[str, Any], complaint: str
) -> None:
    manifest = make_project(tmp_path)
    with ForwardingProxy(endpoint.host) as proxy, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABRICKS_HOST", proxy.host)
        with pytest.raises((Refused, UsageError), match=complaint):
            CapturedLauncher().launcher.deploy(manifest, name="refused", **options)
    assert {request.method for request in proxy.requests} <= {"GET"}


def test_a_wheel_without_the_entry_point_is_refused_with_the_lines_to_add(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as refused:
        captured.launcher.deploy(make_project(tmp_path, entry_point=False))
    assert "try_demo-0.1.0-py3-none-any.whl" in str(refused.value)
    assert '[project.scripts]\n    lakeflow-task = "try_demo.main:main"' in str(refused.value)


def test_wheels_for_different_pythons_are_refused(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path, tag="cp39-cp39-manylinux_2_17_x86_64")
    with pytest.raises(Refused, match=r"try_lib-1\.0-cp39"):
        captured.launcher.deploy(manifest)


def test_no_wait_returns_what_wait_can_follow(captured: CapturedLauncher, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    created = captured.launcher.deploy(
        make_project(tmp_path), name="later", calls=[["wait-for", str(gate)]] * 2, wait=False
    )
    assert created.status == "running"
    run_ids = [run.run_id for run in created.targets[0].runs]
    gate.touch()
    results = captured.launcher.wait(run_ids)
    assert [result.status for result in results] == ["succeeded", "succeeded"]
    assert {int(one["run"]) for one in outputs(captured.out.getvalue())} == set(run_ids)
    listed = captured.launcher.runs.list(created.targets[0].job_id or 0)
    assert {run.id for run in listed} == set(run_ids)


def test_trigger_run_and_its_logs(captured: CapturedLauncher, tmp_path: Path) -> None:
    job_id = captured.launcher.deploy(make_project(tmp_path), name="by-hand").targets[0].job_id
    assert job_id is not None
    result = captured.launcher.trigger_run(job_id, ["a", "--b"], env={"COLOUR": "blue"}, wait=True)
    (said,) = outputs(captured.out.getvalue())
    assert said == {
        "greeting": "hello",
        "argv": ["a", "--b"],
        "run": str(result.run_id),
        "env": "blue",
    }
    later = CapturedLauncher()
    later.launcher.runs.logs(result.run_id)
    assert outputs(later.out.getvalue()) == [said]


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
def test_killed_at_its_third_trigger_and_typed_again_makes_four_runs(
    endpoint: Endpoint, tmp_path: Path, after_effect: bool
) -> None:
    name = f"killed-{after_effect}"
    command = cli("deploy", "--manifest", str(make_project(tmp_path)), "--name", name)
    command += [word for n in range(4) for word in ("--run", f"run {n}")]
    with ForwardingProxy(endpoint.host) as proxy:
        environ = {**os.environ, "DATABRICKS_HOST": proxy.host}
        victim: list[subprocess.Popen[str]] = []
        proxy.stop_client(lambda: victim[0].kill(), at=is_trigger, nth=3, after_effect=after_effect)
        victim.append(subprocess.Popen(command, env=environ, text=True))
        assert victim[0].wait() == -signal.SIGKILL
        assert len(runs_of(name)) == (3 if after_effect else 2)
        proxy.let_through()
        again = subprocess.run(command, env=environ, text=True, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "resuming" in again.stderr
    assert sorted(one["argv"][1] for one in outputs(again.stdout)) == ["0", "1", "2", "3"]
    assert len(runs_of(name)) == 4


def test_the_same_command_again_is_four_new_runs(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest, calls = make_project(tmp_path), [["1"], ["2"], ["1"]]
    one = captured.launcher.deploy(manifest, name="twice", calls=calls)
    two = captured.launcher.deploy(manifest, name="twice", calls=calls)
    ids = [run.run_id for created in (one, two) for run in created.targets[0].runs]
    assert len(set(ids)) == 6


def test_runs_per_driver_bounds_what_is_in_flight(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    calls = [[str(n)] for n in range(3)]
    captured.launcher.deploy(
        make_project(tmp_path), name="one-by-one", calls=calls, runs_per_driver=1
    )
    runs = sorted(runs_of("one-by-one"), key=lambda run: run["start_time"])
    for earlier, later in itertools.pairwise(runs):
        assert later["start_time"] >= earlier["end_time"]


def test_ctrl_c_leaves_the_runs_and_says_how_to_follow_them(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    command = cli("deploy", "--manifest", str(make_project(tmp_path)), "--name", "left")
    command += ["--run", f"wait-for {gate} 1", "--run", f"wait-for {gate} 2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    seen = [json.loads(process.stdout.readline().partition("] ")[2]) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    captured = process.stderr.read()
    assert process.wait() == 130
    ids = sorted(int(one["run"]) for one in seen)
    assert f"lakeflow wait {ids[0]} {ids[1]}" in captured or f"wait {ids[1]} {ids[0]}" in captured
    assert [run["status"]["state"] for run in runs_of("left")] == ["RUNNING", "RUNNING"]
    gate.touch()
    followed = subprocess.run(
        cli("wait", *map(str, ids)), text=True, capture_output=True, check=False
    )
    assert followed.returncode == 0, followed.stderr
    assert sorted(int(one["run"]) for one in outputs(followed.stdout)) == ids
    assert "resuming" not in followed.stderr


def test_deploys_at_the_same_time_make_one_job(endpoint: Endpoint, tmp_path: Path) -> None:
    command = cli("deploy", "--manifest", str(make_project(tmp_path)), "--name", "at once")
    several = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    finished = [process.communicate() for process in several]
    assert [process.returncode for process in several] == [0] * 4, finished
    (job_id,) = {out for out, _ in finished}
    (job,) = connect().get("/api/2.2/jobs/list", name="at once", expand_tasks="true")["jobs"]
    assert job["job_id"] == int(job_id)
    named = [
        cluster["cluster_id"]
        for cluster in connect().get("/api/2.1/clusters/list")["clusters"]
        if "at once" in cluster["cluster_name"]
    ]
    assert named == [job["settings"]["tasks"][0]["existing_cluster_id"]]


def test_a_target_of_two_jobs_is_refused(captured: CapturedLauncher, tmp_path: Path) -> None:
    manifest = make_project(tmp_path)
    created = captured.launcher.deploy(manifest, name="double")
    workspace = connect()
    there = workspace.get("/api/2.2/jobs/get", job_id=created.targets[0].job_id)["settings"]
    other = workspace.post("/api/2.2/jobs/create", there, repeatable=False)["job_id"]
    with pytest.raises(Refused, match=f"{created.targets[0].job_id}.*{other}"):
        captured.launcher.deploy(manifest, name="double")


def test_a_job_that_somebody_changed_is_set_again(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    job_id = captured.launcher.deploy(manifest, name="meddled").targets[0].job_id
    changed = {"job_id": job_id, "new_settings": {"max_concurrent_runs": 1}}
    connect().post("/api/2.2/jobs/update", changed, repeatable=True)
    captured.launcher.deploy(manifest, name="meddled")
    there = connect().get("/api/2.2/jobs/get", job_id=job_id)["settings"]
    assert there["max_concurrent_runs"] == 1000
    assert any("job meddled" in line and "updated" in line for line in captured.lines)


def cli(*words: str) -> list[str]:
    """A command line of the launcher, as a separate process."""
    return [sys.executable, "-m", "lakeflow", *words]


def runs_of(name: str) -> list[dict[str, Any]]:
    """The runs of the one job with this name."""
    (job,) = connect().get("/api/2.2/jobs/list", name=name)["jobs"]
    found: list[dict[str, Any]] = connect().get("/api/2.2/jobs/runs/list", job_id=job["job_id"])[
        "runs"
    ]
    return found


def is_trigger(request: Request) -> bool:
    """Whether a request starts a run."""
    return request.path.endswith("/jobs/run-now")


def _without_uploads(target: TargetReport) -> TargetReport:
    return replace(target, wheels=tuple(replace(w, uploaded_bytes=0) for w in target.wheels))


def test_a_library_that_a_glob_found_is_no_job(captured: CapturedLauncher, tmp_path: Path) -> None:
    path = make_project(tmp_path)
    manifest = json.loads(path.read_text())
    for entry in manifest["distributions"]:
        entry.update(root=True, optional=True)
    path.write_text(json.dumps(manifest))
    created = captured.launcher.deploy(path, calls=[["a"]])
    assert [target.address for target in created.targets] == ["src/try_demo:dist"]

    manifest["distributions"] = manifest["distributions"][1:]
    path.write_text(json.dumps(manifest))
    nothing = captured.launcher.deploy(path, calls=[["a"]], report=tmp_path / "report.json")
    assert (nothing.targets, nothing.status) == ((), "deployed")
    assert json.loads((tmp_path / "report.json").read_text())["targets"] == []


MEET = """
import os, sys, time

def main():
    folder, name, other = sys.argv[1], __name__, {"one": "two", "two": "one"}[__name__]
    open(os.path.join(folder, name), "w").close()
    for _ in range(1200):
        if os.path.exists(os.path.join(folder, other)):
            return print(name, "met", other)
        time.sleep(0.1)
    sys.exit(f"{name} waited in vain")
"""


def make_two_that_meet(folder: Path) -> Path:
    """A manifest of two jobs whose runs succeed only if they compute at the same time."""
    entries = []
    for name in ("one", "two"):
        points = {"console_scripts": {"lakeflow-task": f"{name}:main"}}
        wheel = make_wheel(folder, name, "1.0", {f"{name}.py": MEET}, entry_points=points)
        entries.append({"address": f"src/{name}:dist", "root": True, "wheel": wheel.name})
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"schema": 1, "project": "p", "distributions": entries}))
    return manifest


def test_several_targets_run_at_the_same_time(captured: CapturedLauncher, tmp_path: Path) -> None:
    manifest, report = make_two_that_meet(tmp_path), tmp_path / "report.json"
    created = captured.launcher.deploy(manifest, calls=[[str(tmp_path)]], report=report)
    assert [target.status for target in created.targets] == ["succeeded", "succeeded"]
    assert "[one 1/1 " in captured.out.getvalue()
    assert "one met two" in captured.out.getvalue()
    assert "two met one" in captured.out.getvalue()


def test_a_target_that_fails_leaves_the_others(captured: CapturedLauncher, tmp_path: Path) -> None:
    manifest, report = make_two_that_meet(tmp_path), tmp_path / "report.json"
    (tmp_path / "one").touch()
    (tmp_path / "two").touch()
    first = captured.launcher.deploy(manifest)
    request = DeployRequest(manifest=manifest, calls=((str(tmp_path),),))
    plan = captured.launcher.plan(request)
    connect().post("/api/2.1/jobs/delete", {"job_id": first.targets[0].job_id})
    with pytest.raises(LakeflowError):
        captured.launcher.apply(plan, report=report)
    statuses = [target["status"] for target in json.loads(report.read_text())["targets"]]
    assert statuses == ["failed", "succeeded"]
