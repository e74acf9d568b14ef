"""Plans that clients were shown: kept as data, and carried out only if they still hold."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from lakeflow.errors import Refused
from lakeflow.mcp.requests import Request
from lakeflow.operations.changes import Change, ChangeJson, compare, digest_of
from lakeflow.state import atomic
from lakeflow.state.hashing import digest
from lakeflow.state.paths import make_private

KEPT_SECONDS = 7 * 24 * 3600
"""How long a plan is kept."""

_TOKEN = re.compile(r"plan-[0-9a-f]{32}")


class _PlanJson(TypedDict):
    request: str
    changes: list[ChangeJson]


class PlanStore:
    """The plans that were shown, one file each in `folder`; a token names request and changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, request: Request, changes: Sequence[Change]) -> str:
        """Keep the changes that a request would make. Returns the plan's token."""
        plan: _PlanJson = {
            "request": request.digest(),
            "changes": [change.as_json() for change in changes],
        }
        token = f"plan-{digest([plan['request'], digest_of(changes)])[:32]}"
        try:
            make_private(self._folder)
            atomic.remove_older(self._folder, time.time() - KEPT_SECONDS)
            atomic.write_text(self._folder / token, json.dumps(plan))
        except OSError as error:
            raise Refused(f"cannot store the plan: {error.strerror or error}") from error
        return token

    def check(self, token: str, request: Request, changes: Sequence[Change]) -> None:
        """Raise Refused unless the plan is of this request and consists of these changes."""
        plan = self._read(token)
        if plan["request"] != request.digest():
            raise Refused(
                f"{token} is the plan of another call: the arguments must be the same as with "
                "dry_run, apart from dry_run, plan_token and confirm. Nothing was changed."
            )
        now: list[ChangeJson] = json.loads(json.dumps([change.as_json() for change in changes]))
        gone, new = compare(*([Change.from_json(raw) for raw in c] for c in (plan["changes"], now)))
        if gone or new:
            raise Refused(
                "Nothing was done, because the plan no longer holds:\n"
                + "\n".join(describe_drift(gone, new))
                + "\nhint: get a new plan with dry_run."
            )

    def _read(self, token: str) -> _PlanJson:
        unknown = Refused(
            f"there is no plan {token[:60]!r}: plans are kept for 7 days. Get one with dry_run."
        )
        if not _TOKEN.fullmatch(token):
            raise unknown
        path = self._folder / token
        try:
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                raise unknown
            plan: _PlanJson = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise unknown from None
        return plan


def describe_drift(then: Sequence[Change], now: Sequence[Change]) -> list[str]:
    """Return what differs between two plans: fields of the same change, or whole changes."""
    lines = []
    rest = list(now)
    for old in then:
        new = next((c for c in rest if (c.kind, c.resource) == (old.kind, old.resource)), None)
        if new is None:
            lines.append(f"- {_line(old)}")
            continue
        rest.remove(new)
        names = ", ".join(_changed_fields(old, new))
        lines.append(f"! {old.resource} has changed: {names}")
    return lines + [f"+ {_line(change)}" for change in rest]


def _line(change: Change) -> str:
    return f"{change.resource}: {change.kind}"


def _changed_fields(old: Change, new: Change) -> list[str]:
    pairs = [(old.before or {}, new.before or {}), (old.after or {}, new.after or {})]
    return sorted({n for a, b in pairs for n in {*a, *b} if a.get(n) != b.get(n)})
