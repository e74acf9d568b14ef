"""Pending invocations: a command that is killed and typed again starts no run twice.

A command that starts runs first writes an invocation with a random id to a file. The idempotency
token of each of its triggers is derived from that id, so a command that was killed and is typed
again finds its invocation, sends the same tokens, and Databricks returns the runs that exist. A
finished invocation is removed: the same command then starts new runs. An invocation that its caller
named is kept: requested again by that name, it returns the runs it has started.

Whoever works on an invocation holds an exclusive `flock` on its file. The kernel releases it when
the process dies, however it dies, so a lock that can be taken means that nobody works on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakeflow.errors import LakeflowError, Refused
from lakeflow.state import atomic
from lakeflow.state.hashing import digest
from lakeflow.state.paths import make_private, state_dir

KEPT_SECONDS = 60 * 24 * 3600
"""Databricks keeps runs for 60 days (Jobs API, runs/list): an older invocation has none left."""

SCHEMA = 1
"""The schema of the files that this version reads and writes."""

TOKEN_LENGTH = 64
"""The longest idempotency token that run-now accepts (Jobs API, run-now)."""

_LOCK_POLL_SECONDS = 0.05
"""Between two attempts to lock a named invocation that another process works on."""


@dataclass
class Invocation:
    """One command that starts runs, locked by the process that works on it.

    `began_at` is Unix seconds. `started` maps (job id, ordinal) to the run id.
    """

    id: str
    began_at: float
    path: Path
    resumed: bool
    _file: int
    started: dict[tuple[int, int], int] = field(default_factory=dict)
    named: bool = False

    def token(self, host: str, job_id: int, ordinal: int) -> str:
        """Return the idempotency token of one trigger: 64 hexadecimal digits."""
        return digest([host, job_id, self.id, ordinal])[:TOKEN_LENGTH]

    def record(self, job_id: int, ordinal: int, run_id: int) -> None:
        """Record a run that was started. Raises Refused if the file cannot be written."""
        self.started[job_id, ordinal] = run_id
        line = {"job_id": job_id, "ordinal": ordinal, "run_id": run_id}
        with _writable(self.path):
            _append(self._file, line)

    def finish(self) -> None:
        """Mark the command as done: typed again it is a new invocation."""
        held = _held.get()
        if held is not None:
            held.append(self)
            return
        if not self.named:
            # Unlinked before the lock is released, so that whoever waits for the lock then sees
            # that the file has no name any more (see `_open_pending`).
            self.path.unlink(missing_ok=True)
        self.close()

    def withdraw(self) -> None:
        """Free the name of an invocation for which nothing was done."""
        # Truncated, not unlinked: whoever waits for the lock has this file open already, and a
        # third caller would create and lock another file of the same name beside it.
        os.ftruncate(self._file, 0)
        self.close()

    def close(self) -> None:
        """Release the lock; an invocation that is not finished can then be resumed."""
        if any(self is held for held in _held.get() or ()):
            return
        # Taken from the field first: a second Ctrl-C between the two lines must not let the next
        # call close a descriptor that is no longer ours.
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


_held: ContextVar[list[Invocation] | None] = ContextVar("held", default=None)


@contextlib.contextmanager
def finished_afterwards() -> Iterator[None]:
    """Keep the invocations that finish inside the block pending until its end.

    If it raises anything but a LakeflowError, such as an OSError of printing the ids of the runs,
    they stay pending, and the same command returns the runs that exist.
    """
    held: list[Invocation] = []
    reset = _held.set(held)
    done = False
    try:
        yield
        done = True
    except LakeflowError:
        done = True
        raise
    finally:
        _held.reset(reset)
        for invocation in held:
            if done:
                invocation.finish()
            else:
                invocation.close()


def folder() -> Path:
    """Return the folder of pending invocations, with those of earlier versions moved into it."""
    path = state_dir() / "invocations"
    former = path.with_name("journal")
    if former.is_dir():
        with _writable(path):
            make_private(path)
            for file in former.glob("*.jsonl"):
                _take_over(file, path / file.name)
            with contextlib.suppress(OSError):  # a process of an earlier version works in it
                former.rmdir()
    return path


def begin(folder: Path, request: object) -> Invocation:
    """Return the pending invocation of a request, or a new one.

    `request` is a JSON value; only its digest is kept. An invocation that a living process works on
    is not returned: the same command in a second terminal gets a new one.
    Raises Refused if the folder cannot be written.
    """
    key = digest(request)[:32]
    with _writable(folder):
        make_private(folder)
        atomic.remove_older(folder, time.time() - KEPT_SECONDS)
        for path in sorted(folder.glob(f"{key}.*.jsonl")):
            invocation = _open_pending(path)
            if invocation is not None:
                return invocation
        return _create(folder, key)


def begin_named(folder: Path, name: object, request: object, patience: float) -> Invocation:
    """Return the invocation with this name, whether it is new, pending or finished.

    `name` and `request` are JSON values of which only digests are kept. An invocation that is being
    worked on, in this process or another, is waited for, up to `patience` seconds.
    Raises Refused if the name was used for another request, if the wait was too long, and if the
    folder cannot be written.
    """
    path, requested = folder / f"named-{digest(name)[:32]}.jsonl", digest(request)
    with _writable(folder):
        make_private(folder)
        atomic.remove_older(folder, time.time() - KEPT_SECONDS)
        # Opened before it is locked, and never unlinked except by age: all callers with this name
        # lock the same file, so that exactly one of them writes its first line.
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _lock(file, patience)
            lines = _read_lines(path, file)
            if not lines:  # new, withdrawn, or its process was killed before the first line
                lines = [{"id": secrets.token_hex(16), "begun": time.time(), "asked": requested}]
                _append(file, {"schema": SCHEMA, **lines[0]})
                _sync_folder(folder)
            elif lines[0]["asked"] != requested:
                raise Refused(
                    "this request id was used before for another request. Use a new id for a new "
                    "request; repeat a request only unchanged."
                )
            return _read(path, file, lines, resumed=len(lines) > 1, named=True)
        except BaseException:
            os.close(file)
            raise


def _lock(file: int, patience: float) -> None:
    # Polled, since a blocking flock has no timeout, and an alarm would need the main thread.
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise Refused(
                    "an earlier call with this request id is still running. Send the same request "
                    "again later: nothing is done twice."
                ) from None
            time.sleep(_LOCK_POLL_SECONDS)


def _create(folder: Path, key: str) -> Invocation:
    identity, began_at = secrets.token_hex(16), time.time()
    draft, path = folder / f".{identity}", folder / f"{key}.{identity}.jsonl"
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        # Locked before it gets the name under which others look for it: no second process can
        # take a new invocation for one whose process was killed.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _append(file, {"schema": SCHEMA, "id": identity, "begun": began_at})
        draft.rename(path)
        _sync_folder(folder)
    except BaseException:
        os.close(file)
        draft.unlink(missing_ok=True)
        raise
    return Invocation(identity, began_at, path, resumed=False, _file=file)


def _open_pending(path: Path) -> Invocation | None:
    """Lock and read an invocation; None if it is being worked on or was finished."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    if os.fstat(file).st_nlink == 0:  # finished between `open` and `flock`
        os.close(file)
        return None
    try:
        return _read(path, file, _read_lines(path, file), resumed=True)
    except BaseException:
        os.close(file)
        raise


def _take_over(file: Path, target: Path) -> None:
    """Move an invocation that an earlier version left, unless its process is still running."""
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        handle = os.open(file, os.O_RDWR)
        try:
            # A process that is running finishes its invocation under the old name.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not target.exists():
                file.rename(target)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)


def _read(
    path: Path, file: int, lines: Sequence[Mapping[str, Any]], *, resumed: bool, named: bool = False
) -> Invocation:
    header, *triggered = lines
    return Invocation(
        id=str(header["id"]),
        began_at=float(header["begun"]),
        path=path,
        resumed=resumed,
        _file=file,
        started={(int(n["job_id"]), int(n["ordinal"])): int(n["run_id"]) for n in triggered},
        named=named,
    )


def _read_lines(path: Path, file: int) -> list[dict[str, Any]]:
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    lines = [json.loads(line) for line in whole.splitlines()]
    if lines and lines[0]["schema"] != SCHEMA:
        raise Refused(
            f"another version of lakeflow ran the same command and did not finish: {path} has "
            f"schema {lines[0]['schema']}, this version reads schema {SCHEMA}. Type the command "
            "again with that version; or remove that file, and its runs are started again."
        )
    if whole != content:  # the process was killed while it wrote the last line
        os.ftruncate(file, len(whole))
    return lines


def _append(file: int, line: object) -> None:
    os.write(file, (json.dumps(line) + "\n").encode())
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    """Have the file's name survive a power cut, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(
            f"cannot write {path}: {error.strerror or error}. The pending invocations there make "
            "sure that no run is started twice. Free some space, or set LAKEFLOW_STATE_DIR to a "
            "folder that can be written."
        ) from error
