"""`dbruntime` as databricks-sdk knows it: where its `runtime` module takes `dbutils` from."""

from __future__ import annotations

from typing import Any


class UserNamespaceInitializer:
    """Gives the names that a notebook begins with; of those only `dbutils` is here."""

    @classmethod
    def getOrCreate(cls) -> UserNamespaceInitializer:
        return cls()

    def get_namespace_globals(self) -> dict[str, Any]:
        from .dbutils import DBUtils

        return {"dbutils": DBUtils()}
