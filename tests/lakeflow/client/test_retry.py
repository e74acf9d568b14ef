from __future__ import annotations

import pytest

from lakeflow.client.retry import (
    PATIENCE_SECONDS,
    Attempts,
    Failure,
    RetryPolicy,
    TemporaryError,
    is_repeatable,
)


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        ("GET", None, True),
        ("HEAD", None, True),
        ("PUT", None, True),
        ("PATCH", {}, True),
        ("DELETE", None, True),
        ("POST", None, False),
        ("POST", {"job_id": 1}, False),
        ("POST", {"job_id": 1, "idempotency_token": "t"}, True),
        ("POST", {"job_id": 1, "idempotency_token": ""}, False),
    ],
)
def test_requests_that_can_be_repeated(
    method: str, body: dict[str, object] | None, expected: bool
) -> None:
    assert is_repeatable(method, body) is expected


@pytest.mark.parametrize(
    ("failure", "if_repeatable", "otherwise"),
    [
        (Failure.THROTTLED, True, True),
        (Failure.NO_REPLY, True, False),
        (Failure.SERVER_ERROR, True, False),
        (Failure.UNAVAILABLE, True, False),
    ],
)
def test_only_what_had_no_effect_is_repeated_without_being_repeatable(
    failure: Failure, if_repeatable: bool, otherwise: bool
) -> None:
    assert Attempts(RetryPolicy(), repeatable=True).may_repeat(failure) is if_repeatable
    assert Attempts(RetryPolicy(), repeatable=False).may_repeat(failure) is otherwise


@pytest.mark.parametrize(
    ("failure", "host_replied", "limit"),
    [
        (Failure.THROTTLED, False, PATIENCE_SECONDS),
        (Failure.UNAVAILABLE, False, PATIENCE_SECONDS),
        (Failure.NO_REPLY, True, PATIENCE_SECONDS),
        (Failure.NO_REPLY, False, 2.0),
        (Failure.SERVER_ERROR, True, 30.0),
    ],
)
def test_limits(failure: Failure, host_replied: bool, limit: float) -> None:
    assert RetryPolicy().limit(failure, host_replied=host_replied) == limit
    assert RetryPolicy(patience=1.0).limit(failure, host_replied=host_replied) == 1.0


def test_pauses_double_up_to_ten_seconds() -> None:
    pauses = [RetryPolicy().pause(attempt, 0.0) for attempt in range(1, 8)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert RetryPolicy().pause(5000, 0.0) == 10.0


def test_retry_after_is_waited_for() -> None:
    assert RetryPolicy().pause(1, 7.5) == 7.5
    assert RetryPolicy().pause(6, 7.5) == 10.0


def test_a_request_is_given_up_if_the_next_pause_exceeds_the_limit() -> None:
    attempts = Attempts(RetryPolicy(patience=60.0), repeatable=True)
    overloaded = TemporaryError("slow down", Failure.THROTTLED, retry_after=50.0)
    assert attempts.next_pause(overloaded, host_replied=True) == 50.0
    attempts.started -= 50.0
    assert attempts.next_pause(overloaded, host_replied=True) is None
