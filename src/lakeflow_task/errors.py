"""Errors of the task runner that are shown to users."""

from __future__ import annotations


class TaskRefused(Exception):
    """The user's code was not started; the message says why and what to do."""
