"""Names of what is true of some Databricks workspaces; a file of faults turns it on."""

from __future__ import annotations

SMALL_EXPORTS = "small-exports"
"""Workspace files over 10 MB cannot be exported (databricks/cli issue 3691)."""

NO_PART_ETAGS = "no-part-etags"
"""Storage replies to a part of an upload without an ETag, as Azure's Put Block does."""

SPARK_CONNECT = "spark-connect"
"""Tasks are clients of Spark Connect: a notebook's namespace is refused, IPython has `dbutils`."""

NO_DBUTILS_GATEWAY = "no-dbutils-gateway"
"""As on serverless environments 5 and 6: `dbutils` of IPython is of no use either."""

LARGE_IMPORTS = "large-imports"
"""`workspace/import` takes 500 MB (terraform-provider-databricks PR 5293), nothing else does."""

OF_TASKS = (SPARK_CONNECT, NO_DBUTILS_GATEWAY)

BEHAVIORS = (SMALL_EXPORTS, NO_PART_ETAGS, LARGE_IMPORTS, *OF_TASKS)
