"""Every limit of Databricks that can be known is refused by name before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lakeflow.client.connect import connect
from lakeflow.errors import Refused, UsageError
from lakeflow.specs.compute import Compute
from lakeflow.specs.job import job_options
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.proxy import ForwardingProxy
from tests.support.wheels import make_wheel


@pytest.fixture
def proxy(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardingProxy]:
    """Stands before the workspace; at the end of each test it has seen nothing but reading."""
    with ForwardingProxy(endpoint.host) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        yield proxy
        assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"calls": [["x" * 9_990]]}, r"Databricks accepts 10000"),
        ({"calls": [["ü" * 1_700]]}, r"Databricks accepts 10000"),
        ({"calls": [["a\0b"]]}, r"argument 1"),
        ({"calls": [["a"]], "env": {"NO=NAME": "x"}}, r"NO=NAME"),
        ({"calls": [["a"]], "env": {"K": "x" * 10_000}}, r"Databricks accepts 10000"),
        ({"secret_env_vars": ["NOT_SET_AT_ALL"]}, r"NOT_SET_AT_ALL is not set.*Nothing was sent"),
        ({"secret_env_vars": ["HUGE"]}, r"131,073 bytes; Databricks keeps 1 to 131,072"),
        ({"secret_env_vars": ["K" * 129]}, r"at most 128"),
        ({"name": ""}, r"cannot be a job's name"),
        ({"name": "a\nb"}, r"cannot be a job's name"),
        ({"name": "ü" * 2_049}, r"4,096 bytes as UTF-8: 4,098"),
        (
            {"compute": Compute(runtime="1.2.x-scala2.12")},
            r"--runtime 1\.2\.x.*not in this",
        ),
        ({"compute": Compute(node_type="m9.huge")}, r"--node-type m9\.huge.*not in this"),
        ({"cluster_id": "0101-000000-nowhere1"}, r"cluster '0101-000000-nowhere1' not found"),
        ({"compute": Compute(init_scripts=("dbfs:/x.sh",))}, r"under /Workspace or on a volume"),
        ({"shared": True}, r"--shared needs LAKEFLOW_ROOT"),
    ],
)
def test_of_a_deploy(
    proxy: ForwardingProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    complaint: str,
) -> None:
    monkeypatch.setenv("HUGE", "x" * (128 * 1024 + 1))
    monkeypatch.setenv("K" * 129, "x")
    with pytest.raises((Refused, UsageError), match=complaint):
        CapturedLauncher().launcher.deploy(make_project(tmp_path), **{"name": "limited", **options})


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"tags": {f"k{n}": "v" for n in range(25)}}, "a job can have 25 tags"),
        ({"tags": {"lakeflow_id": "v"}}, "reserved"),
        ({"schedule": "0 6 * * *"}, "Quartz"),
        ({"timezone": "UTC"}, "--schedule"),
        ({"schedule": "0 0 6 * * ?", "timezone": "Berlin"}, "is not a time zone"),
        ({"timeout": "soon"}, "is not a duration"),
        ({"retries": -1}, "0 or more"),
        ({"notify": ["nobody"]}, "e-mail address"),
        ({"permissions": ["IS_OWNER:a@b"]}, "CAN_VIEW, CAN_MANAGE_RUN, CAN_MANAGE"),
    ],
)
def test_of_a_job(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        job_options(**given)


def test_of_secrets(proxy: ForwardingProxy, tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("".join(f"K{n}=v\n" for n in range(1001)))
    with pytest.raises(UsageError, match=r"1,001 secrets are too many.*1,000"):
        CapturedLauncher().launcher.deploy(
            make_project(tmp_path), name="limited", secrets_file=file
        )


@pytest.mark.parametrize(
    ("kind", "tag", "complaint"),
    [
        ("cluster", "manylinux_2_99_x86_64", "it needs glibc 2.99"),
        ("cluster", "macosx_11_0_arm64", "it is built for macosx_11_0_arm64"),
        ("cluster", "musllinux_1_2_x86_64", "it is built for musl"),
        ("cluster", "win_amd64", "it is built for win_amd64"),
        ("per-run", "manylinux_2_17_ppc64le", "it is built for ppc64le"),
        ("serverless", "manylinux_2_99_x86_64", "it needs glibc 2.99"),
    ],
)
def test_of_wheels_for_other_machines(
    proxy: ForwardingProxy, tmp_path: Path, kind: str, tag: str, complaint: str
) -> None:
    manifest = make_project(tmp_path, tag=f"py3-none-{tag}")
    with pytest.raises(Refused, match=rf"try_lib.*{tag}.whl does not run on.*{complaint}"):
        CapturedLauncher().launcher.deploy(manifest, name="limited", compute=Compute(kind))


def test_of_a_wheel_for_another_machine_than_the_named_cluster_s(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster_id = CapturedLauncher().launcher.clusters.create("limited").id
    with ForwardingProxy(endpoint.host) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        with pytest.raises(Refused, match=f"does not run on cluster {cluster_id}"):
            CapturedLauncher().launcher.deploy(
                make_project(tmp_path, tag="py3-none-macosx_11_0_arm64"), cluster_id=cluster_id
            )
    assert {request.method for request in proxy.requests} == {"GET"}


def test_of_wheels_that_do_not_belong_together(proxy: ForwardingProxy, tmp_path: Path) -> None:
    points = {"console_scripts": {"lakeflow-task": "needs:main"}}
    needs = make_wheel(tmp_path, "needs", "1.0", {}, requires=["try-lib==2.0"], entry_points=points)
    lib = make_wheel(tmp_path, "try-lib", "1.0", {})
    with pytest.raises(Refused, match=r"needs try-lib==2\.0"):
        CapturedLauncher().launcher.deploy(wheels=[needs, lib], name="limited")


def test_of_a_package_that_is_not_in_the_folder(proxy: ForwardingProxy, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "1"\n')
    with pytest.raises(UsageError, match=r"holds the package 'other'.*not 'mine'"):
        CapturedLauncher().launcher.create_job_from_source("limited", "mine", tmp_path)


def test_of_arguments_for_a_job_of_another_maker(endpoint: Endpoint, tmp_path: Path) -> None:
    captured = CapturedLauncher()
    ours = captured.launcher.deploy(make_project(tmp_path), name="theirs").targets[0]
    (task,) = connect().get("/api/2.2/jobs/get", job_id=ours.job_id)["settings"]["tasks"]
    wheel = {"package_name": "try_demo", "entry_point": "lakeflow-task"}
    named = {**task, "python_wheel_task": {**wheel, "named_parameters": {"k": "v"}}}
    body = {"name": "theirs by name", "tasks": [named]}
    job_id = connect().post("/api/2.2/jobs/create", body, repeatable=False)["job_id"]
    with pytest.raises(UsageError, match="cannot be combined with arguments"):
        captured.launcher.trigger_run(job_id, ["a"])
    assert captured.launcher.runs.list(job_id) == []
    run_id = captured.launcher.trigger_run(job_id, []).run_id
    run = connect().get("/api/2.2/jobs/runs/get", run_id=run_id)
    assert "python_params" not in run.get("overriding_parameters", {})
    captured.launcher.runs.cancel([run_id])
