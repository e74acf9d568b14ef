"""SQL that changes phases and states only where a table of transitions allows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def next_phase(changes: Mapping[str, str], column: str = "phase") -> str:
    """Return an expression for the new phase; phases that are no key stay."""
    cases = " ".join(f"WHEN '{before}' THEN '{after}'" for before, after in changes.items())
    return f"CASE {column} {cases} ELSE {column} END"


def is_in(phases: Collection[str], column: str = "phase") -> str:
    """Return a condition: the phase is one of these."""
    names = ", ".join(f"'{phase}'" for phase in phases)
    return f"{column} IN ({names})"
