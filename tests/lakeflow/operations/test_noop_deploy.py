"""What a deploy asks of a workspace that has everything already, and what it notices."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow.client.connect import connect
from lakeflow.resources import files
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.proxy import ForwardingProxy
from tests.support.wheels import make_wheel

LIST = "/api/2.2/jobs/list"
DISCOVERY = "/.well-known/databricks-config"

LATE = 0.3
"""Seconds; long beside what the local workspace needs for an answer."""


@pytest.fixture
def proxy(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[ForwardingProxy]:
    """Stands before the local workspace, of which nothing is known yet."""
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / "state"))
    with ForwardingProxy(endpoint.host, side_by_side=True) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        yield proxy


def three_wheels(folder: Path) -> Path:
    """A manifest of `try-demo`, `try-lib` and one more; returns its path."""
    manifest = make_project(folder)
    points = {"console_scripts": {"lakeflow-task": "try_demo.main:main"}}
    more = make_wheel(
        folder, "try-more", "1.0", {"try_more.py": ""}, requires=["try-demo"], entry_points=points
    )
    known = json.loads(manifest.read_text())
    known["distributions"][0]["root"] = False
    known["distributions"].append({"address": "more:dist", "root": True, "wheel": more.name})
    manifest.write_text(json.dumps(known))
    return manifest


def test_three_wheels_that_are_there_take_six_requests(
    proxy: ForwardingProxy, tmp_path: Path
) -> None:
    manifest = three_wheels(tmp_path)
    CapturedLauncher().launcher.deploy(manifest, name="six")
    proxy.clear()
    proxy.delay = LATE
    captured = CapturedLauncher()
    created = captured.launcher.deploy(manifest, name="six")
    assert {request.method for request in proxy.requests} == {"GET"}
    requested = [
        r.path for r in proxy.requests if r.path != DISCOVERY
    ]  # asked of a host that is slow
    assert len(requested) <= 6, requested
    assert proxy.depth <= 3
    assert [wheel.uploaded_bytes for wheel in created.targets[0].wheels] == [0] * 4
    assert "uploaded 0 bytes" in captured.lines


@pytest.mark.parametrize(
    ("root", "requests", "depth"),
    [
        ("/Volumes/main/default/lakeflow/unknown", 8, 3),
        (None, 8 + 4, 4),  # workspace files have no size: each wheel is read once
    ],
)
def test_an_unknown_host_takes_two_more(
    proxy: ForwardingProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    root: str | None,
    requests: int,
    depth: int,
) -> None:
    if root is not None:
        monkeypatch.setenv("LAKEFLOW_ROOT", root)
    manifest = three_wheels(tmp_path)
    CapturedLauncher().launcher.deploy(manifest, name="unknown")
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / "another"))
    proxy.clear()
    proxy.delay = LATE
    CapturedLauncher().launcher.deploy(manifest, name="unknown")
    assert len(proxy.requests) <= requests, [request.path for request in proxy.requests]
    assert proxy.depth <= depth


def test_a_wheel_that_was_removed_is_sent_again(proxy: ForwardingProxy, tmp_path: Path) -> None:
    manifest = three_wheels(tmp_path)
    created = CapturedLauncher().launcher.deploy(manifest, name="gone").targets[0]
    lost = created.wheels[1]
    files.remove(connect(), files.Entry(lost.path, "file"))
    again = CapturedLauncher().launcher.deploy(manifest, name="gone").targets[0]
    sent = {wheel.path: wheel.uploaded_bytes for wheel in again.wheels}
    assert sent.pop(lost.path) == len(files.read(connect(), lost.path) or b"")
    assert set(sent.values()) == {0}


def test_a_wheel_that_is_there_in_part_is_sent_again(
    proxy: ForwardingProxy, tmp_path: Path
) -> None:
    manifest = three_wheels(tmp_path)
    created = CapturedLauncher().launcher.deploy(manifest, name="part").targets[0]
    broken = created.wheels[1]
    stub = tmp_path / "stub"
    stub.write_bytes(b"PK")
    files.put(connect(), broken.path, stub, replace=True)
    again = CapturedLauncher().launcher.deploy(manifest, name="part").targets[0]
    uploaded = again.wheels[1].uploaded_bytes
    assert uploaded == len(files.read(connect(), broken.path) or b"")
    assert uploaded != 2


def test_a_cluster_or_job_that_was_removed_is_created_again(
    proxy: ForwardingProxy, tmp_path: Path
) -> None:
    manifest = three_wheels(tmp_path)
    created = CapturedLauncher().launcher.deploy(manifest, name="removed").targets[0]
    body = {"cluster_id": created.cluster_id}
    connect().post("/api/2.1/clusters/permanent-delete", body, repeatable=True)
    other = CapturedLauncher().launcher.deploy(manifest, name="removed").targets[0]
    assert other.job_id == created.job_id
    assert other.cluster_id != created.cluster_id
    connect().post("/api/2.2/jobs/delete", {"job_id": created.job_id}, repeatable=True)
    last = CapturedLauncher().launcher.deploy(manifest, name="removed").targets[0]
    assert last.job_id != created.job_id
    assert last.cluster_id == other.cluster_id


def test_jobs_whose_names_differ_in_case_are_two(
    captured: CapturedLauncher, tmp_path: Path
) -> None:
    manifest = make_project(tmp_path)
    first = captured.launcher.deploy(manifest, name="CaseJob").targets[0]
    second = captured.launcher.deploy(manifest, name="casejob").targets[0]
    assert first.job_id != second.job_id
    again = captured.launcher.deploy(manifest, name="CaseJob").targets[0]
    assert again.job_id == first.job_id
    names = {job["job_id"]: job["settings"]["name"] for job in connect().pages(LIST, "jobs")}
    assert (names[first.job_id], names[second.job_id]) == ("CaseJob", "casejob")


def test_a_server_that_ignores_the_name_filter(proxy: ForwardingProxy, tmp_path: Path) -> None:
    manifest = make_project(tmp_path)
    first = CapturedLauncher().launcher.deploy(manifest, name="filtered").targets[0]
    proxy.rewrite = lambda target: re.sub(r"&?name=[^&]*", "", target)
    second = CapturedLauncher().launcher.deploy(manifest, name="unfiltered").targets[0]
    again = CapturedLauncher().launcher.deploy(manifest, name="filtered").targets[0]
    assert again.job_id == first.job_id != second.job_id
