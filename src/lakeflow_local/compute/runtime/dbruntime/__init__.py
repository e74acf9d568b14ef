"""`dbruntime`, from which databricks-sdk's `runtime` module takes `dbutils`."""

from __future__ import annotations

from typing import Any


class UserNamespaceInitializer:
    """Provides the names of a notebook's namespace; here only `dbutils`."""

    @classmethod
    def getOrCreate(cls) -> UserNamespaceInitializer:
        return cls()

    def get_namespace_globals(self) -> dict[str, Any]:
        from .context import BEHAVIORS
        from .dbutils import DBUtils
        from .errors import ExecutionError

        if {"spark-connect", "no-dbutils-gateway"} & set(BEHAVIORS):
            raise ExecutionError(
                "[CONTEXT_UNAVAILABLE_FOR_REMOTE_CLIENT] Remote client cannot create a "
                "SparkContext. Create SparkSession instead."
            )

        return {"dbutils": DBUtils()}
