"""Errors of the local workspace: what was wrong, where, and what to do about it."""

from __future__ import annotations


class LocalWorkspaceError(Exception):
    """An error whose text is meant for the person who typed the command.

    `exit_code` is the exit code of the command: 2 wrong usage, 3 refused before anything was
    changed, 4 the local workspace could not do it.
    """

    exit_code = 4


class UsageError(LocalWorkspaceError):
    """The command line or an argument is invalid."""

    exit_code = 2


class Refused(LocalWorkspaceError):
    """A check failed before anything was changed."""

    exit_code = 3


class WorkspaceError(LocalWorkspaceError):
    """The local workspace did not start, stop or respond."""


class ConfigurationInvalid(Exception):
    """A task cannot run with its settings; the text says why."""
