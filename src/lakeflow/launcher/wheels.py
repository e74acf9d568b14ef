"""The Python API for wheels: `launcher.wheels`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow.launcher.session_group import SessionGroup

if TYPE_CHECKING:
    from lakeflow.operations.gc import CollectionPlan


class Wheels(SessionGroup):
    """Wheels and the artifact store: `launcher.wheels`."""

    def build(
        self,
        target: Path,
        package: str | None = None,
        *,
        python: str | None = None,
        without: Collection[str] = (),
        check_source: Callable[[Path], None] = lambda source: None,
    ) -> tuple[Path, ...]:
        """Build the wheel of the package in a folder, and those of the local packages it needs.

        `check_source` is called with each folder and archive before any of its code runs, and may
        raise.
        Raises what `lakeflow.wheels.build.build` raises.
        """
        from lakeflow.wheels import build

        return build.build(
            target, package, python=python, without=without, check_source=check_source
        )

    def upload(self, wheels: Sequence[Path]) -> tuple[str, ...]:
        """Upload wheels to the artifact store, stamped together; return their paths there."""
        from lakeflow.operations import upload

        return upload.upload(self._session, wheels)

    def plan_collection(self, *, older_than: int = 60) -> CollectionPlan:
        """Find the wheels that I uploaded and nothing uses, older than so many days.

        A wheel is in use if a visible job or cluster or an active run refers to it.
        """
        from lakeflow.operations import gc

        return gc.plan(self._session, older_than=older_than)
