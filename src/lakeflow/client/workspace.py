"""Send requests to a workspace: JSON, pages of lists, and streams.

databricks-sdk authenticates and sends them. What is repeated after a failure is decided here
(`retry`), since the SDK also repeats POSTs whose reply was lost.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from lakeflow.client import discovery, http_errors, replies
from lakeflow.client.redirects import RedirectRefused, on_reply
from lakeflow.client.retry import Attempts, Failure, RetryPolicy, TemporaryError, is_repeatable
from lakeflow.errors import Refused, WorkspaceError
from lakeflow.state import cache
from lakeflow.state.hashing import digest

if TYPE_CHECKING:
    from databricks.sdk.core import Config
    from databricks.sdk.errors.base import DatabricksError
    from requests import PreparedRequest

T = TypeVar("T")

_log = logging.getLogger(__name__)

_NOTICE_SECONDS = 3.0
"""For how long a request is repeated before a notice says so."""

_PROMPT_SECONDS = 0.8
"""A host that replies within this time is not probed."""

_STORAGE_SECONDS = 60.0
"""How long cloud storage may be silent (databricks-sdk, inactivity_timeout_seconds)."""

_PIECE_BYTES = 1 << 20
"""How much of a file is in memory while it is downloaded."""


class Workspace:
    """A client of one workspace. Safe to use from several threads.

    `origin` says where host and credential come from, `notice` what users should know about it.
    If not `is_reachable`, the first request finds out whether the host replies. A `read_only`
    workspace refuses requests that could change something.
    """

    def __init__(
        self,
        config: Config,
        origin: str,
        notice: str | None = None,
        *,
        is_reachable: bool = True,
        read_only: bool = False,
        retries: RetryPolicy | None = None,
    ) -> None:
        from databricks.sdk.core import ApiClient

        self.host = str(config.host).rstrip("/")
        self.origin = origin
        self.notice = notice
        self._config = config
        self._client = ApiClient(config)
        self._retries = retries or RetryPolicy()
        self._read_only = read_only
        self._has_replied = threading.Event()
        self._is_reachable = is_reachable
        self._probing = threading.Lock()
        self._noticed_until = 0.0

    @cached_property
    def me(self) -> str:
        """The user name of the credential, cached for a day."""
        cached = cache.get(*self._credential) if self._credential else None
        return str(cached["userName"]) if cached else self.log_in()

    def log_in(self) -> str:
        """Request the user name of the credential (SCIM, Me)."""
        name = str(self.member(self.get("/api/2.0/preview/scim/v2/Me"), "userName"))
        if self._credential:
            cache.put(*self._credential, value={"userName": name})
        return name

    def secret_values(self) -> tuple[str, ...]:
        """Return the secrets that this process logs in with, so that they can be redacted."""
        config = self._config
        values = (getattr(config, a.name) for a in config.attributes() if a.sensitive)
        return tuple(str(value) for value in values if value)

    def get(self, path: str, /, **query: Any) -> dict[str, Any]:
        """Send a GET and return the JSON reply."""
        return self._json("GET", path, query=query)

    def post(
        self, path: str, body: Mapping[str, Any], *, repeatable: bool = False
    ) -> dict[str, Any]:
        """Send a POST and return the JSON reply.

        `repeatable` says that doing it twice has the same effect as doing it once; a body with an
        `idempotency_token` needs it not. Raises ReplyLost if a request that is not repeatable may
        or may not have taken effect.
        """
        return self._json("POST", path, repeatable=repeatable, body=dict(body))

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a PATCH and return the JSON reply."""
        return self._json("PATCH", path, body=dict(body))

    def delete(self, path: str) -> None:
        """Send a DELETE to a path that is quoted for a URL."""
        self._send("DELETE", path)

    def head(self, path: str, *headers: str) -> dict[str, str | None]:
        """Send a HEAD and return these headers, named in lower case; None for absent ones."""
        return dict(self._send("HEAD", path, response_headers=list(headers)))

    def pages(self, path: str, key: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the items under `key` of all pages of a list, requesting pages as needed."""
        for page in self.whole_pages(path, **query):
            yield from page.get(key) or ()

    def whole_pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield all pages of a reply. Raises MalformedReply for a page that was there before."""
        token: dict[str, str] = {}
        seen = set()
        while True:
            page = self.get(path, **query, **token)
            yield page
            following = page.get("next_page_token")
            if not following:
                return
            if following in seen:
                raise replies.MalformedReply(self._source("GET", path), "its pages never end")
            seen.add(following)
            token = {"page_token": following}

    def put(self, path: str, content: BinaryIO | None = None, /, **query: Any) -> None:
        """Send a PUT, with a stream as its body if there is one."""
        if content is None:
            self._send("PUT", path)
        else:
            self._send_stream("PUT", path, content, query)

    def post_stream(self, path: str, content: BinaryIO, /, **query: Any) -> None:
        """Send a stream as the body of a POST that stores it, and so can be repeated."""
        self._send_stream("POST", path, content, query)

    def post_form(self, path: str, fields: Mapping[str, str], content: BinaryIO) -> None:
        """Send a form with a file as a POST that stores it, and so can be repeated."""

        def attempt() -> None:
            content.seek(0)
            self._do("POST", path, files={"content": content}, data=dict(fields))

        self._with_retries(attempt, repeatable=True)

    def put_to_storage(self, url: str, headers: Mapping[str, str], content: BinaryIO) -> str | None:
        """Send a PUT to a presigned URL of cloud storage and return the ETag.

        Empty where storage sends none, as Azure's Put Block does. None if storage refuses:
        presigned URLs expire, and some storage is behind a firewall.
        """
        import requests

        start = content.tell()

        def attempt() -> str | None:
            content.seek(start)
            try:
                reply = requests.put(
                    url,
                    data=content,
                    headers=dict(headers),
                    auth=lambda request: request,  # none: requests would look into .netrc
                    timeout=_STORAGE_SECONDS,
                    allow_redirects=False,
                )
            except OSError as error:
                raise self._no_reply(error) from error
            if reply.status_code == 429 or reply.status_code >= 500:
                raise TemporaryError(f"storage replied {reply.status_code}", Failure.UNAVAILABLE)
            return str(reply.headers.get("ETag", "")) if reply.status_code < 300 else None

        return self._with_retries(attempt, repeatable=True)

    def read(self, path: str, /, **query: str) -> bytes:
        """Send a GET and return the bytes of the reply."""

        def attempt() -> bytes:
            reply = self._do("GET", path, query=query, raw=True)
            with reply["contents"] as contents:
                return bytes(contents.read())

        return self._with_retries(attempt, repeatable=True)

    def download(
        self, path: str, target: BinaryIO, /, *, on_progress: Callable[[int], None], **query: str
    ) -> None:
        """Append to `target` what it does not have yet, resuming after broken connections.

        Calls `on_progress` with the number of bytes that `target` has after each piece.
        """

        def attempt() -> None:
            start = target.seek(0, os.SEEK_END)
            request: dict[str, Any] = {"query": query, "raw": True}
            if start:
                request["headers"] = {"Range": f"bytes={start}-"}
                request["response_headers"] = ["content-range"]
            reply = self._do("GET", path, **request)
            with reply["contents"] as contents:
                if start and not reply.get("content-range"):  # it ignores Range and sends all
                    target.seek(0)
                    target.truncate()
                while piece := self._read_piece(contents):
                    target.write(piece)
                    on_progress(target.tell())

        self._with_retries(attempt, repeatable=True)

    def member(self, reply: Mapping[str, Any], name: str) -> Any:
        """Return a member that a reply must have. Raises WorkspaceError if it does not."""
        if reply.get(name) is None:
            raise self._not_a_workspace(f"its reply has no {name!r}")
        return reply[name]

    def malformed(self, path: str, problem: str) -> WorkspaceError:
        """Return the error for a reply to a GET that cannot be used."""
        return replies.MalformedReply(self._source("GET", path), problem)

    @cached_property
    def _credential(self) -> tuple[str, ...]:
        """The cache key of the credential; empty if it is not a bearer token."""
        try:
            bearer = str(self._config.authenticate().get("Authorization", ""))
        except ValueError as error:
            raise self._no_token(error) from error
        if not bearer.startswith("Bearer "):
            return ()
        return ("me", self.host, digest(bearer))

    def _json(
        self, method: str, path: str, *, repeatable: bool = False, **request: Any
    ) -> dict[str, Any]:
        reply = self._send(method, path, repeatable=repeatable, **request)
        if reply is not None and not isinstance(reply, dict):
            raise self._not_a_workspace(f"it sent a {type(reply).__name__}")
        return replies.check(reply or {}, self._source(method, path), path)

    def _send(self, method: str, path: str, *, repeatable: bool = False, **request: Any) -> Any:
        repeatable = repeatable or is_repeatable(method, request.get("body"))
        return self._with_retries(lambda: self._do(method, path, **request), repeatable=repeatable)

    def _send_stream(
        self, method: str, path: str, content: BinaryIO, query: Mapping[str, Any]
    ) -> None:
        def attempt() -> None:
            content.seek(0)
            headers = {"Content-Type": "application/octet-stream"}
            self._do(method, path, query=dict(query), headers=headers, data=content)

        self._with_retries(attempt, repeatable=True)

    def _read_piece(self, contents: BinaryIO) -> bytes:
        try:
            return contents.read(_PIECE_BYTES)
        except OSError as error:
            raise self._no_reply(error) from error

    def _with_retries(self, attempt: Callable[[], T], *, repeatable: bool) -> T:
        attempts = Attempts(self._retries, repeatable)
        while True:
            try:
                reply = attempt() if self._is_reachable else self._first_contact(attempt)
            except TemporaryError as error:
                if not attempts.may_repeat(error.failure):
                    raise http_errors.reply_lost(self.host, error) from error
                has_replied = self._has_replied.is_set()
                pause = attempts.next_pause(error, host_replied=has_replied)
                if pause is None:
                    raise http_errors.gave_up(
                        self.host, self.origin, error, attempts.waited
                    ) from error
                if attempts.waited + pause >= _NOTICE_SECONDS:
                    self._notice_once(
                        error, self._retries.limit(error.failure, host_replied=has_replied)
                    )
                time.sleep(pause)
            else:
                self._has_replied.set()
                if attempts.waited >= _NOTICE_SECONDS:
                    self._noticed_until = 0.0
                return reply

    def _first_contact(self, attempt: Callable[[], T]) -> T:
        """Attempt a request, and probe the host if it does not reply promptly."""
        future: futures.Future[T] = futures.Future()

        def work() -> None:
            try:
                future.set_result(attempt())
            except BaseException as error:
                future.set_exception(error)

        # In a separate thread, since nothing else can give up a name lookup.
        threading.Thread(target=work, daemon=True).start()
        if not futures.wait([future], _PROMPT_SECONDS).done:
            with self._probing:
                if not self._is_reachable:
                    discovery.check_reachable(self.host, self.origin)
                    self._is_reachable = True
        reply = future.result()
        self._is_reachable = True
        return reply

    def _notice_once(self, error: TemporaryError, limit: float) -> None:
        """Log what requests wait for, once for all threads that wait."""
        now = time.monotonic()
        if now < self._noticed_until:
            return
        self._noticed_until = now + limit
        longest = f"{limit / 60:.0f} minutes" if limit >= 120 else f"{limit:.0f} s"
        _log.info(f"waiting for {self.host}, for {longest} at most: {error}")

    def _do(self, method: str, path: str, **request: Any) -> Any:
        """Send a request once. Raises TemporaryError, ApiError or WorkspaceError."""
        from databricks.sdk.errors.base import DatabricksError

        if self._read_only and method not in ("GET", "HEAD"):
            raise Refused(f"{method} {path} is not allowed: this connection is read-only")
        workspace_id = self._config.workspace_id
        if workspace_id:  # as the SDK's own services do, for hosts that serve several workspaces
            routed = {"X-Databricks-Workspace-Id": workspace_id}
            request["headers"] = routed | request.get("headers", {})
        _log.debug("%s %s", method, path)
        statuses: list[int] = []

        def authenticate(prepared: PreparedRequest) -> PreparedRequest:
            prepared.headers.update(self._config.authenticate())
            on_reply(prepared, statuses.append)
            return prepared

        try:
            return self._client.do(method, path, auth=authenticate, **request)
        except RedirectRefused as error:
            raise self._not_a_workspace(str(error)) from error
        except DatabricksError as error:
            raise self._replied(error) from error
        except TimeoutError as error:  # how the SDK gives up, at once (see `connect`)
            cause = error.__cause__
            if isinstance(cause, DatabricksError):
                raise self._replied(cause) from error
            raise self._no_reply(cause or error) from error
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            if statuses:  # the SDK cannot parse the reply, or describe it in its own error
                status = statuses[-1]
                raise http_errors.from_unreadable(self.host, self.origin, status) from error
            if isinstance(error, ValueError) and not isinstance(error, OSError):
                raise self._no_token(error) from error  # of the SDK, if it is refused a token
            raise self._no_reply(error) from error
        except OSError as error:  # of requests, while it reads a reply or sends a form
            raise self._no_reply(error) from error

    def _source(self, method: str, path: str) -> str:
        return f"{self.host} ({self.origin}) to {method} {path.partition('?')[0]}"

    def _no_token(self, error: ValueError) -> WorkspaceError:
        return WorkspaceError(f"cannot log in to {self.host} with {self.origin}: {error}")

    def _replied(self, error: DatabricksError) -> Exception:
        from databricks.sdk import errors

        if isinstance(error, (errors.Unauthenticated, errors.PermissionDenied)):
            cache.invalidate(*self._credential)  # the token may belong to somebody else by now
        return http_errors.from_reply(self.host, self.origin, error)

    def _no_reply(self, error: BaseException) -> Exception:
        return http_errors.from_no_reply(self.host, self.origin, error)

    def _not_a_workspace(self, reason: str) -> WorkspaceError:
        return http_errors.not_a_workspace(self.host, self.origin, reason)
