"""Choose a workspace: by keyword, environment or profile, otherwise the local one."""

from __future__ import annotations

import configparser
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lakeflow.client import local_workspace, redaction
from lakeflow.errors import UsageError, WorkspaceError

# Variables that configure a Databricks workspace (databricks-sdk, config.Config).
_VARIABLES = (
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

_SETTINGS = {
    "DATABRICKS_HOST": "host",
    "DATABRICKS_TOKEN": "token",
    "DATABRICKS_CLIENT_ID": "client_id",
    "DATABRICKS_CLIENT_SECRET": "client_secret",
    "DATABRICKS_USERNAME": "username",
    "DATABRICKS_PASSWORD": "password",
    "DATABRICKS_AUTH_TYPE": "auth_type",
}
"""The SDK's names of the variables whose values it would read with white space."""

_SECRET_OPTIONS = (
    "token",
    "client_secret",
    "password",
    "azure_client_secret",
    "google_credentials",
)

REMEDY = (
    "set DATABRICKS_HOST and DATABRICKS_TOKEN, or name a profile of ~/.databrickscfg with "
    "--profile; use --local (LAKEFLOW_WORKSPACE=local) for the local workspace"
)
"""The hint if no Databricks workspace is configured."""


@dataclass(frozen=True)
class Choice:
    """A chosen workspace, before any request.

    `settings` are those of the SDK's Config. `host` is None if the SDK has to resolve it (Azure
    resource ids). `origin` says where host and credential come from, `notice` what users should
    know about it. `is_up`: it is known to reply.
    """

    settings: Mapping[str, Any]
    host: str | None
    origin: str
    notice: str | None = None
    is_up: bool = False


def choose(environ: Mapping[str, str], *, local: bool, profile: str | None) -> Choice:
    """Choose a workspace (see `lakeflow.client.connect.connect`).

    Raises UsageError for contradictory settings and WorkspaceError for a broken configuration.
    """
    if local and profile:
        raise UsageError("--local and --profile contradict each other: pass only one of them")
    kind = environ.get("LAKEFLOW_WORKSPACE") or "auto"
    if kind not in ("auto", "local", "databricks"):
        raise UsageError(f"LAKEFLOW_WORKSPACE is {kind!r}; it must be auto, local or databricks")
    if local or (kind == "local" and not profile):
        return _local()
    cleaned = _without_white_space(environ)
    chosen = _configured({**environ, **cleaned}, profile)
    if chosen is not None:
        settings = {_SETTINGS[name]: value for name, value in cleaned.items() if name in _SETTINGS}
        named = ", ".join(cleaned)
        notice = f"ignoring white space around the value of {named}" if cleaned else chosen.notice
        return replace(chosen, settings={**chosen.settings, **settings}, notice=notice)
    if kind == "databricks":
        raise WorkspaceError(
            f"LAKEFLOW_WORKSPACE=databricks, but none is configured\nhint: {REMEDY}"
        )
    if environ.get("CI"):
        raise WorkspaceError(
            "no Databricks workspace is configured, and CI is set: a pipeline must not deploy to a "
            f"local workspace by accident\nhint: {REMEDY}"
        )
    return _local()


def _local() -> Choice:
    endpoint = local_workspace.ensure_up()
    _without_proxy(urllib.parse.urlsplit(endpoint.host).hostname or "")
    if endpoint.trust is not None:
        os.environ["REQUESTS_CA_BUNDLE"] = str(endpoint.trust)
    # The empty profile and the auth type keep the SDK from mixing in other configuration.
    settings = {
        "host": endpoint.host,
        "token": endpoint.token,
        "auth_type": "pat",
        "profile": "",
    }
    started = "started the local workspace: runs use this machine"
    notice = endpoint.notice or (started if endpoint.started else None)
    return Choice(settings, endpoint.host, "the local workspace", notice, is_up=True)


def _without_white_space(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that have white space around their value, without it.

    Files with Windows line ends leave a carriage return. Raises WorkspaceError for a value that
    cannot be sent; it is not shown, since it may be a credential.
    """
    found = {}
    for name in _VARIABLES:
        value = environ.get(name, "")
        stripped = value.strip()
        _check_value(name, stripped)
        if stripped != value:
            found[name] = stripped
    return found


def _check_profile(name: str, section: Mapping[str, str]) -> None:
    for option, value in section.items():
        _check_value(f"profile {name!r}: {option}", value)


def _check_value(name: str, value: str) -> None:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise WorkspaceError(
            f"{name} has a control character, such as a line end, within its value\n"
            "hint: set it again, on one line"
        )
    if name.upper().endswith("TOKEN") and not value.isascii():
        raise WorkspaceError(f"{name} has characters that no token has\nhint: copy the token again")
    if name.upper().endswith("HOST") and "@" in value.partition("?")[0]:
        raise WorkspaceError(
            f"{name} has a user name or password before the address of the workspace\n"
            "hint: set it to the address only, such as "
            "https://dbc-a1b2345c-d6e7.cloud.databricks.com"
        )


def _configured(environ: Mapping[str, str], profile: str | None) -> Choice | None:
    variables = [name for name in _VARIABLES if environ.get(name)]
    named = profile or environ.get("DATABRICKS_CONFIG_PROFILE")
    file = Path(environ.get("DATABRICKS_CONFIG_FILE") or "~/.databrickscfg").expanduser()
    if named:
        section = _profiles(file).get(named)
        if section is None:
            where = "--profile" if profile else "DATABRICKS_CONFIG_PROFILE"
            raise WorkspaceError(f"{where} names {named!r}, but {file} has no such profile")
        _check_profile(named, section)
        host = environ.get("DATABRICKS_HOST") or section.get("host")
        return Choice({"profile": named}, host, f"profile {named!r} of {file}")
    if variables:
        host = environ.get("DATABRICKS_HOST")
        if variables == ["DATABRICKS_TOKEN"]:
            raise WorkspaceError(
                "DATABRICKS_TOKEN is set, but DATABRICKS_HOST is not\nhint: set both"
            )
        return Choice({}, host, f"{', '.join(variables)} in the environment")
    profiles = _profiles(file)
    default = profiles.get("__settings__", {}).get("default_profile", "DEFAULT")
    if profiles.get(default):
        _check_profile(default, profiles[default])
        settings = {"profile": default} if default != "DEFAULT" else {}
        return Choice(settings, profiles[default].get("host"), f"profile {default!r} of {file}")
    if profiles:
        raise WorkspaceError(
            f"{file} has the profiles {', '.join(profiles)} but none named DEFAULT\n"
            "hint: name one with --profile or DATABRICKS_CONFIG_PROFILE, or use --local for the "
            "local workspace"
        )
    return None


def _profiles(file: Path) -> dict[str, dict[str, str]]:
    """Return the profiles of a configuration file; none if the file does not exist."""
    parser = configparser.ConfigParser(default_section="\0", interpolation=None)
    try:
        with file.open(encoding="utf-8") as lines:
            parser.read_file(lines)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise WorkspaceError(f"cannot read the Databricks configuration {file}: {error}") from None
    except configparser.Error as error:
        raise WorkspaceError(
            f"cannot read the Databricks configuration {file}: {syntax_error(error)}"
        ) from None
    sections = {name: dict(parser[name]) for name in parser.sections()}
    for section in sections.values():
        redaction.credentials.hide(section.get(option, "") for option in _SECRET_OPTIONS)
    return {name: values for name, values in sections.items() if values}


def syntax_error(error: configparser.Error) -> str:
    """Describe an error by its line number: the line itself may hold a token."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno} is not in a section such as [DEFAULT]"
    if isinstance(error, configparser.ParsingError):
        return f"line {error.errors[0][0]} is not of the form NAME = VALUE"
    if isinstance(error, configparser.DuplicateOptionError):
        return f"line {error.lineno} repeats an option"
    if isinstance(error, configparser.DuplicateSectionError):
        return f"line {error.lineno} repeats a section"
    return "its syntax is not valid"


def _without_proxy(host: str) -> None:
    """Exclude a host from the proxies that the environment configures."""
    for name in ("NO_PROXY", "no_proxy"):
        excluded = os.environ.get(name, "")
        if host not in excluded.split(","):
            os.environ[name] = f"{excluded},{host}" if excluded else host
