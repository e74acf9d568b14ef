"""What `dbutils` raises."""

from __future__ import annotations


class ExecutionError(Exception):
    """A call that was refused; the text says why."""
