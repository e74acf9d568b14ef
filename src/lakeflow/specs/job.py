"""Options of a job, apart from its code and compute, checked before anything is sent."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lakeflow.errors import UsageError

IDENTITY_TAG = "lakeflow_id"


@dataclass(frozen=True)
class JobOptions:
    """Options of a job, apart from its code and compute; `job_options` checks them.

    `schedule` is a Quartz cron expression in the time zone `timezone`; `timeout` is in seconds, 0
    for none; `notify` maps `failure`, `success` and `start` to addresses; `permissions` are pairs
    of a level and a principal.
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
"""Tags that a job may have (Jobs API, create), including lakeflow's own."""

MAX_NAME_BYTES = 4096
"""Length of a job's name in UTF-8 bytes (Jobs API, create)."""

LEVELS = ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE")
"""Levels that can be granted on a job (Permissions API), except IS_OWNER."""

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
    """Parse and check options as typed on the command line.

    `timeout` is a number of seconds, or a number with `m`, `h` or `d`; `notify` are `ADDRESS` (on
    failure) or `failure|success|start:ADDRESS`; `permissions` are `LEVEL:PRINCIPAL`.

    Raises UsageError for what the Jobs API would refuse.
    """
    if schedule is not None:
        _check_schedule(schedule)
    if timezone is not None:
        if schedule is None:
            raise UsageError("--timezone needs --schedule: give both")
        if timezone not in zoneinfo.available_timezones():
            raise UsageError(f"--timezone {timezone!r} is not a time zone such as Europe/Berlin")
    if retries < 0:
        raise UsageError(f"--retries {retries}: the number of retries is 0 or more")
    tags = tags or {}
    if IDENTITY_TAG in tags:
        raise UsageError(f"--tag {IDENTITY_TAG}: this tag is reserved; choose another name")
    if len(tags) >= MAX_TAGS:
        raise UsageError(
            f"--tag: {len(tags)} tags are too many: a job can have {MAX_TAGS} tags, including one "
            "of lakeflow"
        )
    return JobOptions(
        schedule=schedule,
        timezone=timezone or "UTC",
        timeout=_parse_duration(timeout) if timeout is not None else 0,
        retries=retries,
        tags=dict(tags),
        notify=_parse_notify(notify),
        permissions=tuple(_parse_grant(text) for text in permissions),
        run_as=run_as,
    )


def check_name(name: str) -> None:
    """Raise UsageError for a name that a job cannot have."""
    size = len(name.encode("utf-8", "replace"))
    if not name.strip() or not name.isprintable():
        raise UsageError(
            f"{name!r} cannot be a job's name: use printable characters, not only spaces"
        )
    if size > MAX_NAME_BYTES:
        raise UsageError(
            f"a job's name can have {MAX_NAME_BYTES:,} bytes as UTF-8: {size:,} are too many"
        )


def _check_schedule(text: str) -> None:
    fields = text.split()
    plain = all(re.fullmatch(r"[\w*/,?#-]+", part, re.ASCII) for part in fields)
    if len(fields) not in (6, 7) or not plain or (fields[3] == "?") == (fields[5] == "?"):
        raise UsageError(
            f"--schedule {text!r} is not a Quartz cron expression: seconds, minutes, hours, day of "
            'month, month, day of week; one of the two days is "?".\n'
            'hint: "0 0 6 * * ?" is every day at six.'
        )


def _parse_duration(text: str) -> int:
    found = re.fullmatch(r"(\d+)([smhd]?)", text.strip())
    if found is None or int(found[1]) == 0:
        raise UsageError(f"--timeout {text!r} is not a duration such as 3600, 90m, 2h or 1d")
    return int(found[1]) * _UNITS[found[2]]


def _parse_notify(texts: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        event, colon, address = text.partition(":")
        event, address = (event, address) if colon else ("failure", text)
        if event not in ("failure", "success", "start") or not re.fullmatch(r"\S+@\S+", address):
            raise UsageError(
                f"--notify {text!r} is not an e-mail address, success:ADDRESS or start:ADDRESS"
            )
        found.setdefault(event, []).append(address)
    return found


def _parse_grant(text: str) -> tuple[str, str]:
    level, _, principal = text.partition(":")
    if level not in LEVELS or not principal:
        raise UsageError(
            f"--permission {text!r} is not LEVEL:PRINCIPAL: the level is {', '.join(LEVELS)}, the "
            "principal a user, group:NAME or service_principal:ID"
        )
    return level, principal
