"""The Pants goal `lakeflow-deploy`: from Pants targets to jobs on Databricks."""

from __future__ import annotations

__version__ = "0.1.0"
