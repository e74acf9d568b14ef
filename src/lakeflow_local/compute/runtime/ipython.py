"""`IPython` of a task, where the workspace behaves as Spark Connect: only its `dbutils`."""

from __future__ import annotations

from typing import Any

from dbruntime.context import BEHAVIORS  # type: ignore[import-not-found]  # pants: no-infer-dep


class Shell:
    """The shell that a task runs in. `user_ns` has the names of its notebook."""

    def __init__(self) -> None:
        from dbruntime.dbutils import DBUtils  # type: ignore[import-not-found]  # pants: no-infer-dep

        has_gateway = "no-dbutils-gateway" not in BEHAVIORS
        self.user_ns: dict[str, Any] = {"dbutils": DBUtils() if has_gateway else WithoutGateway()}
        self.ns_table = {"user_global": self.user_ns}


class WithoutGateway:
    """`dbutils` whose Py4J gateway is off."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"dbutils.{name} needs the Py4J gateway, which is off here")


def get_ipython() -> Shell:
    return Shell()
