"""Names of what is true of some Databricks workspaces; a file of faults turns it on."""

from __future__ import annotations

SMALL_EXPORTS = "small-exports"
"""Workspace files over 10 MB cannot be exported (databricks/cli issue 3691)."""

BEHAVIORS = (SMALL_EXPORTS,)
