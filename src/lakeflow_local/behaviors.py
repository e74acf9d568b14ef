"""Names of what is true of some Databricks workspaces; a file of faults turns it on."""

from __future__ import annotations

SMALL_EXPORTS = "small-exports"
"""Workspace files over 10 MB cannot be exported (databricks/cli issue 3691)."""

NO_PART_ETAGS = "no-part-etags"
"""Storage replies to a part of an upload without an ETag, as Azure's Put Block does."""

BEHAVIORS = (SMALL_EXPORTS, NO_PART_ETAGS)
