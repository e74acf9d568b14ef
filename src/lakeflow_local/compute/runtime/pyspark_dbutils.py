"""`pyspark.dbutils`, which Databricks adds to the pyspark of its runtimes."""

from __future__ import annotations

from dbruntime.dbutils import DBUtils  # type: ignore[import-not-found]  # pants: no-infer-dep

__all__ = ["DBUtils"]
