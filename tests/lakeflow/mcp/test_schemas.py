"""What clients see of the tools, kept in schemas.json, so that a diff shows every change.

`python -m tests.lakeflow.mcp.test_schemas` rewrites the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.lakeflow.mcp.agent import connected
from tests.lakeflow.mcp.conftest import serving

pytestmark = pytest.mark.anyio

KEPT = Path(__file__).with_name("schemas.json")
READING = [
    "list_jobs",
    "get_job",
    "list_clusters",
    "list_runs",
    "get_run",
    "wait_for_runs",
    "read_logs",
    "explain_failure",
    "read_outputs",
    "plan_deploy",
]
CHANGING = ["trigger_runs", "repair_run", "cancel_runs", "deploy_wheels"]


async def visible_api(**options: Any) -> dict[str, Any]:
    """All that a client sees of the server."""
    async with connected(serving(**options)) as agent:
        listed: dict[str, list[Any]] = {
            "tools": [*(await agent.client.list_tools()).tools],
            "prompts": [*(await agent.client.list_prompts()).prompts],
            "resources": [*(await agent.client.list_resource_templates()).resource_templates],
        }
    return {
        kind: [item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in items]
        for kind, items in listed.items()
    }


def as_text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


async def test_clients_see_what_schemas_json_holds(tmp_path: Path) -> None:
    found = await visible_api(roots=(tmp_path,), allow_build=True)
    assert as_text(found) == KEPT.read_text(encoding="utf-8"), "see the top of this file"


async def test_the_options_decide_which_tools_exist(tmp_path: Path) -> None:
    async with connected(serving()) as agent:
        assert await agent.tools() == [*READING, *CHANGING]
    async with connected(serving(read_only=True, roots=(tmp_path,), allow_build=True)) as agent:
        assert await agent.tools() == READING
    async with connected(serving(roots=(tmp_path,), allow_build=True)) as agent:
        assert await agent.tools() == [*READING, *CHANGING, "build_and_deploy"]


async def test_every_tool_has_descriptions_and_refuses_other_arguments(tmp_path: Path) -> None:
    for tool in (await visible_api(roots=(tmp_path,), allow_build=True))["tools"]:
        assert tool["inputSchema"]["additionalProperties"] is False, tool["name"]
        assert tool["outputSchema"]["type"] == "object"
        assert tool["description"]
        for name, schema in tool["inputSchema"]["properties"].items():
            assert schema.get("description"), (tool["name"], name)
        hints = tool["annotations"]
        assert hints["readOnlyHint"] is (tool["name"] in READING)
        ends = tool["name"] in ("cancel_runs", "deploy_wheels", "build_and_deploy")
        assert hints["destructiveHint"] is ends
        assert hints["idempotentHint"] is True


if __name__ == "__main__":
    KEPT.write_text(as_text(anyio.run(lambda: visible_api(roots=(Path(),), allow_build=True))))
