"""The way to speak to a workspace: databricks-sdk's client, with retries of our own.

The SDK repeats a request whose reply was lost, POSTs too, which makes two jobs out of one. So it
is told not to retry, and what may be repeated is decided here, call by call.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from lakeflow._version import __version__
from lakeflow.client import discovery, sdk
from lakeflow.client.configuration import REMEDY, choose
from lakeflow.client.http_errors import PATIENCE_SECONDS as PATIENCE_SECONDS
from lakeflow.client.http_errors import ApiError as ApiError
from lakeflow.client.http_errors import ReplyLost as ReplyLost
from lakeflow.client.http_errors import Transient, explained, no_workspace, unreachable
from lakeflow.errors import Refused, WorkspaceError
from lakeflow.state import cache
from lakeflow.state.invocations import digest

if TYPE_CHECKING:
    from databricks.sdk.clock import Clock
    from databricks.sdk.core import Config
    from databricks.sdk.errors.base import DatabricksError

T = TypeVar("T")

_log = logging.getLogger(__name__)

FIRST_PATIENCE_SECONDS = 2.0
"""How long a request is repeated before the workspace has answered at all."""

_SILENT_SECONDS = 3.0
"""How long a request is repeated before that is said."""

_PROMPT_SECONDS = 0.8
"""How soon a host answers that need not be asked whether it is there."""

_STORAGE_SECONDS = 60.0
"""How long the cloud's storage may be silent (databricks-sdk, inactivity_timeout_seconds)."""

_PIECE_BYTES = 1 << 20
"""How much of a file is held in memory while it is fetched."""


class Workspace:
    """A workspace that can be asked. Safe to use from several threads.

    Without `is_up` the first request has to find out whether the host answers at all. A
    `read_only` workspace refuses every request that could change something; `patience` is for how
    many seconds a request is repeated at most.
    """

    def __init__(
        self,
        config: Config,
        origin: str,
        notice: str | None = None,
        *,
        is_up: bool = True,
        read_only: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        from databricks.sdk.core import ApiClient

        self.host = str(config.host).rstrip("/")
        self.origin = origin
        self.notice = notice
        self._config = config
        self._client = ApiClient(config)
        self._answered = threading.Event()
        self._is_up = is_up
        self._read_only = read_only
        self._patience = patience
        self._looking = threading.Lock()
        self._said_until = 0.0

    @cached_property
    def me(self) -> str:
        """The user name of who asks, as it was answered to the same credential within a day."""
        facts = cache.recall(*self._credential) if self._credential else None
        return str(facts["userName"]) if facts else self.log_in()

    def log_in(self) -> str:
        """Ask the workspace who the credential is of (SCIM, Me); a user name."""
        found = str(self.member(self.get("/api/2.0/preview/scim/v2/Me"), "userName"))
        if self._credential:
            cache.remember(*self._credential, facts={"userName": found})
        return found

    @cached_property
    def _credential(self) -> tuple[str, ...]:
        """What stands for the credential in what is kept; nothing for a password."""
        bearer = str(self._config.authenticate().get("Authorization", ""))
        if not bearer.startswith("Bearer "):
            return ()
        return ("me", self.host, digest(bearer))

    def secret_values(self) -> tuple[str, ...]:
        """What this process logs in with: nobody is to see it."""
        config = self._config
        values = (getattr(config, a.name) for a in config.attributes() if a.sensitive)
        return tuple(str(value) for value in values if value)

    def get(self, path: str, /, **query: Any) -> dict[str, Any]:
        """The JSON of a GET; repeated while the workspace can't be reached or is overloaded."""
        return self._json("GET", path, True, query=query)

    def post(self, path: str, body: Mapping[str, Any], *, repeatable: bool) -> dict[str, Any]:
        """The JSON of a POST. `repeatable` says that doing it twice is doing it once.

        Raises ReplyLost where it is not, and nobody knows whether it took effect.
        """
        return self._json("POST", path, repeatable, body=dict(body))

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON of a PATCH, which may be repeated."""
        return self._json("PATCH", path, True, body=dict(body))

    def head(self, path: str, *headers: str) -> dict[str, str]:
        """Headers, in lower case, of the answer to a HEAD."""
        wanted = {"response_headers": list(headers)}
        return dict(self._patiently(True, lambda: self._do("HEAD", path, **wanted)))

    def size_of_file(self, path: str) -> int:
        """Bytes of a file in the Files API, which answers in a header."""
        return int(self.head(_files_path(path), "content-length")["content-length"])

    def put_file(self, path: str, content: BinaryIO, *, overwrite: bool) -> None:
        """Put a file of up to 5 GiB through the Files API."""

        def attempt() -> Any:
            content.seek(0)
            headers = {"Content-Type": "application/octet-stream"}
            query = {"overwrite": overwrite}
            return self._do("PUT", _files_path(path), query=query, headers=headers, data=content)

        self._patiently(True, attempt)

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents through the Files API."""
        quoted = urllib.parse.quote(path)
        self._patiently(True, lambda: self._do("PUT", f"/api/2.0/fs/directories{quoted}"))

    def import_file(self, path: str, content: BinaryIO, *, overwrite: bool) -> None:
        """Put a workspace file of up to 10 MB (Workspace API, import, as a multipart form)."""
        data = {"path": path, "format": "AUTO"} | ({"overwrite": "true"} if overwrite else {})

        def attempt() -> Any:
            content.seek(0)
            files = {"content": content}
            return self._do("POST", "/api/2.0/workspace/import", files=files, data=data)

        self._patiently(True, attempt)

    def read_file(self, path: str) -> bytes:
        """The bytes of a file, through the Files API."""
        return self._read(_files_path(path), {})

    def export_file(self, path: str) -> bytes:
        """The bytes of a workspace file (Workspace API, export)."""
        query = {"path": path, "direct_download": "true"}
        return self._read("/api/2.0/workspace/export", query)

    def pages(self, path: str, key: str, **query: Any) -> Iterator[dict[str, Any]]:
        """The items under `key` of every page of a list, fetched as they are used."""
        token: dict[str, str] = {}
        while True:
            page = self.get(path, **query, **token)
            yield from page.get(key) or ()
            if not page.get("next_page_token"):
                return
            token = {"page_token": page["next_page_token"]}

    def delete(self, path: str) -> None:
        """A DELETE, which may be repeated. `path` is quoted as a URL wants it."""
        self._patiently(True, lambda: self._do("DELETE", path))

    def put_workspace_file(self, path: str, content: BinaryIO, *, overwrite: bool) -> None:
        """Put a workspace file that `import_file` does not take (databricks/cli, import-file)."""

        def attempt() -> Any:
            content.seek(0)
            headers = {"Content-Type": "application/octet-stream"}
            query = {"overwrite": "true" if overwrite else "false"}
            url = f"/api/2.0/workspace-files/import-file{urllib.parse.quote(path)}"
            return self._do("POST", url, query=query, headers=headers, data=content)

        self._patiently(True, attempt)

    def put_elsewhere(self, url: str, headers: Mapping[str, str], content: BinaryIO) -> str | None:
        """PUT to an address that carries its own permission, of the cloud's storage; the ETag.

        None where that is refused: addresses end after a while, and firewalls stand before some
        storage. Repeated while it can't be reached or is overloaded.
        """
        import requests

        start = content.tell()

        def attempt() -> str | None:
            content.seek(start)
            try:
                reply = requests.put(  # auth: none from a .netrc
                    url,
                    data=content,
                    headers=dict(headers),
                    auth=lambda request: request,
                    timeout=_STORAGE_SECONDS,
                )
            except OSError as error:
                raise unreachable(self.host, self.origin, error) from error
            if reply.status_code == 429 or reply.status_code >= 500:
                text = f"storage answered {reply.status_code}"
                raise Transient(text, may_have_happened=True, answered=True)
            return reply.headers.get("ETag") if reply.ok else None

        return self._patiently(True, attempt)

    def append_to(
        self, target: BinaryIO, path: str, query: Mapping[str, str], told: Callable[[int], None]
    ) -> None:
        """Fetch what `target` does not have yet, and go on where a connection breaks.

        `told` is called with the number of bytes that `target` has after each piece.
        """

        def attempt() -> None:
            start = target.seek(0, os.SEEK_END)
            request: dict[str, Any] = {"query": dict(query), "raw": True}
            if start:
                request["headers"] = {"Range": f"bytes={start}-"}
                request["response_headers"] = ["content-range"]
            reply = self._do("GET", path, **request)
            with reply["contents"] as contents:
                if start and not reply.get("content-range"):  # it sends the whole once more
                    target.seek(0)
                    target.truncate()
                while True:
                    try:
                        piece = contents.read(_PIECE_BYTES)
                    except OSError as error:
                        raise unreachable(self.host, self.origin, error) from error
                    if not piece:
                        return
                    target.write(piece)
                    told(target.tell())

        self._patiently(True, attempt)

    def _read(self, path: str, query: Mapping[str, str]) -> bytes:
        def attempt() -> bytes:
            reply = self._do("GET", path, query=dict(query), raw=True)
            with reply["contents"] as contents:
                return bytes(contents.read())

        return self._patiently(True, attempt)

    def _json(self, method: str, path: str, repeatable: bool, **request: Any) -> dict[str, Any]:
        reply = self._patiently(repeatable, lambda: self._do(method, path, **request))
        if reply is not None and not isinstance(reply, dict):
            raise no_workspace(self.host, self.origin, f"it sent a {type(reply).__name__}")
        return reply or {}

    def member(self, reply: Mapping[str, Any], name: str) -> Any:
        """What a reply has to have. Raises WorkspaceError where it does not."""
        if name not in reply:
            raise no_workspace(self.host, self.origin, f"its answer has no {name!r}")
        return reply[name]

    def _patiently(self, repeatable: bool, attempt: Callable[[], T]) -> T:
        begun, pause = time.monotonic(), 0.5
        while True:
            try:
                reply = attempt() if self._is_up else self._first(attempt)
            except Transient as trouble:
                if trouble.may_have_happened and not repeatable:
                    raise ReplyLost(f"lost the reply of {self.host}: {trouble}") from trouble
                known = self._answered.is_set() or trouble.answered
                patience = trouble.patience if known else FIRST_PATIENCE_SECONDS
                patience = min(patience, self._patience)
                waited, next_pause = time.monotonic() - begun, max(pause, trouble.retry_after)
                if waited + next_pause > patience:
                    raise self._given_up(trouble, waited) from trouble
                if waited + next_pause >= _SILENT_SECONDS:
                    self._say_once(trouble, patience)
                time.sleep(next_pause)
                pause = min(2 * pause, 10.0)
            else:
                self._answered.set()
                if time.monotonic() - begun >= _SILENT_SECONDS:
                    self._said_until = 0.0
                return reply

    def _first(self, attempt: Callable[[], T]) -> T:
        """Attempt a request, and see whether the host is there where it does not answer soon."""
        answer: futures.Future[T] = futures.Future()

        def work() -> None:
            try:
                answer.set_result(attempt())
            except BaseException as error:
                answer.set_exception(error)

        # In a thread of its own, since nothing else ends the look-up of a name.
        threading.Thread(target=work, daemon=True).start()
        if not futures.wait([answer], _PROMPT_SECONDS).done:
            with self._looking:
                if not self._is_up:
                    discovery.check_reachable(self.host, self.origin)
                    self._is_up = True
        reply = answer.result()
        self._is_up = True
        return reply

    def _say_once(self, trouble: Transient, patience: float) -> None:
        """Say what is waited for, once for all that wait for it."""
        now = time.monotonic()
        if now < self._said_until:
            return
        self._said_until = now + patience
        most = f"{patience / 60:.0f} minutes" if patience >= 120 else f"{patience:.0f} s"
        _log.info(f"waiting for {self.host}, for {most} at most: {trouble}")

    def _given_up(self, trouble: Transient, waited: float) -> WorkspaceError:
        if trouble.answered:
            return WorkspaceError(
                f"the workspace {self.host} ({self.origin}) still answers with an error after "
                f"{waited:.0f} s: {trouble}"
            )
        return WorkspaceError(
            f"the workspace {self.host} ({self.origin}) does not answer: {trouble}. "
            "Check the address, the network and the proxy settings."
        )

    def _do(self, method: str, path: str, **request: Any) -> Any:
        """One request, once. Raises Transient, ApiError or WorkspaceError."""
        from databricks.sdk.errors.base import DatabricksError

        if self._read_only and method not in ("GET", "HEAD"):
            raise Refused(f"nothing is changed here: this is read-only, and {method} {path} is not")
        workspace_id = self._config.workspace_id
        if workspace_id:  # as the SDK's own services do, for hosts that serve several workspaces
            routed = {"X-Databricks-Workspace-Id": workspace_id}
            request["headers"] = routed | request.get("headers", {})
        _log.debug("%s %s", method, path)
        try:
            return self._client.do(method, path, **request)
        except DatabricksError as error:
            raise self._explained(error) from error
        except TimeoutError as error:  # the SDK gives up at once, as it was told to
            cause = error.__cause__
            if isinstance(cause, DatabricksError):
                raise self._explained(cause) from error
            raise unreachable(self.host, self.origin, cause or error) from error
        except json.JSONDecodeError as error:
            raise no_workspace(self.host, self.origin, "it sent no JSON") from error
        except OSError as error:  # requests' own errors, while a reply is read or a form is sent
            raise unreachable(self.host, self.origin, error) from error

    def _explained(self, error: DatabricksError) -> Exception:
        from databricks.sdk import errors

        if isinstance(error, (errors.Unauthenticated, errors.PermissionDenied)):
            cache.forget(*self._credential)  # perhaps it is somebody else's by now
        return explained(self.host, self.origin, error)


class _NoPauses(threading.local):
    """A clock on which every pause is over at once, so that the SDK leaves retries to us."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def time(self) -> float:
        return time.time() + self._skipped

    def sleep(self, seconds: float) -> None:
        self._skipped += 3600.0  # beyond the end of `retry_timeout_seconds`, whatever it asks for


def connect(
    *,
    local: bool = False,
    profile: str | None = None,
    read_only: bool = False,
    patience: float = PATIENCE_SECONDS,
) -> Workspace:
    """The workspace to work on, its host seen to answer.

    `read_only` and `patience` are those of `Workspace`.
    `local` and `profile` come first, then LAKEFLOW_WORKSPACE (`auto`, `local` or `databricks`).
    `auto` takes Databricks when something is configured and the local workspace when nothing is,
    but never when `CI` is set.

    Raises UsageError for settings that contradict each other and WorkspaceError for a
    configuration that is broken, or a host that does not answer within a few seconds.
    """
    choice = choose(os.environ, local=local, profile=profile)
    credential = digest(choice.settings.get("token") or os.environ.get("DATABRICKS_TOKEN") or "")
    document, is_up = None, True
    if choice.host is not None:
        document = discovery.recall(choice.host, credential)
        is_up = choice.is_up or document is None
        if document is None:
            document = discovery.ask(choice.host, credential, choice.origin)
    sdk.load()
    from databricks.sdk.core import with_product

    with_product("lakeflow", __version__)
    sdk_log = logging.getLogger("databricks.sdk")
    if sdk_log.level == logging.NOTSET:  # it warns where a workspace has no discovery document
        sdk_log.setLevel(logging.ERROR)
    try:
        config = _config(choice.settings, document)
    except ValueError as error:
        raise WorkspaceError(f"cannot log in with {choice.origin}: {error}") from error
    if not config.host:
        raise WorkspaceError(f"{choice.origin} names no host. {REMEDY}")
    return Workspace(
        config,
        choice.origin,
        choice.notice,
        is_up=is_up,
        read_only=read_only,
        patience=patience,
    )


def _config(settings: Mapping[str, Any], document: Mapping[str, Any] | None) -> Config:
    """The SDK's configuration, told what the host's discovery document says where that is known.

    With a token only the workspace's id is of use; other ways to log in are the SDK's own to find.
    """
    from databricks.sdk.core import Config

    Config.attributes()  # found once for the class, and not again for one that inherits from it

    class Told(Config):
        def _resolve_host_metadata(self) -> None:
            if document is None or not self.token or self.auth_type not in (None, "", "pat"):
                super()._resolve_host_metadata()
            elif not self.workspace_id and document.get("workspace_id"):
                self.workspace_id = document["workspace_id"]

    clock = cast("Clock", _NoPauses())
    return Told(**settings, retry_timeout_seconds=1, clock=clock)


def _files_path(path: str) -> str:
    return f"/api/2.0/fs/files{urllib.parse.quote(path)}"
