"""Serverless compute: one environment for all dependencies of a task."""

from __future__ import annotations

from lakeflow_local.compute.environments import (
    Environment,
    Environments,
    Requirements,
)
from lakeflow_local.compute.errors import InstallationError, LibraryFailed
from lakeflow_local.compute.interpreters import Interpreters, serverless_python
from lakeflow_local.compute.libraries import find_library
from lakeflow_local.storage.files import Mount, PathOutside
from lakeflow_local.storage.settings import EnvironmentSpec


def environment_version(spec: EnvironmentSpec) -> str | None:
    """Return the version of a serverless environment; `client` is its old name."""
    return spec.get("environment_version") or spec.get("client")


def install_serverless(
    spec: EnvironmentSpec, environments: Environments, interpreters: Interpreters, mount: Mount
) -> Environment:
    """Return the environment of a serverless task, installing it if necessary.

    Raises:
        LibraryFailed: a dependency does not exist, or the installer failed.
    """
    lines = tuple(spec.get("dependencies") or ())
    try:
        python = serverless_python(environment_version(spec) or "")
        environment = environments.base(interpreters.existing(python))
        if not lines:
            return environment
        return environments.extend(
            environment, Requirements(lines, lambda path: find_library(mount, path))
        )
    except InstallationError as error:
        raise LibraryFailed(f"ERROR: {error}") from None
    except (FileNotFoundError, PathOutside) as error:
        raise LibraryFailed(f"ERROR: the file {error} does not exist") from None
