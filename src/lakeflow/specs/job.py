"""What a user may say of a job besides its code, checked before anything is sent."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lakeflow.errors import UsageError

IDENTITY_TAG = "lakeflow_id"


@dataclass(frozen=True)
class JobOptions:
    """What a user may say of a job besides its code. All checked: make it with `options`.

    `schedule` is a Quartz cron expression read in the time zone `timezone`; `timeout` is in
    seconds, 0 for none; `notify` maps `failure`, `success` and `start` to addresses; `permissions`
    are pairs of a level and a principal.
    """

    schedule: str | None = None
    timezone: str = "UTC"
    timeout: int = 0
    retries: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    notify: Mapping[str, Sequence[str]] = field(default_factory=dict)
    permissions: tuple[tuple[str, str], ...] = ()
    run_as: str | None = None


MAX_TAGS = 25
"""Tags that a job may have (Jobs API, create), the one of ours included."""

MAX_NAME_BYTES = 4096
"""UTF-8 bytes that a job's name may have (Jobs API, create)."""

LEVELS = ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE")
"""What can be granted on a job (Permissions API), beside IS_OWNER."""

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def job_options(
    *,
    schedule: str | None = None,
    timezone: str | None = None,
    timeout: str | None = None,
    retries: int = 0,
    tags: Mapping[str, str] | None = None,
    notify: Sequence[str] = (),
    permissions: Sequence[str] = (),
    run_as: str | None = None,
) -> JobOptions:
    """The options as they are typed, checked against what the Jobs API takes.

    `timeout` is a number of seconds, or one with `m`, `h` or `d`; `notify` are `ADDRESS` (of
    failures) or `failure|success|start:ADDRESS`; `permissions` are `LEVEL:PRINCIPAL`.
    Raises UsageError.
    """
    if schedule is not None:
        _check_schedule(schedule)
    if timezone is not None:
        if schedule is None:
            raise UsageError("--timezone is for --schedule: say both")
        if timezone not in zoneinfo.available_timezones():
            raise UsageError(f"--timezone {timezone!r} is no time zone; Europe/Berlin is one")
    if retries < 0:
        raise UsageError("--retries is a number of further attempts, 0 or more")
    tags = tags or {}
    if IDENTITY_TAG in tags:
        raise UsageError(f"--tag {IDENTITY_TAG} is lakeflow's own: choose another name")
    if len(tags) >= MAX_TAGS:
        raise UsageError(
            f"a job can have {MAX_TAGS} tags, one of them lakeflow's: {len(tags)} are too many"
        )
    return JobOptions(
        schedule=schedule,
        timezone=timezone or "UTC",
        timeout=_seconds(timeout) if timeout is not None else 0,
        retries=retries,
        tags=dict(tags),
        notify=_addresses(notify),
        permissions=tuple(_grant(text) for text in permissions),
        run_as=run_as,
    )


def check_name(name: str) -> None:
    """Raises UsageError for what cannot be a job's name."""
    size = len(name.encode("utf-8", "replace"))
    if not name.strip() or not name.isprintable():
        raise UsageError(f"{name!r} cannot be a job's name: say letters, digits, blanks and signs")
    if size > MAX_NAME_BYTES:
        raise UsageError(
            f"a job's name can have {MAX_NAME_BYTES:,} bytes as UTF-8: {size:,} are too many"
        )


def _check_schedule(text: str) -> None:
    fields = text.split()
    plain = all(re.fullmatch(r"[\w*/,?#-]+", part, re.ASCII) for part in fields)
    if len(fields) not in (6, 7) or not plain or (fields[3] == "?") == (fields[5] == "?"):
        raise UsageError(
            f"--schedule {text!r} is no Quartz cron expression: seconds, minutes, hours, day of "
            'month, month, day of week, one of the two days "?". Six in the morning is '
            '"0 0 6 * * ?"'
        )


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)([smhd]?)", text.strip())
    if found is None or int(found[1]) == 0:
        raise UsageError(f"--timeout {text!r} is no time: say 3600, 90m, 2h or 1d")
    return int(found[1]) * _UNITS[found[2]]


def _addresses(texts: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        event, colon, address = text.partition(":")
        event, address = (event, address) if colon else ("failure", text)
        if event not in ("failure", "success", "start") or not re.fullmatch(r"\S+@\S+", address):
            raise UsageError(
                f"--notify {text!r}: say an e-mail address, or success:ADDRESS, start:ADDRESS"
            )
        found.setdefault(event, []).append(address)
    return found


def _grant(text: str) -> tuple[str, str]:
    level, _, principal = text.partition(":")
    if level not in LEVELS or not principal:
        raise UsageError(
            f"--permission {text!r}: say LEVEL:PRINCIPAL, where the level is "
            f"{', '.join(LEVELS)} and the principal a user, group:NAME or service_principal:ID"
        )
    return level, principal
