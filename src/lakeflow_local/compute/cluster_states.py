"""States of clusters and the events that change them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache

PENDING, RUNNING, RESTARTING, TERMINATED = "PENDING", "RUNNING", "RESTARTING", "TERMINATED"


class ClusterEvent(Enum):
    """What happens to a cluster."""

    CREATE = "a client or a run creates it"
    START = "a client or a task starts it"
    RESTART = "a client restarts it"
    RECOVER = "a new server starts it again, because its environment was lost"
    READY = "its driver has an environment"
    TERMINATE = "a client, its run, inactivity or a failure terminates it"


TRANSITIONS: Mapping[tuple[str | None, ClusterEvent], str] = {
    (None, ClusterEvent.CREATE): PENDING,
    (TERMINATED, ClusterEvent.START): PENDING,
    (RUNNING, ClusterEvent.RESTART): RESTARTING,
    (PENDING, ClusterEvent.RECOVER): PENDING,
    (RESTARTING, ClusterEvent.RECOVER): PENDING,
    (RUNNING, ClusterEvent.RECOVER): PENDING,
    (PENDING, ClusterEvent.READY): RUNNING,
    (RESTARTING, ClusterEvent.READY): RUNNING,
    (RUNNING, ClusterEvent.READY): RUNNING,
    (PENDING, ClusterEvent.TERMINATE): TERMINATED,
    (RESTARTING, ClusterEvent.TERMINATE): TERMINATED,
    (RUNNING, ClusterEvent.TERMINATE): TERMINATED,
}
"""The state after each event, by the state before; an event without a row changes nothing."""


@cache
def changes(event: ClusterEvent) -> Mapping[str, str]:
    """Return the states that an event changes, each with the state after it."""
    return {
        before: after
        for (before, happened), after in TRANSITIONS.items()
        if happened is event and before is not None
    }
