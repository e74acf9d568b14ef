"""Errors of the runner itself, for people."""

from __future__ import annotations


class TaskRefused(Exception):
    """The user's code was not started: what was wrong, and what to do about it."""
