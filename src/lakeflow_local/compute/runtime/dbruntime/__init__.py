"""`dbruntime`, from which databricks-sdk's `runtime` module takes `dbutils`."""

from __future__ import annotations

from typing import Any


class UserNamespaceInitializer:
    """Provides the names of a notebook's namespace; here only `dbutils`."""

    @classmethod
    def getOrCreate(cls) -> UserNamespaceInitializer:
        return cls()

    def get_namespace_globals(self) -> dict[str, Any]:
        from .dbutils import DBUtils

        return {"dbutils": DBUtils()}
