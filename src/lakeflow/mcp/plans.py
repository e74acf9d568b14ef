"""Simulate, then commit: what was planned is kept, and done only if it would still be the same."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeflow.errors import Refused
from lakeflow.state.invocations import digest

if TYPE_CHECKING:
    from lakeflow.operations.plan import DeployPlan

KEPT_SECONDS = 7 * 24 * 3600
"""A plan older than that is forgotten."""

_TOKEN = re.compile(r"plan-[0-9a-f]{32}")


@dataclass(frozen=True)
class Planned:
    """What a call would do, in words. Calls with equal plans do the same.

    `basis` is what the steps rest on without showing it, by name: digests, mostly.
    """

    steps: tuple[str, ...]
    changes: tuple[str, ...] = ()
    basis: Mapping[str, str] | None = None


def planned_deploy(plan: DeployPlan) -> Planned:
    """Return the changes of a deploy, a step for each and below them their fields."""
    from lakeflow.resources import field_diff

    return Planned(
        steps=tuple(
            f"{target.target.address}: {change.resource}: {change.kind}"
            for target in plan.targets
            for change in target.changes
        ),
        changes=tuple(
            f"{change.resource}: {line}"
            for change in plan.changes
            for line in field_diff.render(change.fields)
        ),
    )


class Plans:
    """The plans that were shown, one file each in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, verb: str, request: object, planned: Planned) -> str:
        """The token of a plan. `request` is a JSON value: what was asked, all of it."""
        shown = {
            "steps": list(planned.steps),
            "changes": list(planned.changes),
            "basis": dict(planned.basis or {}),
        }
        kept = {"verb": verb, "request": digest(request), "plan": shown}
        token = f"plan-{digest(kept)[:32]}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._forget_old()
            hidden = self._folder / f".{token}.{time.time_ns()}"
            hidden.write_text(json.dumps(kept), encoding="utf-8")
            hidden.replace(self._folder / token)
        except OSError as error:
            raise Refused(f"cannot keep the plan: {error.strerror or error}") from error
        return token

    def check(self, token: str, verb: str, request: object, now: Planned) -> None:
        """Raises Refused where a plan is unknown, of another request, or not what would be done."""
        kept = self._read(token)
        if kept["verb"] != verb or kept["request"] != digest(request):
            raise Refused(
                f"{token} is the plan of another call: the arguments have to be the same as with "
                "dry_run, apart from dry_run, plan_token and confirm. Nothing was changed."
            )
        then = kept["plan"]
        changed = [
            *_differences(then["steps"], now.steps),
            *_differences(then["changes"], now.changes),
            *_changed_basis(then["basis"], now.basis or {}),
        ]
        if changed:
            raise Refused(
                "since the plan was made this has changed, and nothing was done:\n"
                + "\n".join(changed)
                + "\nAsk for a new plan with dry_run."
            )

    def _read(self, token: str) -> dict[str, Any]:
        unknown = Refused(
            f"there is no plan {token[:60]!r}: plans are kept for 7 days. Ask for one with dry_run."
        )
        if not _TOKEN.fullmatch(token):
            raise unknown
        try:
            path = self._folder / token
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                raise unknown
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            raise unknown from None

    def _forget_old(self) -> None:
        for path in self._folder.iterdir():
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                path.unlink(missing_ok=True)


def _differences(then: Sequence[str], now: Sequence[str]) -> list[str]:
    gone = [f"- {line}" for line in then if line not in now]
    return gone + [f"+ {line}" for line in now if line not in then]


def _changed_basis(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    names = sorted({*then, *now})
    return [f"! {name} is not what it was" for name in names if then.get(name) != now.get(name)]
