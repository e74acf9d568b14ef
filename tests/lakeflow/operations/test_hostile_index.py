"""An index that has packages of the same names cannot answer for first-party wheels."""

from __future__ import annotations

import functools
import http.server
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeflow import Launcher
from lakeflow.specs.compute import Compute
from lakeflow.specs.deploy import DeployRequest
from lakeflow_local import daemon
from tests.support.captured import CapturedLauncher
from tests.support.wheels import make_wheel

MAIN = """
import json, third_party, try_lib

def main():
    print(json.dumps([try_lib.WHO, third_party.WHO]))
"""


class Index(http.server.SimpleHTTPRequestHandler):
    """A simple index (PEP 503): a folder for each project; `requested` are the requested paths."""

    requested: list[str]

    def do_GET(self) -> None:
        self.requested.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path, type[Index]]]:
    folder = tmp_path / "index"
    folder.mkdir()
    handler = type("Handler", (Index,), {"requested": []})
    serve = functools.partial(handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple/", folder, handler
        server.shutdown()


@pytest.fixture
def launcher(
    index: tuple[str, Path, type[Index]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Launcher, io.StringIO]]:
    """A launcher for a separate local workspace, whose installer asks that index alone."""
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LAKEFLOW_WORKSPACE", "local")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
    for name in ("UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", index[0])
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    daemon.ensure_up(port=0)
    captured = CapturedLauncher()
    yield captured.launcher, captured.out
    daemon.down()


def publish(folder: Path, name: str, version: str, modules: dict[str, str]) -> None:
    """Put a wheel into the index."""
    project = folder / "simple" / name
    make_wheel(project, name, version, modules)
    links = [f'<a href="{file.name}">{file.name}</a>' for file in project.glob("*.whl")]
    (project / "index.html").write_text("<!DOCTYPE html>" + "\n".join(sorted(links)))


@pytest.mark.parametrize("kind", ["cluster", "serverless"])
def test_a_package_of_the_same_name(
    index: tuple[str, Path, type[Index]],
    launcher: tuple[Launcher, io.StringIO],
    tmp_path: Path,
    kind: str,
) -> None:
    _, folder, handler = index
    lib = make_wheel(tmp_path, "try-lib", "1.0", {"try_lib.py": "WHO = 'first party'"})
    demo = make_wheel(
        tmp_path,
        "try-demo",
        "1.0",
        {"try_demo.py": MAIN},
        requires=["try-lib>=1.0", "third-party"],
        entry_points={"console_scripts": {"lakeflow-task": "try_demo:main"}},
    )
    verb, out = launcher
    planned = verb.plan(DeployRequest(wheels=(demo, lib), compute=Compute(kind))).report
    publish(folder, "third-party", "2.0", {"third_party.py": "WHO = 'index'"})
    for wheel in planned.targets[0].wheels:  # the very versions, and newer ones
        module = wheel.distribution.replace("-", "_")
        for version in (wheel.version, wheel.stamped_version, "999.0", "1.0+zzz"):
            publish(folder, wheel.distribution, version, {f"{module}.py": "WHO = 'hostile'"})
    created = verb.deploy(wheels=[demo, lib], compute=Compute(kind), calls=[[]])
    assert created.status == "succeeded", created
    assert json.loads(out.getvalue().partition("] ")[2]) == ["first party", "index"]
    assert any("third-party" in path or "third_party" in path for path in handler.requested)
    assert not [path for path in handler.requested if path.endswith(".whl") and "third" not in path]
