"""Large files to volumes in parts, gone on with where a copy was broken off.

The workspace gives a session, and for each part an address that carries its own permission: those
of the cloud's storage. Which parts have arrived is remembered for a day, so the same copy, started
again, sends the others. The file shows when all of it is there.
Source: databricks-sdk, databricks/sdk/mixins/files.py.
"""

from __future__ import annotations

import io
import os
import threading
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from lakeflow.client.workspace import ApiError, ReplyLost, Workspace
from lakeflow.errors import LakeflowError
from lakeflow.state import cache

FROM_BYTES = 50 * 1024 * 1024
"""The smallest file that is sent in parts (databricks-sdk, multipart_upload_min_stream_size)."""

PART_BYTES = 16 * 1024 * 1024
"""Bytes of a part; a file of 5 GiB has 320, and storage takes 10,000."""

_AT_ONCE = 4
_ADDRESSES = 3
"""Addresses that are asked for one part before it is given up: they end after an hour."""


class _Gone(Exception):
    """The workspace does not know a session any more."""


class _Stopped(Exception):
    """The upload is given up, since another part failed or Ctrl-C was pressed."""


class NotOffered(Exception):
    """Parts cannot be sent here: the workspace does not offer it, or its storage is walled off."""


def send(
    workspace: Workspace, path: str, source: Path, *, replace: bool, told: Callable[[int], None]
) -> None:
    """Store a file on a volume. `told` is called with the bytes that are there so far.

    Raises NotOffered before anything was sent, and LakeflowError where storage refuses a part or
    the file was changed meanwhile.
    """
    before = source.stat()
    key = (
        *("upload", workspace.host, path, str(source.resolve())),
        *(str(before.st_size), str(before.st_mtime_ns), str(replace)),
    )
    for attempt in range(2):
        upload = _Upload(workspace, path, source, before.st_size, key, told)
        try:
            upload.begin(replace)
            upload.send_missing()
            _refuse_changed(source, before)
            upload.complete()
        except _Gone:
            cache.forget(*key)
            if attempt:
                raise LakeflowError(
                    f"{workspace.host} has forgotten the upload of {path}: run the command again"
                ) from None
        else:
            cache.forget(*key)
            return


def _refuse_changed(source: Path, before: os.stat_result) -> None:
    now = source.stat()
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise LakeflowError(f"{source} was changed while it was copied: run the command again")


class _Upload:
    """A session of the workspace, and the parts that have arrived in it, by their numbers."""

    def __init__(
        self,
        workspace: Workspace,
        path: str,
        source: Path,
        size: int,
        key: tuple[str, ...],
        told: Callable[[int], None],
    ) -> None:
        self._workspace = workspace
        self._path = path
        self._url = f"/api/2.0/fs/files{urllib.parse.quote(path)}"
        self._source = source
        self._size = size
        self._key = key
        self._told = told
        self._token = ""
        self._tags: dict[int, str] = {}
        self._done: dict[int, int] = {}
        self._stopped = False
        self._lock = threading.Lock()

    def begin(self, replace: bool) -> None:
        """Go on with the session that is known, or get one."""
        kept = cache.recall(*self._key)
        if kept is not None:
            self._token = str(kept["token"])
            self._tags = {int(number): str(tag) for number, tag in kept["tags"].items()}
            return
        query = f"?action=initiate-upload&overwrite={str(replace).lower()}"
        try:
            reply = self._workspace.post(f"{self._url}{query}", {}, repeatable=True)
        except ApiError as error:
            if error.exists:
                raise
            raise NotOffered from error
        if "multipart_upload" not in reply:  # Google's resumable sessions
            raise NotOffered
        self._token = str(reply["multipart_upload"]["session_token"])

    def send_missing(self) -> None:
        """Send the parts that are not there, several at a time."""
        numbers = range(1, -(-self._size // PART_BYTES) + 1)
        self._done = {number: self._size_of(number) for number in self._tags}
        missing = [number for number in numbers if number not in self._tags]
        if len(missing) == len(numbers):
            self._send(missing.pop(0))  # the first one shows whether storage can be reached
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            running = [pool.submit(self._send, number) for number in missing]
            try:
                for future in running:
                    future.result()
            except BaseException:
                self._stopped = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def complete(self) -> None:
        """Have the parts put together."""
        parts = [{"part_number": n, "etag": tag} for n, tag in sorted(self._tags.items())]
        token = urllib.parse.quote(self._token, safe="")
        query = f"?action=complete-upload&upload_type=multipart&session_token={token}"
        try:
            self._workspace.post(f"{self._url}{query}", {"parts": parts}, repeatable=False)
        except ReplyLost:
            if self._workspace.size_of_file(self._path) != self._size:
                raise
        except ApiError as error:
            if error.exists:
                raise
            raise _Gone from error

    def _send(self, number: int) -> None:
        start, size = (number - 1) * PART_BYTES, self._size_of(number)
        for _ in range(_ADDRESSES):
            address = self._address(number)
            headers = {it["name"]: it["value"] for it in address.get("headers") or ()}
            with _Part(self._source, start, size, partial(self._read, number)) as content:
                tag = self._workspace.put_elsewhere(str(address["url"]), headers, content)
            if tag is not None:
                self._arrived(number, tag)
                return
        if not self._tags:
            raise NotOffered
        raise LakeflowError(
            f"storage refuses part {number} of {self._path}. Run the command again to go on."
        )

    def _size_of(self, number: int) -> int:
        return min(PART_BYTES, self._size - (number - 1) * PART_BYTES)

    def _address(self, number: int) -> dict[str, Any]:
        until = datetime.now(timezone.utc) + timedelta(hours=1)
        body = {
            "path": self._path,
            "session_token": self._token,
            "start_part_number": number,
            "count": 1,
            "expire_time": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        url = "/api/2.0/fs/create-upload-part-urls"
        try:
            reply = self._workspace.post(url, body, repeatable=True)
        except ApiError as error:
            if self._tags:
                raise _Gone from error
            raise NotOffered from error
        address: dict[str, Any] = reply["upload_part_urls"][0]
        return address

    def _arrived(self, number: int, tag: str) -> None:
        with self._lock:
            self._tags[number] = tag
            cache.remember(*self._key, facts={"token": self._token, "tags": self._tags})

    def _read(self, number: int, done: int) -> None:
        with self._lock:
            if self._stopped:
                raise _Stopped
            self._done[number] = done
            self._told(sum(self._done.values()))


class _Part(io.BufferedReader):
    """A piece of a file, as the body of a request: a file of its own that tells how far it is."""

    def __init__(self, path: Path, start: int, size: int, told: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._start = start
        self._size = size
        self._told = told
        self.seek(0)

    def __len__(self) -> int:
        return self._size

    def tell(self) -> int:
        return super().tell() - self._start

    def seek(self, place: int, whence: int = os.SEEK_SET, /) -> int:
        assert whence == os.SEEK_SET
        return super().seek(self._start + place) - self._start

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._size - self.tell()
        data = super().read(left if size is None or size < 0 else min(size, left))
        self._told(self.tell())
        return data
