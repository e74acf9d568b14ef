"""Invocations that have begun and are not finished: exactly one trigger for each thing asked.

A command that starts runs first keeps a random id here. The idempotency token of each of its
triggers is derived from that id, so a command that was killed and is typed again finds its
invocation, triggers with the same tokens, and Databricks answers with the runs that are there.
An invocation that has ended is forgotten: the same command then means new runs. One that its caller
gave a name is kept: asked again by that name, it answers with the runs that it started.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakeflow.errors import Refused

KEPT_SECONDS = 60 * 24 * 3600
"""Databricks keeps runs for 60 days (Jobs API, runs/list): an older invocation has none left."""

SCHEMA = 1
"""Which files of the journal this version reads and writes."""

TOKEN_LENGTH = 64
"""The longest idempotency token that run-now accepts (Jobs API, run-now)."""

_LOCK_SECONDS = 0.05
"""Between two looks at a named invocation that somebody else works on."""


@dataclass
class Invocation:
    """One command that starts runs, locked by the process that works on it.

    `started` maps (job id, ordinal) to the run id that the trigger returned.
    """

    id: str
    begun: float
    path: Path
    resumed: bool
    _file: int
    started: dict[tuple[int, int], int] = field(default_factory=dict)
    named: bool = False

    def token(self, host: str, job_id: int, ordinal: int) -> str:
        """The idempotency token of one trigger: 64 hexadecimal digits."""
        return digest([host, job_id, self.id, ordinal])[:TOKEN_LENGTH]

    def record(self, job_id: int, ordinal: int, run_id: int) -> None:
        """Keep what a trigger returned. Raises Refused where the journal can't be written."""
        self.started[job_id, ordinal] = run_id
        line = {"job_id": job_id, "ordinal": ordinal, "run_id": run_id}
        with _writable(self.path):
            _append(self._file, line)

    def finish(self) -> None:
        """Everything asked was done: the same command typed again is a new invocation."""
        if not self.named:
            self.path.unlink(missing_ok=True)
        self.close()

    def withdraw(self) -> None:
        """Nothing was done for a named invocation: its name may stand for something else.

        The file stays, since who waits for it has it open.
        """
        os.ftruncate(self._file, 0)
        self.close()

    def close(self) -> None:
        """Let go of the invocation; unless it is finished, the next one who asks resumes it."""
        file, self._file = self._file, -1  # first: a second Ctrl-C comes in between
        if file >= 0:
            os.close(file)


def digest(what: object) -> str:
    """SHA-256 of a JSON value, as 64 hexadecimal digits."""
    text = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def begin(folder: Path, asked: object) -> Invocation:
    """The unfinished invocation of what is asked, or a new one where there is none.

    `asked` is a JSON value; only its digest is kept. An invocation that a living process holds is
    that process' own: a second terminal gets a new one.
    Raises Refused where the journal can't be written.
    """
    key = digest(asked)[:32]
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _forget_old(folder)
        for path in sorted(folder.glob(f"{key}.*.jsonl")):
            invocation = _take(path)
            if invocation is not None:
                return invocation
        return _create(folder, key)


def begin_named(folder: Path, name: object, asked: object, patience: float) -> Invocation:
    """The invocation that its caller has given a name, whether it is new, unfinished or finished.

    `name` and `asked` are JSON values of which only digests are kept. Who else works on it, in this
    process or another, is waited for, `patience` seconds at most.
    Raises Refused where the name was given to something else, where the wait was too long, and
    where the journal can't be written.
    """
    path, wanted = folder / f"named-{digest(name)[:32]}.jsonl", digest(asked)
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _forget_old(folder)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _lock(file, patience)
            lines = _lines(path, file)
            if not lines:  # new, or its maker was killed at once
                lines = [{"id": secrets.token_hex(16), "begun": time.time(), "asked": wanted}]
                _append(file, {"schema": SCHEMA, **lines[0]})
                _sync_folder(folder)
            elif lines[0]["asked"] != wanted:
                raise Refused(
                    "this request id was used before, for something else. A new request needs a "
                    "new one; a request that is sent again has to be the same."
                )
            return _read(path, file, lines, resumed=len(lines) > 1, named=True)
        except BaseException:
            os.close(file)
            raise


def _lock(file: int, patience: float) -> None:
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise Refused(
                    "an earlier call with this request id is still at work. Send the same once "
                    "more in a while: nothing is done twice."
                ) from None
            time.sleep(_LOCK_SECONDS)


def _create(folder: Path, key: str) -> Invocation:
    identity, begun = secrets.token_hex(16), time.time()
    hidden, path = folder / f".{identity}", folder / f"{key}.{identity}.jsonl"
    file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _append(file, {"schema": SCHEMA, "id": identity, "begun": begun})
        hidden.rename(path)
        _sync_folder(folder)
    except BaseException:
        os.close(file)
        hidden.unlink(missing_ok=True)
        raise
    return Invocation(identity, begun, path, resumed=False, _file=file)


def _take(path: Path) -> Invocation | None:
    """The invocation, where no living process holds it and it was not finished meanwhile."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    if os.fstat(file).st_nlink == 0:
        os.close(file)
        return None
    try:
        return _read(path, file, _lines(path, file), resumed=True)
    except BaseException:
        os.close(file)
        raise


def _read(
    path: Path, file: int, lines: Sequence[Mapping[str, Any]], *, resumed: bool, named: bool = False
) -> Invocation:
    header, *triggered = lines
    return Invocation(
        id=str(header["id"]),
        begun=float(header["begun"]),
        path=path,
        resumed=resumed,
        _file=file,
        started={(int(n["job_id"]), int(n["ordinal"])): int(n["run_id"]) for n in triggered},
        named=named,
    )


def _lines(path: Path, file: int) -> list[dict[str, Any]]:
    kept = path.read_bytes()
    whole = kept[: kept.rfind(b"\n") + 1]
    lines = [json.loads(line) for line in whole.splitlines()]
    if lines and lines[0]["schema"] != SCHEMA:
        raise Refused(
            f"another version of lakeflow was at work on the same and did not finish ({path} has "
            f"schema {lines[0]['schema']}, this version knows {SCHEMA}). Type the command again "
            "with that version; or remove that file, and what it has started is started again."
        )
    if whole != kept:  # the last line was being written when its process was killed
        os.ftruncate(file, len(whole))
    return lines


def _append(file: int, line: object) -> None:
    os.write(file, (json.dumps(line) + "\n").encode())
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forget_old(folder: Path) -> None:
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                path.unlink()


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(
            f"cannot write the journal {path}: {error.strerror or error}. It makes sure that no "
            "run is started twice. Make room, or set LAKEFLOW_STATE_DIR to a folder that can be "
            "written."
        ) from error
