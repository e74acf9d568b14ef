from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from lakeflow.errors import Refused
from lakeflow.state.invocations import (
    KEPT_SECONDS,
    TOKEN_LENGTH,
    Invocation,
    begin,
    begin_named,
    folder,
)
from tests.support import unfinished

REQUESTED = ["http://127.0.0.1:1", 7, ["a", "b"]]


@contextmanager
def another_process(folder: Path, triggers: int) -> Iterator[tuple[str, bool]]:
    """A living process with its own invocation, which is killed at the end."""
    command = [
        sys.executable,
        unfinished.__file__,
        str(folder),
        json.dumps(REQUESTED),
        str(triggers),
    ]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    process = subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        identity, resumed = json.loads(process.stdout.readline())
        yield identity, resumed
    finally:
        process.kill()
        process.communicate()


def test_a_killed_invocation_is_resumed_with_what_it_knew(tmp_path: Path) -> None:
    with another_process(tmp_path, 2) as (identity, _):
        pass
    resumed = begin(tmp_path, REQUESTED)
    assert (resumed.id, resumed.resumed) == (identity, True)
    assert resumed.started == {(7, 0): 100, (7, 1): 101}


def test_a_process_resumes_what_a_killed_one_left(tmp_path: Path) -> None:
    with another_process(tmp_path, 1) as (first, _):
        pass
    with another_process(tmp_path, 2) as (second, resumed):
        assert (second, resumed) == (first, True)
    assert set(begin(tmp_path, REQUESTED).started) == {(7, 0), (7, 1)}


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_what_was_interrupted_while_it_let_go_can_let_go_again(tmp_path: Path, nth: int) -> None:
    invocation, lines = begin(tmp_path, REQUESTED), 0

    def interrupt(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if frame.f_code is not Invocation.close.__code__:
            return None
        lines += event == "line"
        if lines == nth:
            raise KeyboardInterrupt
        return interrupt

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            invocation.close()
    finally:
        sys.settrace(before)
    invocation.close()


def test_a_named_invocation_is_kept_when_it_is_finished(tmp_path: Path) -> None:
    first = begin_named(tmp_path, "mine", REQUESTED, 0)
    first.record(7, 0, 100)
    first.finish()
    again = begin_named(tmp_path, "mine", REQUESTED, 0)
    assert (again.id, again.resumed, again.started) == (first.id, True, {(7, 0): 100})
    again.close()
    assert begin_named(tmp_path, "another", REQUESTED, 0).id != first.id


def test_a_name_that_stands_for_something_else_is_refused(tmp_path: Path) -> None:
    begin_named(tmp_path, "mine", REQUESTED, 0).finish()
    with pytest.raises(Refused, match="for another request"):
        begin_named(tmp_path, "mine", [*REQUESTED, "more"], 0)
    begin_named(tmp_path, "mine", REQUESTED, 0).close()


def test_a_name_whose_request_was_withdrawn_is_free(tmp_path: Path) -> None:
    first = begin_named(tmp_path, "mine", REQUESTED, 0)
    first.withdraw()
    other = begin_named(tmp_path, "mine", [*REQUESTED, "more"], 0)
    assert (other.resumed, other.id != first.id) == (False, True)


def test_a_named_invocation_is_waited_for_where_somebody_works_on_it(tmp_path: Path) -> None:
    held = begin_named(tmp_path, "mine", REQUESTED, 0)
    with pytest.raises(Refused, match="still running"):
        begin_named(tmp_path, "mine", REQUESTED, 0)
    threading.Timer(0.2, held.finish).start()
    assert begin_named(tmp_path, "mine", REQUESTED, 30).id == held.id


def test_a_named_invocation_of_which_only_a_part_was_written_begins_anew(tmp_path: Path) -> None:
    first = begin_named(tmp_path, "mine", REQUESTED, 0)
    first.finish()
    first.path.write_bytes(first.path.read_bytes()[:20])
    again = begin_named(tmp_path, "mine", REQUESTED, 0)
    assert (again.resumed, again.started) == (False, {})


def test_two_living_processes_have_invocations_of_their_own(tmp_path: Path) -> None:
    with another_process(tmp_path, 1) as (first, _), another_process(tmp_path, 1) as (second, new):
        assert first != second
        assert not new
        assert begin(tmp_path, REQUESTED).id not in (first, second)
    assert {begin(tmp_path, REQUESTED).id, begin(tmp_path, REQUESTED).id} >= {first, second}


def test_a_finished_invocation_is_forgotten(tmp_path: Path) -> None:
    first = begin(tmp_path, REQUESTED)
    first.record(7, 0, 100)
    first.finish()
    again = begin(tmp_path, REQUESTED)
    assert again.id != first.id
    assert (again.resumed, again.started) == (False, {})


def test_something_else_requested_is_another_invocation(tmp_path: Path) -> None:
    begin(tmp_path, REQUESTED).close()
    assert not begin(tmp_path, [*REQUESTED, "more"]).resumed


def test_tokens_differ_by_everything_that_makes_a_trigger(tmp_path: Path) -> None:
    one, two = begin(tmp_path, REQUESTED), begin(tmp_path, ["else"])
    tokens = {
        invocation.token(host, job, ordinal)
        for invocation in (one, two)
        for host in ("http://a", "http://b")
        for job in (1, 11)
        for ordinal in (0, 1)
    }
    assert len(tokens) == 16
    assert {len(token) for token in tokens} == {TOKEN_LENGTH}
    assert one.token("http://a", 1, 0) == one.token("http://a", 1, 0)


def test_a_line_that_was_being_written_is_dropped(tmp_path: Path) -> None:
    first = begin(tmp_path, REQUESTED)
    first.record(7, 0, 100)
    first.close()
    with first.path.open("a") as file:
        file.write('{"job_id": 7, "ordin')
    second = begin(tmp_path, REQUESTED)
    assert second.started == {(7, 0): 100}
    second.record(7, 1, 101)
    second.close()
    assert begin(tmp_path, REQUESTED).started == {(7, 0): 100, (7, 1): 101}


def test_an_invocation_whose_runs_are_gone_is_forgotten(tmp_path: Path) -> None:
    first = begin(tmp_path, REQUESTED)
    first.close()
    long_ago = first.began_at - KEPT_SECONDS - 1
    os.utime(first.path, (long_ago, long_ago))
    assert begin(tmp_path, REQUESTED).id != first.id


def test_what_a_newer_version_has_started_is_left_to_it(tmp_path: Path) -> None:
    begin(tmp_path, REQUESTED).close()
    (path,) = tmp_path.glob("*.jsonl")
    newer = path.read_text().replace('"schema": 1', '"schema": 2')
    path.write_text(newer)
    for _ in range(2):
        with pytest.raises(Refused, match=r"another version of lakeflow.*schema 2"):
            begin(tmp_path, REQUESTED)
    assert path.read_text() == newer


def test_a_journal_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="LAKEFLOW_STATE_DIR"):
        begin(tmp_path / "file" / "invocations", REQUESTED)


def test_what_an_earlier_version_left_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path))
    former = tmp_path / "journal"
    pending = begin(former, REQUESTED)
    pending.record(7, 0, 100)
    pending.close()
    named = begin_named(former, "mine", REQUESTED, 0)
    named.record(7, 0, 200)
    named.finish()
    resumed = begin(folder(), REQUESTED)
    assert (resumed.id, resumed.resumed) == (pending.id, True)
    assert resumed.started == {(7, 0): 100}
    assert begin_named(folder(), "mine", REQUESTED, 0).started == {(7, 0): 200}
    assert not former.exists()


def test_what_an_earlier_version_is_working_on_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(tmp_path))
    former = tmp_path / "journal"
    begin(former, ["else"]).close()
    with another_process(former, 1) as (first, _):
        assert begin(folder(), REQUESTED).id != first
        assert begin(folder(), ["else"]).resumed
        assert len([*former.iterdir()]) == 1
    ids = [begin(folder(), REQUESTED), begin(folder(), REQUESTED)]
    assert first in [invocation.id for invocation in ids]
    assert not former.exists()
