"""Upload large files to volumes in parts, resuming interrupted uploads.

The workspace gives a session, and for each part a presigned URL of the cloud's storage. The parts
that have arrived are cached for a day, so the same upload, started again, sends only the others.
The file is visible once it is complete.
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

from lakeflow.client.http_errors import ApiError, ReplyLost
from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError
from lakeflow.state import cache

MIN_BYTES = 50 * 1024 * 1024
"""The smallest file sent in parts (databricks-sdk, multipart_upload_min_stream_size)."""

PART_BYTES = 16 * 1024 * 1024
"""The size of a part: a file of 5 GiB has 320 of them, and storage takes 10,000."""

_CONCURRENCY = 4

_MAX_URLS = 3
"""How many presigned URLs are tried for a part: each expires after an hour."""


class _SessionExpired(Exception):
    """The workspace no longer knows the session."""


class _Stopped(Exception):
    """The upload stops, since another part failed or Ctrl-C was pressed."""


class NotAvailable(Exception):
    """The workspace has no multipart uploads, or its storage cannot be reached from here."""


def send(
    workspace: Workspace,
    path: str,
    source: Path,
    *,
    replace: bool,
    on_progress: Callable[[int], None],
) -> None:
    """Store a file on a volume.

    Raises NotAvailable before anything was sent, and LakeflowError if storage refuses a part or the
    file changes during the upload.
    """
    before = source.stat()
    key = (
        *("upload", workspace.host, path, str(source.resolve())),
        *(str(before.st_size), str(before.st_mtime_ns), str(replace)),
    )
    for attempt in range(2):
        upload = _Upload(workspace, path, source, before.st_size, key, on_progress)
        try:
            upload.start_or_resume(replace)
            upload.send_missing()
            _refuse_changed(source, before)
            upload.complete()
        except _SessionExpired:
            cache.invalidate(*key)
            if attempt:
                raise LakeflowError(
                    f"the upload session of {path} expired twice\nhint: run the command again"
                ) from None
        else:
            cache.invalidate(*key)
            return


def _refuse_changed(source: Path, before: os.stat_result) -> None:
    now = source.stat()
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise LakeflowError(f"{source} changed during the upload\nhint: run the command again")


class _Upload:
    """An upload session and the ETags of the parts that have arrived, by part number."""

    def __init__(
        self,
        workspace: Workspace,
        path: str,
        source: Path,
        size: int,
        key: tuple[str, ...],
        on_progress: Callable[[int], None],
    ) -> None:
        self._workspace = workspace
        self._path = path
        self._url = f"/api/2.0/fs/files{urllib.parse.quote(path)}"
        self._source = source
        self._size = size
        self._key = key
        self._on_progress = on_progress
        self._token = ""
        self._tags: dict[int, str] = {}
        self._sent: dict[int, int] = {}
        self._stopped = False
        self._lock = threading.Lock()

    def start_or_resume(self, replace: bool) -> None:
        """Resume the cached session, or start one."""
        cached = cache.get(*self._key)
        if cached is not None:
            self._token = str(cached["token"])
            self._tags = {int(number): str(tag) for number, tag in cached["tags"].items()}
            return
        query = f"?action=initiate-upload&overwrite={str(replace).lower()}"
        try:
            reply = self._workspace.post(f"{self._url}{query}", {}, repeatable=True)
        except ApiError as error:
            if error.exists:
                raise
            raise NotAvailable from error
        if "multipart_upload" not in reply:  # Google's resumable sessions
            raise NotAvailable
        self._token = str(reply["multipart_upload"]["session_token"])

    def send_missing(self) -> None:
        """Send the missing parts, several at a time."""
        numbers = range(1, -(-self._size // PART_BYTES) + 1)
        self._sent = {number: self._size_of(number) for number in self._tags}
        missing = [number for number in numbers if number not in self._tags]
        if len(missing) == len(numbers):
            self._send(missing.pop(0))  # shows whether storage can be reached
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            running = [pool.submit(self._send, number) for number in missing]
            try:
                for future in running:
                    future.result()
            except BaseException:
                self._stopped = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def complete(self) -> None:
        """Let the workspace assemble the parts."""
        parts = [{"part_number": n, "etag": tag} for n, tag in sorted(self._tags.items())]
        token = urllib.parse.quote(self._token, safe="")
        query = f"?action=complete-upload&upload_type=multipart&session_token={token}"
        try:
            self._workspace.post(f"{self._url}{query}", {"parts": parts}, repeatable=False)
        except ReplyLost:
            headers = self._workspace.head(self._url, "content-length")
            if headers.get("content-length") != str(self._size):
                raise
        except ApiError as error:
            if error.exists:
                raise
            raise _SessionExpired from error

    def _send(self, number: int) -> None:
        start, size = (number - 1) * PART_BYTES, self._size_of(number)
        for _ in range(_MAX_URLS):
            target = self._presigned_url(number)
            headers = {it["name"]: it["value"] for it in target.get("headers") or ()}
            with _Part(self._source, start, size, partial(self._progressed, number)) as content:
                tag = self._workspace.put_to_storage(str(target["url"]), headers, content)
            if tag is not None:
                self._record(number, tag)
                return
        if not self._tags:
            raise NotAvailable
        raise LakeflowError(
            f"storage refuses part {number} of {self._path}\nhint: run the command again to resume"
        )

    def _size_of(self, number: int) -> int:
        return min(PART_BYTES, self._size - (number - 1) * PART_BYTES)

    def _presigned_url(self, number: int) -> dict[str, Any]:
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
                raise _SessionExpired from error
            raise NotAvailable from error
        targets: list[dict[str, Any]] = reply["upload_part_urls"]
        if not targets:
            raise self._workspace.malformed(url, "it has no URL of a part")
        return targets[0]

    def _record(self, number: int, tag: str) -> None:
        with self._lock:
            self._tags[number] = tag
            cache.put(*self._key, value={"token": self._token, "tags": self._tags})

    def _progressed(self, number: int, done: int) -> None:
        with self._lock:
            if self._stopped:
                raise _Stopped
            self._sent[number] = done
            self._on_progress(sum(self._sent.values()))


class _Part(io.BufferedReader):
    """A part of a file as a request body that reports how far it has been read."""

    def __init__(
        self, path: Path, start: int, size: int, on_progress: Callable[[int], None]
    ) -> None:
        super().__init__(io.FileIO(path))
        self._start = start
        self._size = size
        self._on_progress = on_progress
        self.seek(0)

    def __len__(self) -> int:
        return self._size

    def tell(self) -> int:
        return super().tell() - self._start

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        assert whence == os.SEEK_SET
        return super().seek(self._start + offset) - self._start

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._size - self.tell()
        data = super().read(left if size is None or size < 0 else min(size, left))
        self._on_progress(self.tell())
        return data
