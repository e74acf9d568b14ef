"""Which requests are sent again after a failure, when, and why.

A request is repeated if that cannot do harm:

- Its method is idempotent: GET, HEAD, PUT, DELETE, and PATCH, which sets fields in these APIs.
- It is a POST with an idempotency token: the workspace recognizes a repetition.
- It is a POST whose caller says so, since doing it twice has the same effect as doing it once.
- The workspace refused it with 429: it had no effect.

Any other request whose reply was lost, or that got a 5xx, may have taken effect. It fails with
ReplyLost, and its caller finds out what happened.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

PATIENCE_SECONDS = 600.0
"""For how long a request is repeated while the workspace is unreachable or overloaded."""

_SERVER_ERROR_SECONDS = 30.0
"""For how long a request is repeated that gets a 500: a fault is less likely to pass."""

_FIRST_CONTACT_SECONDS = 2.0
"""For how long a request is repeated if the host has not replied to anything yet."""

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0

_IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})


class Failure(Enum):
    """How a request failed for now."""

    NO_REPLY = "no reply"
    THROTTLED = "429"
    SERVER_ERROR = "500"
    UNAVAILABLE = "another 5xx, of the workspace or a proxy"

    @property
    def may_have_taken_effect(self) -> bool:
        """Whether the request may have been carried out."""
        return self is not Failure.THROTTLED


class TemporaryError(Exception):
    """A request failed that may succeed when it is sent again.

    `retry_after` is in seconds, from the header of that name; 0 without one.
    """

    def __init__(self, message: str, failure: Failure, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.failure = failure
        self.retry_after = retry_after


def is_repeatable(method: str, body: Mapping[str, object] | None = None) -> bool:
    """Return whether a request can be repeated without harm, as far as it shows."""
    return method in _IDEMPOTENT_METHODS or bool(body and body.get("idempotency_token"))


@dataclass(frozen=True)
class RetryPolicy:
    """Says whether and when failed requests are repeated.

    `patience` is the longest time in seconds that any request is repeated.
    """

    patience: float = PATIENCE_SECONDS

    def limit(self, failure: Failure, *, host_replied: bool) -> float:
        """Return for how many seconds requests are repeated that fail this way.

        `host_replied` says whether the host has ever replied.
        """
        if failure is Failure.SERVER_ERROR:
            limit = _SERVER_ERROR_SECONDS
        elif failure is Failure.NO_REPLY and not host_replied:
            limit = _FIRST_CONTACT_SECONDS
        else:
            limit = PATIENCE_SECONDS
        return min(limit, self.patience)

    def pause(self, attempt: int, retry_after: float) -> float:
        """Return the seconds to wait after the `attempt`-th failure, the first being 1."""
        doubled = _FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 10)
        return max(min(doubled, _LONGEST_PAUSE_SECONDS), retry_after)


@dataclass
class Attempts:
    """The attempts at one request so far. `waited` is in seconds."""

    policy: RetryPolicy
    repeatable: bool
    failures: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def waited(self) -> float:
        """Seconds since the first attempt."""
        return time.monotonic() - self.started

    def may_repeat(self, failure: Failure) -> bool:
        """Return whether a request that failed this way can be repeated without harm."""
        return self.repeatable or not failure.may_have_taken_effect

    def next_pause(self, error: TemporaryError, *, host_replied: bool) -> float | None:
        """Return the seconds to wait before the next attempt; None if it is time to give up."""
        self.failures += 1
        pause = self.policy.pause(self.failures, error.retry_after)
        limit = self.policy.limit(error.failure, host_replied=host_replied)
        return pause if self.waited + pause <= limit else None
