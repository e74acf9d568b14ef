"""Whatever a task raises, prints or returns, its run finishes and frees its slot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from databricks.sdk import WorkspaceClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeflow_local import daemon
from lakeflow_local.compute.execution import read_result
from lakeflow_local.daemon import Endpoint
from lakeflow_local.storage.storable_text import storable_message
from tests.lakeflow_local.helpers import (
    finish,
    make_job,
    present,
    python_task,
    result_of,
    trigger,
)

PROGRAM = """
import json, os, sys

case = json.loads(sys.argv[1])
os.write(1, bytes.fromhex(case["output"]))
os.write(2, case["message"].encode("utf-8", "surrogatepass"))
if case["how"] == "raise":
    raise type(case["name"].replace(chr(0), "") or "Any", (Exception,), {})(case["message"])
if case["how"] == "exit":
    sys.exit(case["message"])
if case["how"] == "die":
    os._exit(case["code"])
if case["how"] == "code":
    sys.exit(case["code"])
if case["how"] == "file":
    open(os.fsdecode(b"no file \\xff " + case["message"].encode("utf-8", "replace")))
"""
TEXTS = st.text(st.characters(), max_size=40) | st.sampled_from(["\udcff", "\ud800\0", "\x1b[31m"])
CASES = st.fixed_dictionaries(
    {
        "how": st.sampled_from(["raise", "exit", "die", "code", "file", "return"]),
        "message": TEXTS,
        "name": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        "code": st.integers(-1, 300),
        "output": st.binary(max_size=60).map(bytes.hex),
    }
)
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def test_a_lone_surrogate_in_a_message_is_stored_escaped(
    client: WorkspaceClient, cluster: str
) -> None:
    task = python_task(client, cluster, "raise ValueError('\\udcff')")
    run = finish(client, trigger(client, make_job(client, [task])))
    assert result_of(run) == "FAILED"
    found = client.jobs.get_run_output(present(present(run.tasks)[0].run_id))
    assert found.error == "ValueError: \\udcff"
    assert "ValueError: \\udcff" in present(found.error_trace)


@given(cases=st.lists(CASES, min_size=1, max_size=4))
@settings(max_examples=6, deadline=None, suppress_health_check=SLOW)
def test_every_task_finishes_whatever_it_does(
    client: WorkspaceClient, cluster: str, cases: Sequence[Mapping[str, Any]]
) -> None:
    tasks = [
        python_task(client, cluster, PROGRAM, json.dumps(case), key=f"task-{number}")
        for number, case in enumerate(cases)
    ]
    run = finish(client, trigger(client, make_job(client, tasks)))
    for task, case in zip(present(run.tasks), cases, strict=True):
        output = client.jobs.get_run_output(present(task.run_id))
        is_success = case["how"] == "return" or (
            (case["how"] == "code" and case["code"] == 0)
            or (case["how"] == "exit" and not case["message"])
        )
        state = present(present(task.state).result_state).value
        assert state == ("SUCCESS" if is_success else "FAILED"), case
        assert (output.error is None) == is_success


@given(
    content=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "x"]), inner),
    ).map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"error": TEXTS | st.integers(), "error_trace": TEXTS | st.none()}).map(
        lambda value: json.dumps(value).encode()
    ),
    code=st.integers(-64, 255),
)
@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
def test_any_result_file_is_read_and_stored(tmp_path: Path, content: bytes, code: int) -> None:
    (tmp_path / "result.json").write_bytes(content)
    result = read_result(tmp_path, code)
    for text in (result.error, result.error_trace, result.outcome.message):
        stored = storable_message(text)
        assert (stored is None) == (text is None)
        (stored or "").encode()  # raises if it is not valid Unicode


def test_an_outcome_that_cannot_be_stored_is_an_internal_error(
    endpoint: Endpoint, client: WorkspaceClient, cluster: str
) -> None:
    del endpoint  # the server whose database this is
    with closing(sqlite3.connect(daemon.state_dir() / "local" / "workspace.sqlite")) as database:
        database.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON task_runs WHEN NEW.error LIKE '%unstorable%'"
            " BEGIN SELECT RAISE(ABORT, 'refused by a trigger'); END"
        )
        task = python_task(client, cluster, "raise ValueError('unstorable')")
        run = finish(client, trigger(client, make_job(client, [task])))
        database.execute("DROP TRIGGER refuse")
    state = present(run.state)
    assert present(state.life_cycle_state).value == "INTERNAL_ERROR"
    assert "refused by a trigger" in present(state.state_message)
