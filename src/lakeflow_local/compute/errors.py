"""Why a task cannot run: errors of clusters, libraries, permissions and settings.

The text of each is the message that clients see.
"""

from __future__ import annotations


class ClusterMissing(Exception):
    """No cluster has this id."""


class ClusterNotStarted(Exception):
    """The cluster's driver has no environment; the text says why."""


class LibraryFailed(Exception):
    """A library could not be installed; the text is the cluster's message."""


class NotAllowed(Exception):
    """The run-as principal may not use something that the task needs; the text says what."""


class ContextsExceeded(Exception):
    """The cluster's driver has no free execution context."""


class ConfigurationInvalid(Exception):
    """A task cannot run with its settings; the text says why."""


class InstallationError(Exception):
    """An environment could not be created or extended; the text is the installer's own."""
