"""Workspaces that have only serverless compute, such as those of the Free Edition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow.client.connect import connect
from lakeflow.errors import Refused
from lakeflow.specs.compute import Compute
from lakeflow_local import daemon
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.proxy import ForwardingProxy

RULES = {
    "by its reply": "[[rule]]\nkind = 'serverless-only'\n",
    "without node types": (
        "[[rule]]\nkind = 'serverless-only'\n[[rule]]\nkind = 'no-node-types'\n"
    ),
}


@pytest.fixture(params=RULES)
def proxy(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ForwardingProxy]:
    """A proxy before such a workspace, which shows it in its list of node types or not."""
    folder = tmp_path_factory.mktemp("serverless-only")
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(folder))
    rules = folder / "faults.toml"
    rules.write_text(RULES[request.param])
    endpoint = daemon.ensure_up(faults=rules)
    with ForwardingProxy(endpoint.host) as proxy:
        monkeypatch.setenv("DATABRICKS_HOST", proxy.host)
        monkeypatch.setenv("DATABRICKS_TOKEN", endpoint.token)
        yield proxy
    daemon.down()


def test_serverless_is_used_unless_a_cluster_is_requested(
    proxy: ForwardingProxy, tmp_path: Path
) -> None:
    manifest, captured = make_project(tmp_path), CapturedLauncher()
    for compute in (Compute("cluster"), Compute(node_type="local.large")):
        with pytest.raises(Refused, match=r"only serverless compute(?s:.*)--compute serverless"):
            captured.launcher.deploy(manifest, name="only", compute=compute)
    sent = [r.path for r in proxy.requests if r.method in ("POST", "PUT")]
    assert {path for path in sent if path != "/api/2.1/clusters/create"} == set()
    done = captured.launcher.deploy(manifest, name="only", max_workers=4, calls=[["1"]])
    assert done.status == "succeeded", captured.progress.getvalue()
    said = "this workspace offers only serverless compute: runs use it; options of clusters"
    assert any(line.startswith(said) for line in captured.lines)
    (target,) = done.targets
    (task,) = connect().get("/api/2.2/jobs/get", job_id=target.job_id)["settings"]["tasks"]
    assert task["environment_key"]
    captured.launcher.deploy(manifest, name="only")
    assert any("job only" in line and "unchanged" in line for line in captured.lines)
