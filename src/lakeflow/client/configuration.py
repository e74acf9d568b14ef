"""Which workspace is meant: keyword, environment or profile, else the local workspace."""

from __future__ import annotations

import configparser
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakeflow.client import local_workspace
from lakeflow.errors import UsageError, WorkspaceError

# The variables that mean "a Databricks is configured" (databricks-sdk, config.Config).
_CONFIGURED_BY = (
    "DATABRICKS_HOST",
    "DATABRICKS_TOKEN",
    "DATABRICKS_CONFIG_PROFILE",
    "DATABRICKS_CLIENT_ID",
    "DATABRICKS_CLIENT_SECRET",
    "DATABRICKS_USERNAME",
    "DATABRICKS_PASSWORD",
    "DATABRICKS_AUTH_TYPE",
    "DATABRICKS_AZURE_RESOURCE_ID",
    "DATABRICKS_METADATA_SERVICE_URL",
    "DATABRICKS_OIDC_TOKEN_ENV",
    "DATABRICKS_OIDC_TOKEN_FILEPATH",
    "DATABRICKS_RUNTIME_VERSION",
)

REMEDY = (
    "Set DATABRICKS_HOST and DATABRICKS_TOKEN, or name a profile of ~/.databrickscfg with "
    "--profile; or say --local (LAKEFLOW_WORKSPACE=local) for the local workspace."
)
"""What to do where nothing says which Databricks is meant."""


@dataclass(frozen=True)
class Choice:
    """A workspace that was chosen, before anything was asked of it.

    `host` is None where the SDK finds it out (Azure resource ids); `origin` says where host and
    credential come from, for people; `notice` is what they should know besides; `is_up` says that
    it was seen to answer.
    """

    settings: Mapping[str, Any]
    host: str | None
    origin: str
    notice: str | None = None
    is_up: bool = False


def choose(environ: Mapping[str, str], *, local: bool, profile: str | None) -> Choice:
    """Choose a workspace and say what named it (see `lakeflow.client.workspace.connect`)."""
    if local and profile:
        raise UsageError("--local and --profile contradict each other: say one of them")
    wanted = environ.get("LAKEFLOW_WORKSPACE") or "auto"
    if wanted not in ("auto", "local", "databricks"):
        raise UsageError(f"LAKEFLOW_WORKSPACE is {wanted!r}; it can be auto, local or databricks")
    if local or (wanted == "local" and not profile):
        return _local()
    chosen = _configured(environ, profile)
    if chosen is not None:
        return chosen
    if wanted == "databricks":
        raise WorkspaceError(f"LAKEFLOW_WORKSPACE=databricks, but none is configured. {REMEDY}")
    if environ.get("CI"):
        raise WorkspaceError(
            "no Databricks is configured, and CI is set: a pipeline must not deploy to a "
            f"workspace of its own by accident. {REMEDY}"
        )
    return _local()


def _local() -> Choice:
    endpoint = local_workspace.ensure_up()
    _without_proxy(urllib.parse.urlsplit(endpoint.host).hostname or "")
    if endpoint.trust is not None:
        os.environ["REQUESTS_CA_BUNDLE"] = str(endpoint.trust)
    # An empty profile and a named auth type keep the SDK from mixing in what else is configured.
    settings = {
        "host": endpoint.host,
        "token": endpoint.token,
        "auth_type": "pat",
        "profile": "",
    }
    started = "started the local workspace: runs compute on this machine"
    notice = endpoint.notice or (started if endpoint.started else None)
    return Choice(settings, endpoint.host, "the local workspace", notice, is_up=True)


def _configured(environ: Mapping[str, str], profile: str | None) -> Choice | None:
    by_variable = [name for name in _CONFIGURED_BY if environ.get(name)]
    named = profile or environ.get("DATABRICKS_CONFIG_PROFILE")
    file = Path(environ.get("DATABRICKS_CONFIG_FILE") or "~/.databrickscfg").expanduser()
    if named:
        section = _profiles(file).get(named)
        if section is None:
            where = "--profile" if profile else "DATABRICKS_CONFIG_PROFILE"
            raise WorkspaceError(f"{where} names {named!r}, but {file} has no such profile")
        host = environ.get("DATABRICKS_HOST") or section.get("host")
        return Choice({"profile": named}, host, f"profile {named!r} of {file}")
    if by_variable:
        host = environ.get("DATABRICKS_HOST")
        if by_variable == ["DATABRICKS_TOKEN"]:
            raise WorkspaceError("DATABRICKS_TOKEN is set, but DATABRICKS_HOST is not. Set both.")
        return Choice({}, host, f"{', '.join(by_variable)} in the environment")
    profiles = _profiles(file)
    default = profiles.get("__settings__", {}).get("default_profile", "DEFAULT")
    if profiles.get(default):
        settings = {"profile": default} if default != "DEFAULT" else {}
        return Choice(settings, profiles[default].get("host"), f"profile {default!r} of {file}")
    if profiles:
        raise WorkspaceError(
            f"{file} has the profiles {', '.join(profiles)} but none named DEFAULT. Name one with "
            "--profile or DATABRICKS_CONFIG_PROFILE, or say --local for the local workspace."
        )
    return None


def _profiles(file: Path) -> dict[str, dict[str, str]]:
    """The profiles of a configuration file with what each holds; empty without a file."""
    parser = configparser.ConfigParser(default_section="\0", interpolation=None)
    try:
        with file.open(encoding="utf-8") as lines:
            parser.read_file(lines)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise WorkspaceError(f"cannot read the Databricks configuration {file}: {error}") from None
    sections = {name: dict(parser[name]) for name in parser.sections()}
    return {name: values for name, values in sections.items() if values}


def _without_proxy(host: str) -> None:
    """Keep requests to this machine away from a proxy that the environment names."""
    for name in ("NO_PROXY", "no_proxy"):
        known = os.environ.get(name, "")
        if host not in known.split(","):
            os.environ[name] = f"{known},{host}" if known else host
