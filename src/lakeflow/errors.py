"""Errors for users: what was wrong, where, and what to do about it."""

from __future__ import annotations


class LakeflowError(Exception):
    """An error whose text is meant for the person who typed the command.

    `exit_code` is the exit code of the CLI: 1 a run failed, 2 wrong usage, 3 refused before
    anything was changed, 4 the workspace is not reachable or did not allow it.
    """

    exit_code = 1


class UsageError(LakeflowError):
    """The command line or a call's arguments make no sense."""

    exit_code = 2


class Refused(LakeflowError):
    """A check failed before anything was changed."""

    exit_code = 3


class WorkspaceError(LakeflowError):
    """The workspace is not reachable, or denied the request."""

    exit_code = 4
