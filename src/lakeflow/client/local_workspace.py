"""The local workspace, if the distribution `lakeflow-local` is installed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakeflow.errors import LakeflowError, Refused, UsageError, WorkspaceError

if TYPE_CHECKING:
    from lakeflow_local.daemon import Endpoint

NOT_INSTALLED = (
    "the local workspace is not installed\n"
    "hint: install it with `pip install 'lakeflow-launcher[local]'`, or set DATABRICKS_HOST and"
    " DATABRICKS_TOKEN to use a Databricks workspace"
)


def ensure_up() -> Endpoint:
    """Return the running local workspace, starting it if necessary.

    Raises:
        WorkspaceError: it is not installed or did not start.
        UsageError: its configuration is invalid.
    """
    with translated_errors():
        from lakeflow_local import daemon

        return daemon.ensure_up()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise errors of the local workspace as the launcher's own, a missing package included."""
    try:
        errors = importlib.import_module("lakeflow_local.errors")
    except ModuleNotFoundError as error:
        if error.name != "lakeflow_local":
            raise
        raise WorkspaceError(NOT_INSTALLED) from None
    try:
        yield
    except errors.LocalWorkspaceError as error:
        kinds: tuple[type[LakeflowError], ...] = (UsageError, Refused, WorkspaceError)
        kind = next(kind for kind in kinds if kind.exit_code == error.exit_code)
        raise kind(command_name(str(error))) from None


def command_name(text: str) -> str:
    """Name the local workspace's command as the launcher does: `lakeflow local up`."""
    return re.sub(r"\blakeflow-local (?=[a-z])", "lakeflow local ", text)
