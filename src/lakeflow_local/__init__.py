"""A local Databricks workspace: it serves the REST API on 127.0.0.1 and really runs jobs."""

from __future__ import annotations

__version__ = "0.1.0"
