"""Runs and jobs: look up, follow, cancel, repair. Named after the rows of the checklist."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lakeflow.client.connect import connect
from lakeflow.errors import Refused, UsageError
from lakeflow.resources import files, runs
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.proxy import ForwardingProxy
from tests.support.typed import present


def job_of(captured: CapturedLauncher, folder: Path, name: str = "runs") -> int:
    """The job of the small package, deployed where it is not yet."""
    return present(captured.launcher.deploy(make_project(folder), name=name).targets[0].job_id)


def printed(captured: CapturedLauncher) -> list[str]:
    """The lines of results."""
    return captured.out.getvalue().splitlines()


def test_row_0_5_three_triggers_are_three_runs_at_once(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    job_id, gate = job_of(captured, tmp_path), tmp_path / "gate"
    started = [
        captured.launcher.trigger_run(job_id, ["wait-for", str(gate), str(n)]) for n in range(3)
    ]
    ids = [run.run_id for run in started]
    gate.touch()
    follower = CapturedLauncher()
    results = follower.launcher.wait(ids)
    assert [result.status for result in results] == ["succeeded"] * 3
    said = [json.loads(line.partition("] ")[2]) for line in printed(follower)]
    assert sorted(one["argv"][2] for one in said) == ["0", "1", "2"]
    assert {int(one["run"]) for one in said} == set(ids)
    runs = [captured.launcher.runs.get(run_id) for run_id in ids]
    assert max(run.started for run in runs) < min(run.finished for run in runs)


def test_many_runs_are_followed_through_one_list(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    job_id, gate = job_of(captured, tmp_path), tmp_path / "gate"
    ids = [captured.launcher.trigger_run(job_id, ["wait-for", str(gate)]).run_id for _ in range(5)]
    with ForwardingProxy(connect().host) as proxy, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABRICKS_HOST", proxy.host)
        proxy.when(lambda request: request.path.endswith("/runs/list"), 3, gate.touch)
        results = CapturedLauncher().launcher.wait(ids)
    assert [result.status for result in results] == ["succeeded"] * 5
    paths = [request.path for request in proxy.requests]
    lists = sum(path.endswith("/runs/list") for path in paths)
    gets = sum(path.endswith("/runs/get") for path in paths)
    assert lists >= 3
    # One each to begin with, one each at the end, and what was asked before there were many.
    assert gets <= 5 + 5 + 5


def test_row_0_6_arguments_reach_argv_intact(captured: CapturedLauncher, tmp_path: Path) -> None:
    words = [
        "-x",
        "--env",
        "a b",
        "",
        'it\'s "quoted"',
        "$HOME `id` *",
        "\\",
        "ünï 日本 🎉",
        "a\nb",
    ]
    words += ["{{job.id}}", "--", "--lakeflow-protocol=1", "e\u0301", "}{"]
    command = [sys.executable, "-m", "lakeflow", "trigger-run", str(job_of(captured, tmp_path))]
    done = subprocess.run(
        [*command, "first", "--wait", "--", *words], text=True, capture_output=True, check=True
    )
    assert json.loads(done.stdout)["argv"] == ["first", *words]


def test_row_0_7_the_task_knows_its_run(captured: CapturedLauncher, tmp_path: Path) -> None:
    result = captured.launcher.trigger_run(job_of(captured, tmp_path), [], wait=True)
    assert json.loads(captured.out.getvalue())["run"] == str(result.run_id)


def test_row_0_10_list_job_runs(
    captured: CapturedLauncher, endpoint: Endpoint, tmp_path: Path
) -> None:
    job_id, gate = job_of(captured, tmp_path, "listed"), tmp_path / "gate"
    fine = captured.launcher.trigger_run(job_id, ["a"], wait=True)
    failed = captured.launcher.trigger_run(job_id, ["exit", "3"], wait=True)
    waits = captured.launcher.trigger_run(job_id, ["wait-for", str(gate)])
    command = [sys.executable, "-m", "lakeflow", "list-job-runs", str(job_id)]
    listed = subprocess.run(command, text=True, capture_output=True, check=True).stdout
    gate.touch()
    rows = {int(line.split()[0]): line for line in listed.splitlines()}
    assert set(rows) == {fine.run_id, failed.run_id, waits.run_id}
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    for result, state in ((fine, "succeeded"), (failed, "failed")):
        row = rf"{result.run_id}  {state} +{when} +\d+\.\d s  {re.escape(result.url)}"
        assert re.fullmatch(row, rows[result.run_id])
    state = rows[waits.run_id].split()[1]
    assert state in ("queued", "pending", "running")
    assert re.search(rf"  {re.escape(endpoint.host)}\S+/{waits.run_id}$", rows[waits.run_id])


def test_get_run_tells_what_it_was(captured: CapturedLauncher, tmp_path: Path) -> None:
    job_id = job_of(captured, tmp_path)
    result = captured.launcher.trigger_run(
        job_id, ["exit", "3", "{{x}}"], env={"COLOUR": "red"}, wait=True
    )
    run = captured.launcher.runs.get(result.run_id)
    assert (run.id, run.job_id, run.name) == (result.run_id, job_id, "runs")
    assert (run.argv, run.env) == (("exit", "3", "{{x}}"), ("COLOUR",))
    assert (run.state.outcome, run.state.code) == ("failed", "RUN_EXECUTION_ERROR")
    (task,) = run.attempts
    assert (task.key, task.state.outcome, task.attempt) == ("main", "failed", 0)
    assert 0 < run.started < run.finished
    listed = captured.launcher.runs.list(job_id)
    assert next(found for found in listed if found.id == run.id).url == run.url
    with pytest.raises(UsageError, match="run 999999 not found"):
        captured.launcher.runs.get(999999)


def test_row_0_11_logs_of_a_run_its_tail_and_as_files(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    job_id = job_of(captured, tmp_path)
    run_id = captured.launcher.trigger_run(job_id, ["count", "2000"], wait=True).run_id

    def lines(**options: object) -> list[str]:
        fresh = CapturedLauncher()
        fresh.launcher.runs.logs(run_id, **options)  # type: ignore[arg-type]
        return printed(fresh)

    whole = lines()
    assert whole[1:] == [str(n) for n in range(2000)]
    assert json.loads(whole[0])["run"] == str(run_id)
    assert lines(tail=3) == ["1997", "1998", "1999"]
    assert lines(tail=0) == []
    assert lines(tail=9999) == whole

    (log,) = captured.launcher.runs.logs(run_id, show=False).tasks
    assert log.text is not None
    assert log.text.splitlines() == whole
    assert (log.task, log.outcome, log.exit_code, log.path) == ("main", "succeeded", 0, None)

    (log,) = captured.launcher.runs.logs(run_id, download_to=tmp_path / "logs").tasks
    assert log.path == str(tmp_path / "logs" / str(run_id) / "main.log")
    assert Path(log.path).read_text().splitlines() == whole


def test_logs_are_followed_from_the_tail_on(captured: CapturedLauncher, tmp_path: Path) -> None:
    job_id, gate = job_of(captured, tmp_path), tmp_path / "gate"
    run_id = captured.launcher.trigger_run(job_id, ["wait-for", str(gate)]).run_id
    with ForwardingProxy(connect().host) as proxy, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABRICKS_HOST", proxy.host)
        proxy.when(lambda request: request.path.endswith("/runs/get"), 2, gate.touch)
        follower = CapturedLauncher()
        logs = follower.launcher.runs.logs(run_id, follow=True)
    assert logs.run.state.outcome == "succeeded"
    (line,) = printed(follower)
    assert json.loads(line)["run"] == str(run_id)


def test_logs_of_several_tasks_and_attempts(captured: CapturedLauncher, tmp_path: Path) -> None:
    captured.launcher.deploy(make_project(tmp_path), name="runs")
    workspace = connect()
    (job,) = workspace.get("/api/2.2/jobs/list", name="runs", expand_tasks="true")["jobs"]
    settings = job["settings"]
    task = settings["tasks"][0]
    good = {**task, "task_key": "good"}
    wheel = task["python_wheel_task"]
    call = json.dumps({"argv": ["exit", "4"], "env": [], "scope": None})
    parameters = [p for p in wheel["parameters"] if not p.startswith("--call=")]
    bad = {
        **task,
        "task_key": "bad",
        "max_retries": 1,
        "python_wheel_task": {**wheel, "parameters": [*parameters, f"--call={call}"]},
    }
    body = {**settings, "name": "two tasks", "tags": {}, "tasks": [good, bad]}
    job_id = workspace.post("/api/2.2/jobs/create", body, repeatable=False)["job_id"]
    captured.launcher.trigger_run(job_id, ["a"], wait=True)
    (run,) = captured.launcher.runs.list(job_id)

    failed = captured.launcher.runs.logs(run.id, show=False).tasks
    assert [(log.task, log.attempt, log.exit_code) for log in failed] == [("bad", 1, 4)]
    every = captured.launcher.runs.logs(run.id, show=False, all_tasks=True).tasks
    assert sorted((log.task, log.attempt) for log in every) == [("bad", 0), ("bad", 1), ("good", 0)]

    command = [sys.executable, "-m", "lakeflow", "get-run", str(run.id)]
    shown = subprocess.run(command, text=True, capture_output=True, check=True).stdout
    for log in failed:
        assert re.search(rf"task {log.task} +{log.run_id}  failed  attempt 1  http\S+\n", shown)
    assert shown.count("your code failed: its output says why") == 3

    fresh = CapturedLauncher()
    fresh.launcher.runs.logs(run.id, all_tasks=True)
    labels = {line.partition("]")[0] for line in printed(fresh)}
    assert labels == {"[good", "[bad", "[bad.1"}
    assert any("task bad" in line and "with exit code 4" in line for line in fresh.lines)


def test_cancel_run_ends_it(captured: CapturedLauncher, tmp_path: Path) -> None:
    job_id = job_of(captured, tmp_path)
    run_id = captured.launcher.trigger_run(job_id, ["wait-for", str(tmp_path / "never")]).run_id
    with pytest.raises(UsageError, match="run 999999 not found"):
        captured.launcher.runs.cancel([run_id, 999999])
    assert captured.launcher.runs.get(run_id).state.outcome is None
    (run,) = captured.launcher.runs.cancel([run_id], wait=True)
    assert run.state.outcome == "cancelled"
    (again,) = captured.launcher.runs.cancel([run_id])
    assert again.state.outcome == "cancelled"
    assert f"run {run_id} has finished already (cancelled)" in captured.lines


def test_an_exit_code_of_0_is_not_the_reason_of_a_failure(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    """The code may have returned before the workspace lost the run, or its server was killed."""
    workspace, job_id = connect(), job_of(captured, tmp_path)
    run_id = captured.launcher.trigger_run(job_id, ["wait-for", str(tmp_path / "gate")]).run_id
    run = captured.launcher.runs.get(run_id)
    folder = runs.folder_of(run, run.tasks[0])
    assert folder is not None
    returned = tmp_path / "exit.json"
    returned.write_text('{"exit_code": 0, "error": null, "traceback": null}')
    files.upload(workspace, f"{folder}/exit.json", returned, replace=True)
    captured.launcher.runs.cancel([run_id])
    (result,) = captured.launcher.wait([run_id])
    assert (result.status, result.exit_code) == ("failed", None)
    assert "exit code 0" not in captured.progress.getvalue()


def test_jobs_are_listed_and_deleted_when_confirmed(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    job_id = job_of(captured, tmp_path, "short-lived")
    foreign = {
        "name": "foreign",
        "tasks": [
            {
                "task_key": "t",
                "existing_cluster_id": "none",
                "python_wheel_task": {"package_name": "p", "entry_point": "e"},
            }
        ],
    }
    other = connect().post("/api/2.2/jobs/create", foreign, repeatable=False)["job_id"]
    ours = {job.id for job in captured.launcher.jobs.list()}
    assert job_id in ours
    assert other not in ours
    assert other in {job.id for job in captured.launcher.jobs.list(all_jobs=True)}
    plan = captured.launcher.jobs.plan_delete(job_id)
    assert (plan.job.id, plan.job.name, plan.has_active_runs) == (job_id, "short-lived", False)
    (change,) = plan.changes
    assert (change.kind, str(change.resource)) == ("delete", f"job short-lived ({job_id})")
    assert job_id in {job.id for job in captured.launcher.jobs.list()}
    captured.launcher.apply(plan)
    assert job_id not in {job.id for job in captured.launcher.jobs.list()}
    with pytest.raises(UsageError, match=f"job {job_id} not found"):
        captured.launcher.jobs.delete(job_id)


def test_row_0_18_the_link_of_a_run(
    captured: CapturedLauncher, endpoint: Endpoint, tmp_path: Path
) -> None:
    job_id = job_of(captured, tmp_path)
    run_id = captured.launcher.trigger_run(job_id, ["x"], wait=True).run_id
    url = captured.launcher.runs.url(run_id)
    assert url.startswith(endpoint.host)
    assert str(run_id) in url
    assert captured.launcher.jobs.url(job_id) == f"{endpoint.host}/jobs/{job_id}"


def test_row_0_19_a_repair_runs_only_what_failed_with_its_arguments(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    captured.launcher.deploy(make_project(tmp_path), name="runs")
    workspace = connect()
    (job,) = workspace.get("/api/2.2/jobs/list", name="runs", expand_tasks="true")["jobs"]
    task = job["settings"]["tasks"][0]
    wheel = task["python_wheel_task"]
    call = json.dumps({"argv": ["fine"], "env": [], "scope": None})
    parameters = [p for p in wheel["parameters"] if not p.startswith("--call=")]
    fixed = {**wheel, "parameters": [*parameters, f"--call={call}"]}
    good = {**task, "task_key": "good", "python_wheel_task": fixed}
    body = {**job["settings"], "name": "repairs", "tags": {}, "tasks": [task, good]}
    job_id = workspace.post("/api/2.2/jobs/create", body, repeatable=False)["job_id"]

    there = tmp_path / "there"
    argv = ["need", str(there), "{{job.id}}", "ünï"]
    failed = captured.launcher.trigger_run(job_id, argv, wait=True)
    assert (failed.status, failed.exit_code) == ("failed", 5)
    assert captured.launcher.runs.repair(failed.run_id, wait=True).status == "failed"
    there.touch()
    again = CapturedLauncher()
    repaired = again.launcher.runs.repair(failed.run_id, wait=True)
    assert (repaired.run_id, repaired.status) == (failed.run_id, "succeeded")
    assert repaired.argv == tuple(argv)
    run = captured.launcher.runs.get(failed.run_id)
    assert sorted(attempt.key for attempt in run.attempts) == ["good", "main", "main", "main"]
    said = [json.loads(line)["argv"] for line in printed(again)]
    assert said.count(argv) == 1
    with pytest.raises(Refused, match="has no failed tasks"):
        captured.launcher.runs.repair(failed.run_id)


def test_row_0_19_a_repair_with_other_code_needs_an_option(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    gate, old, new = tmp_path / "gate", tmp_path / "old", tmp_path / "new"
    job_id = present(captured.launcher.deploy(make_project(old), name="repaired").targets[0].job_id)
    active = captured.launcher.trigger_run(job_id, ["wait-for", str(gate)]).run_id
    with pytest.raises(Refused, match="has not finished"):
        captured.launcher.runs.repair(active)
    gate.touch()
    failed = captured.launcher.trigger_run(job_id, ["fail"], wait=True).run_id
    captured.launcher.deploy(make_project(new, greeting="new"), name="repaired")
    with pytest.raises(Refused, match="--with-current"):
        captured.launcher.runs.repair(failed)
    fresh = CapturedLauncher()
    assert fresh.launcher.runs.repair(failed, with_current=True, wait=True).status == "failed"
    assert json.loads(printed(fresh)[0])["greeting"] == "new"


def test_ctrl_c_while_logs_are_followed_leaves_the_run(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    job_id, gate = job_of(captured, tmp_path), tmp_path / "gate"
    run_id = captured.launcher.trigger_run(job_id, ["wait-for", str(gate)]).run_id
    command = [sys.executable, "-m", "lakeflow", "get-run-logs", str(run_id), "--follow"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["run"] == str(run_id)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert f"lakeflow wait {run_id}" in said
    assert captured.launcher.runs.get(run_id).state.outcome is None
    gate.touch()
    assert captured.launcher.wait([run_id])[0].status == "succeeded"
