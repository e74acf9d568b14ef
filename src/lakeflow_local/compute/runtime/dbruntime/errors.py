"""Errors of `dbutils`."""

from __future__ import annotations


class ExecutionError(Exception):
    """The workspace refused a request; the text says why."""
