"""What the groups of the Python API share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakeflow.operations.session import Session


class SessionGroup:
    """Methods of the launcher for one kind of object."""

    def __init__(self, session: Session) -> None:
        self._session = session
