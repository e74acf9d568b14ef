"""Check the configuration and the workspace, with a remedy for each problem."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import secrets
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lakeflow._version import __version__
from lakeflow.client import federation
from lakeflow.client.workspace import Workspace
from lakeflow.errors import LakeflowError
from lakeflow.operations.session import Session
from lakeflow.resources import artifacts, files, node_types
from lakeflow.state.paths import state_dir
from lakeflow.wheels import compatibility

_CONFIGURATION = (
    "LAKEFLOW_WORKSPACE",
    "LAKEFLOW_ROOT",
    "LAKEFLOW_STATE_DIR",
    "DATABRICKS_HOST",
    "DATABRICKS_CONFIG_PROFILE",
    "DATABRICKS_CONFIG_FILE",
    "DATABRICKS_AUTH_TYPE",
    "CI",
)
_NETWORK = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


_NO_LOGIN = (
    "Create a new token (User settings, Developer, Access tokens), or log in again with "
    "`databricks auth login`."
)
_NO_POLICY = (
    "Check DATABRICKS_CLIENT_ID, and that a federation policy of this service principal names "
    "exactly the issuer, subject and audience above."
)
_NO_WORKSPACE = "Correct the host: in a browser it shows your Databricks workspace."


@dataclass(frozen=True)
class Finding:
    """The result of one check; `state` is ok, note or problem."""

    what: str
    state: str
    found: str
    remedy: str | None = None


def examine(session: Session) -> Iterator[Finding]:
    """Yield the result of each check; checks of the workspace only if it can be reached.

    Writes a small file to the artifact store and removes it, to check that uploads are allowed.
    Secrets are named, never shown.
    """
    yield _versions()
    yield _variables("configuration", _CONFIGURATION)
    yield _variables("network", _NETWORK)
    yield _certificates()
    yield _builds()
    yield _state_folder()
    auth_type = os.environ.get("DATABRICKS_AUTH_TYPE", "")
    if auth_type in federation.AUTH_TYPES:
        yield _federation(auth_type)
    try:
        workspace = session.workspace
    except LakeflowError as error:
        yield Finding(
            "workspace",
            "problem",
            str(error),
            "Correct the setting named above.",
        )
        return
    yield Finding("workspace", "ok", f"{workspace.host}, host and credential: {workspace.origin}")
    yield _route(workspace)
    try:
        me = workspace.log_in()
    except LakeflowError as error:
        remedy = _NO_LOGIN if "refused" in str(error) else _NO_WORKSPACE
        if auth_type in federation.AUTH_TYPES:
            remedy = _NO_POLICY
        yield Finding("login", "problem", str(error), remedy)
        return
    yield Finding("login", "ok", me)
    for what, check, remedy in _CHECKS:
        try:
            yield check(workspace)
        except LakeflowError as error:
            yield Finding(what, "problem", str(error), remedy)


def _versions() -> Finding:
    sdk = importlib.metadata.version("databricks-sdk")
    python = platform.python_version()
    found = f"lakeflow {__version__}, databricks-sdk {sdk}, Python {python}, {platform.system()}"
    return Finding("versions", "ok", found)


def _variables(what: str, names: tuple[str, ...]) -> Finding:
    given = {name: os.environ.get(name) or os.environ.get(name.lower()) for name in names}
    found = ", ".join(
        f"{name}={_without_password(value)}" for name, value in given.items() if value
    )
    return Finding(what, "ok", found or "not set in the environment")


def _without_password(value: str) -> str:
    scheme, separator, rest = value.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _certificates() -> Finding:
    given = {name: os.environ[name] for name in _CERTIFICATES if os.environ.get(name)}
    found = ", ".join(f"{name}={path}" for name, path in given.items())
    for name, path in given.items():
        why = _unusable(Path(path))
        if why is not None:
            remedy = f"Set {name} to a file with PEM certificates, or unset it."
            return Finding("certificates", "problem", f"{found}: {path}: {why}", remedy)
    if given.keys() == {"SSL_CERT_FILE"}:
        remedy = "The SDK's HTTP client ignores SSL_CERT_FILE: set REQUESTS_CA_BUNDLE, too."
        return Finding("certificates", "note", found, remedy)
    return Finding("certificates", "ok", found or "bundled with the SDK's HTTP client")


def _unusable(path: Path) -> str | None:
    """Return why a file or folder of certificates cannot be used; None if it can."""
    if not path.exists():
        return "no such file"
    try:
        if path.is_file():
            ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        return f"cannot be read: {error}"
    return None


def _builds() -> Finding:
    from uv import find_uv_bin

    try:
        command = [find_uv_bin(), "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        remedy = "Reinstall uv (pip install uv): builds from source need it."
        return Finding("builds", "problem", f"uv does not run: {error}", remedy)
    return Finding("builds", "ok", said.stdout.strip())


def _federation(auth_type: str) -> Finding:
    """Check the token of the CI system, which the workspace exchanges for its own token."""
    try:
        identity = federation.read_identity(auth_type, os.environ)
    except federation.NoToken as error:
        return Finding("federation", "problem", f"{auth_type}: {error}", error.remedy)
    return Finding("federation", "ok", f"{auth_type}: {identity}")


def _route(workspace: Workspace) -> Finding:
    """Check whether requests go through a proxy, by the rules of the SDK's HTTP client."""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(workspace.host, get_environ_proxies(workspace.host))
    how = f"through the proxy {_without_password(proxy)}" if proxy else "directly"
    return Finding("route", "ok", f"{workspace.host} is reached {how}")


def _state_folder() -> Finding:
    folder = state_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "Free disk space, or set LAKEFLOW_STATE_DIR to a writable folder."
        return Finding("state folder", "problem", f"{folder}: {error.strerror}", remedy)
    return Finding("state folder", "ok", str(folder))


def _store(workspace: Workspace) -> Finding:
    root = artifacts.root_of(workspace)
    with tempfile.TemporaryDirectory(prefix="lakeflow-") as folder:
        probe = Path(folder, "probe")
        probe.write_bytes(b"lakeflow doctor")
        path = f"{root}/.doctor-{secrets.token_hex(4)}"
        files.upload(workspace, path, probe, replace=False)
    try:
        read = files.read(workspace, path)
    finally:
        files.remove(workspace, files.Entry(path, "file"))
    if read != b"lakeflow doctor":
        return Finding("store", "problem", f"{root} returns other bytes", "Use another folder.")
    if not root.startswith("/Volumes/"):
        remedy = (
            "If the workspace refuses wheels over 10 MB, use a volume: "
            "LAKEFLOW_ROOT=/Volumes/<c>/<s>/<volume>/lakeflow"
        )
        return Finding("store", "note", f"{root}: readable and writable", remedy)
    return Finding("store", "ok", f"{root}: readable and writable")


def _jobs(workspace: Workspace) -> Finding:
    workspace.get("/api/2.2/jobs/list", limit=1)
    return Finding("jobs", "ok", "can be listed")


def _secrets(workspace: Workspace) -> Finding:
    workspace.get("/api/2.0/secrets/scopes/list")
    return Finding("secrets", "ok", "scopes can be listed")


def _clusters(workspace: Workspace) -> Finding:
    raw = workspace.get("/api/2.0/preview/scim/v2/Me")
    entitlements = {item.get("value") for item in raw.get("entitlements") or ()}
    groups = {item.get("display") for item in raw.get("groups") or ()}
    workspace.get("/api/2.1/clusters/list", page_size=1)
    if "allow-cluster-create" in entitlements or "admins" in groups:
        return Finding("clusters", "ok", "can be listed and created")
    if not entitlements:
        remedy = "If creating one fails: ask for the entitlement, or use --cluster-id."
        return Finding("clusters", "note", "can be listed; entitlements unknown", remedy)
    return Finding(
        "clusters",
        "note",
        "can be listed; the entitlement 'Unrestricted cluster creation' is missing",
        "Ask an administrator for it or for a cluster policy, or use --cluster-id.",
    )


def _runtimes(workspace: Workspace) -> Finding:
    available = workspace.get("/api/2.1/clusters/spark-versions").get("versions", [])
    compatible = {}
    for python in compatibility.PYTHONS:
        try:
            compatible[python] = compatibility.choose_runtime(available, [python])
        except LakeflowError:
            continue
    found = ", ".join(f"Python {p[0]}.{p[1]}: {key}" for p, key in compatible.items())
    if not compatible:
        remedy = f"lakeflow needs an LTS runtime, {compatibility.OLDEST_RUNTIME}.3 or newer."
        return Finding("runtimes", "problem", "no compatible runtime", remedy)
    return Finding("runtimes", "ok", found)


def _node_types(workspace: Workspace) -> Finding:
    chosen = node_types.choose_default(node_types.list_available(workspace))
    return Finding("node types", "ok", f"a new cluster gets {chosen}")


_CHECKS: tuple[tuple[str, Callable[[Workspace], Finding], str], ...] = (
    (
        "store",
        _store,
        "Set LAKEFLOW_ROOT to a folder that you can write to, such as one of a volume.",
    ),
    ("jobs", _jobs, "Ask an administrator for access to workflows (Workspace access)."),
    ("clusters", _clusters, "Ask an administrator for access to compute, or use --cluster-id."),
    ("runtimes", _runtimes, "Ask an administrator for access to compute."),
    ("node types", _node_types, "Create a cluster yourself and use it with --cluster-id."),
    ("secrets", _secrets, "Ask an administrator for access to secrets; --secret-env-var needs it."),
)
