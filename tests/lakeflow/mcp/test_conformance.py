"""The conformance suite of the protocol's makers, over HTTP, in both eras of the protocol.

A revision's scenarios are run as that revision requires them. Many of them call tools, resources
and prompts that only the suite's own reference server has; each of these is named here, with why.
A named scenario that passes is an error too, so that the table stays true.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.lakeflow.mcp.clients import Clients, NoClients
from tests.lakeflow.mcp.servers import http_server
from tests.support.bearer import Bearer

SUITE = "@modelcontextprotocol/conformance/dist/index.js"

FIXTURE = "calls a tool, resource or prompt that only the suite's reference server has"
COMPLETION = "this server completes no arguments"
LOGGING = "log messages are deprecated since 2026-07-28 (SEP-2577), and none are sent"
SAMPLING = "this server never asks the client's model"
SUBSCRIBE = "nothing can be subscribed to"
TASKS = "the extension is not offered: trigger_runs returns run ids, which are durable"

NOT_APPLICABLE = {
    "completion-complete": COMPLETION,
    "elicitation-sep1034-defaults": FIXTURE,
    "elicitation-sep1330-enums": FIXTURE,
    "http-custom-header-server-validation": "no tool takes an argument from a header",
    "input-required-result-basic-elicitation": FIXTURE,
    "input-required-result-basic-list-roots": FIXTURE,
    "input-required-result-basic-sampling": SAMPLING,
    "input-required-result-capability-check": SAMPLING,
    "input-required-result-multi-round": FIXTURE,
    "input-required-result-multiple-input-requests": FIXTURE,
    "input-required-result-non-tool-request": FIXTURE,
    "input-required-result-request-state": FIXTURE,
    "input-required-result-result-type": FIXTURE,
    "input-required-result-tampered-state": FIXTURE,
    "json-schema-2020-12": FIXTURE,
    "logging-set-level": LOGGING,
    "prompts-get-embedded-resource": FIXTURE,
    "prompts-get-simple": FIXTURE,
    "prompts-get-with-args": FIXTURE,
    "prompts-get-with-image": FIXTURE,
    "resources-read-binary": FIXTURE,
    "resources-read-text": FIXTURE,
    "resources-subscribe": SUBSCRIBE,
    "resources-templates-read": FIXTURE,
    "resources-unsubscribe": SUBSCRIBE,
    "server-sse-polling": FIXTURE,
    "tasks-capability-negotiation": TASKS,
    "tasks-dispatch-and-envelope": TASKS,
    "tasks-lifecycle": TASKS,
    "tasks-mrtr-composition": TASKS,
    "tasks-mrtr-input": TASKS,
    "tasks-request-headers": TASKS,
    "tasks-request-state-removal": TASKS,
    "tasks-required-task-error": TASKS,
    "tasks-wire-fields": TASKS,
    "tools-call-audio": FIXTURE,
    "tools-call-elicitation": FIXTURE,
    "tools-call-embedded-resource": FIXTURE,
    "tools-call-image": FIXTURE,
    "tools-call-mixed-content": FIXTURE,
    "tools-call-sampling": SAMPLING,
    "tools-call-with-logging": LOGGING,
    "tools-call-with-progress": FIXTURE,
    # Of a scenario whose other checks apply.
    "server-stateless: sep-2575-missing-capability-http-400": SAMPLING,
    "server-stateless: sep-2575-server-rejects-undeclared-capability": SAMPLING,
}

APPLICABLE = {
    "2025-11-25": {
        "dns-rebinding-protection",
        "ping",
        "prompts-list",
        "resources-list",
        "server-initialize",
        "server-session-lifecycle",
        "server-sse-multiple-streams",
        "tools-call-error",
        "tools-list",
    },
    "2026-07-28": {
        "caching",
        "dns-rebinding-protection",
        "http-header-validation",
        "input-required-result-ignore-extra-params",
        "input-required-result-missing-input-response",
        "input-required-result-unsupported-methods",
        "input-required-result-validate-input",
        "prompts-list",
        "resources-list",
        "sep-2164-resource-not-found",
        "server-sse-multiple-streams",
        "server-stateless",
        "tools-call-error",
        "tools-list",
    },
}
"""What has to be among the scenarios that ran and passed, so that nothing goes missing unseen."""


@pytest.mark.parametrize("revision", sorted(APPLICABLE))
def test_every_applicable_scenario_passes(
    revision: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        clients = Clients()
    except NoClients as error:
        pytest.skip(str(error))
    results = tmp_path / "results"
    nowhere = {"LAKEFLOW_STATE_DIR": str(tmp_path / "state"), "LAKEFLOW_WORKSPACE": "local"}
    with (
        http_server(tmp_path / "server", environ=nowhere) as server,
        Bearer(server.port, server.token) as proxy,
    ):
        url = f"http://127.0.0.1:{proxy.port}/mcp"
        options = ["--requirements", revision, "--output-dir", str(results)]
        said = clients.run(SUITE, "server", "--url", url, *options)
    passed, failed = read_results(results)
    assert failed - set(NOT_APPLICABLE) == set(), said.stdout
    assert passed & set(NOT_APPLICABLE) == set(), "passes, but is listed as not applicable"
    assert APPLICABLE[revision] - passed == set(), said.stdout


def read_results(folder: Path) -> tuple[set[str], set[str]]:
    """The scenarios that passed and those that failed, or checks of them as `SCENARIO: CHECK`.

    A scenario of which only checks failed that are named in `NOT_APPLICABLE` has passed.
    """
    passed: set[str] = set()
    failed: set[str] = set()
    for path in folder.glob("server-*/checks.json"):
        found = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z", path.parent.name)
        assert found is not None, path
        name = found[1]
        bad = {
            check["id"] for check in json.loads(path.read_text()) if check["status"] == "FAILURE"
        }
        named = {one for one in bad if f"{name}: {one}" in NOT_APPLICABLE}
        failed |= {f"{name}: {one}" for one in named}
        (failed if bad - named else passed).add(name)
    return passed, failed
