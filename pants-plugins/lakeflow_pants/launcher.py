"""Prepare the launcher: from source in its own repo, from a requirement elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pants.backend.python.target_types import ConsoleScript
from pants.backend.python.util_rules.interpreter_constraints import InterpreterConstraints
from pants.backend.python.util_rules.pex import PexRequest, VenvPexRequest
from pants.backend.python.util_rules.pex_environment import PexEnvironment
from pants.backend.python.util_rules.pex_requirements import (
    EntireLockfile,
    Lockfile,
    PexRequirements,
)
from pants.core.goals.run import RunFieldSet, RunRequest
from pants.engine.addresses import UnparsedAddressInputs
from pants.engine.fs import EMPTY_DIGEST, Digest
from pants.engine.rules import collect_rules, rule
from pants.engine.target import FieldSetsPerTargetRequest
from pants.util.frozendict import FrozenDict

from lakeflow_pants._engine import (
    CALLS_BY_NAME,
    create_venv_pex,
    find_valid_field_sets,
    generate_run_request,
    implicitly,
    pex_environment_variables,
    resolve_unexpanded_targets,
)

ENVIRONMENT_VARIABLES = (
    # user, machine and terminal
    "CI",
    "COLUMNS",
    "HOME",
    "LANG",
    "LC_ALL",
    "LINES",
    "LOGNAME",
    "NO_COLOR",
    "PATH",
    "PYENV_ROOT",
    "SHELL",
    "TERM",
    "TMPDIR",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    # the launcher's settings
    "LAKEFLOW_ROOT",
    "LAKEFLOW_STATE_DIR",
    "LAKEFLOW_WORKSPACE",
    # Databricks' unified authentication, by the `env=` of databricks.sdk.config.Config (0.156)
    "DATABRICKS_ACCOUNT_ID",
    "DATABRICKS_AUTH_TYPE",
    "DATABRICKS_AZURE_RESOURCE_ID",
    "DATABRICKS_CLIENT_ID",
    "DATABRICKS_CLIENT_SECRET",
    "DATABRICKS_CLI_PATH",
    "DATABRICKS_CLOUD",
    "DATABRICKS_CLUSTER_ID",
    "DATABRICKS_CONFIG_FILE",
    "DATABRICKS_CONFIG_PROFILE",
    "DATABRICKS_DEBUG_HEADERS",
    "DATABRICKS_DEBUG_TRUNCATE_BYTES",
    "DATABRICKS_DISABLE_ASYNC_TOKEN_REFRESH",
    "DATABRICKS_DISABLE_EXPERIMENTAL_FILES_API_CLIENT",
    "DATABRICKS_DISABLE_OAUTH_REFRESH_TOKEN",
    "DATABRICKS_DISCOVERY_URL",
    "DATABRICKS_GOOGLE_SERVICE_ACCOUNT",
    "DATABRICKS_GROUP_ID",
    "DATABRICKS_HOST",
    "DATABRICKS_METADATA_SERVICE_URL",
    "DATABRICKS_OIDC_TOKEN",
    "DATABRICKS_OIDC_TOKEN_ENV",
    "DATABRICKS_OIDC_TOKEN_FILE",
    "DATABRICKS_OIDC_TOKEN_FILEPATH",
    "DATABRICKS_PASSWORD",
    "DATABRICKS_RATE_LIMIT",
    "DATABRICKS_SDK_UPSTREAM",
    "DATABRICKS_SDK_UPSTREAM_VERSION",
    "DATABRICKS_SERVERLESS_COMPUTE_ID",
    "DATABRICKS_TOKEN",
    "DATABRICKS_TOKEN_AUDIENCE",
    "DATABRICKS_USERNAME",
    "DATABRICKS_WAREHOUSE_ID",
    "DATABRICKS_WORKSPACE_ID",
    # logins of clouds and CI systems
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ARM_CLIENT_ID",
    "ARM_CLIENT_SECRET",
    "ARM_ENVIRONMENT",
    "ARM_TENANT_ID",
    "ARM_USE_MSI",
    "AZURE_CONFIG_DIR",
    "CLOUDSDK_CONFIG",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CREDENTIALS",
    "SYSTEM_ACCESSTOKEN",
    "SYSTEM_HOSTTYPE",
    "SYSTEM_JOBID",
    "SYSTEM_PLANID",
    "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI",
    "SYSTEM_TEAMPROJECTID",
    # where CI systems show the report
    "GITHUB_ACTIONS",
    "GITHUB_STEP_SUMMARY",
    "TF_BUILD",
    # proxies and certificates
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    # package indexes for the local workspace
    "PIP_CERT",
    "PIP_CONFIG_FILE",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_TRUSTED_HOST",
    "UV_CACHE_DIR",
    "UV_CONFIG_FILE",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_INDEX_STRATEGY",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_NATIVE_TLS",
    "UV_NO_INDEX",
    "UV_OFFLINE",
    "UV_PYTHON_INSTALL_DIR",
    "UV_SYSTEM_CERTS",
)
"""Names passed to the launcher if set; Pants 2.17 takes names only, no patterns."""


class NoLauncher(Exception):
    """`[lakeflow-deploy].launcher` names no target that can be run."""


@dataclass(frozen=True)
class LauncherRequest:
    """The options that select the launcher: its address in this repo, else a requirement.

    `lockfile` is a path in the repo, of a Pants lockfile or a hash-pinned requirements file.
    """

    address: str | None
    requirement: str
    lockfile: str | None
    interpreter_constraints: tuple[str, ...]


@dataclass(frozen=True)
class Launcher:
    """What an `InteractiveProcess` needs to start it; `{chroot}` in `argv` is its sandbox.

    `refused` says why there is no launcher.
    """

    argv: tuple[str, ...] = ()
    env: FrozenDict[str, str] = field(default_factory=FrozenDict)
    digest: Digest = EMPTY_DIGEST
    append_only_caches: FrozenDict[str, str] = field(default_factory=FrozenDict)
    immutable_input_digests: FrozenDict[str, Digest] = field(default_factory=FrozenDict)
    refused: str | None = None


async def _run_request(address: str) -> RunRequest:
    targets = await resolve_unexpanded_targets(
        **implicitly(
            UnparsedAddressInputs(
                [address],
                owning_address=None,
                description_of_origin="the option `[lakeflow-deploy].launcher`",
            )
        )
    )
    runnable = await find_valid_field_sets(
        FieldSetsPerTargetRequest(RunFieldSet, targets), **implicitly()
    )
    if len(runnable.field_sets) != 1:
        raise NoLauncher(
            f"[lakeflow-deploy].launcher is {address}, which is no single target that "
            f"`pants run` can run. Give the address of the launcher's `python_source` or "
            f"`pex_binary`, or remove the option to use [lakeflow-deploy].launcher_requirement."
        )
    return await generate_run_request(**implicitly({runnable.field_sets[0]: RunFieldSet}))


@rule
async def make_launcher(request: LauncherRequest, pex_environment: PexEnvironment) -> Launcher:
    """Prepare the launcher, which runs on its own Python rather than on that of Pants."""
    if request.address is not None:
        try:
            source = await _run_request(request.address)
        except NoLauncher as error:
            return Launcher(refused=str(error))
        return Launcher(
            argv=tuple(source.args),
            env=FrozenDict(source.extra_env),
            digest=source.digest,
            append_only_caches=FrozenDict(source.append_only_caches or {}),
            immutable_input_digests=FrozenDict(source.immutable_input_digests or {}),
        )

    complete_environment = pex_environment.in_workspace()
    pex = await create_venv_pex(
        VenvPexRequest(
            PexRequest(
                output_filename="lakeflow-launcher.pex",
                internal_only=True,
                requirements=_requirements(request),
                interpreter_constraints=InterpreterConstraints(request.interpreter_constraints),
                main=ConsoleScript("lakeflow"),
                description=f"Installing {request.lockfile or request.requirement}",
            ),
            complete_environment,
        ),
        **implicitly(),
    )
    return Launcher(
        argv=("{chroot}/" + pex.pex.argv0,),
        env=FrozenDict(pex_environment_variables(complete_environment)),
        digest=pex.digest,
        append_only_caches=FrozenDict(
            {**complete_environment.append_only_caches, **(pex.append_only_caches or {})}
        ),
        immutable_input_digests=FrozenDict(),
    )


if TYPE_CHECKING or CALLS_BY_NAME:
    launcher_of = make_launcher
else:
    from pants.engine.rules import Get

    def launcher_of(request: LauncherRequest) -> Get:
        """`make_launcher` as older versions call a rule that has injected parameters."""
        return Get(Launcher, LauncherRequest, request)


def _requirements(request: LauncherRequest) -> PexRequirements | EntireLockfile:
    if request.lockfile is None:
        return PexRequirements(
            [request.requirement],
            description_of_origin="the option `[lakeflow-deploy].launcher_requirement`",
        )
    lockfile = Lockfile(
        url=request.lockfile,
        url_description_of_origin="the option `[lakeflow-deploy].launcher_lockfile`",
        resolve_name="lakeflow-launcher",
    )
    return EntireLockfile(lockfile, (request.requirement,))


def secret_variables(args: Iterable[str]) -> Iterator[str]:
    """Yield the names in `--secret-env-var K` and `--secret-env-var=K`.

    Arguments after `--` belong to the task and are not read.
    """
    words = iter(args)
    for word in words:
        if word == "--":
            return
        name = ""
        if word == "--secret-env-var":
            name = next(words, "")
        elif word.startswith("--secret-env-var="):
            name = word.partition("=")[2]
        if name.isidentifier():
            yield name


def rules() -> Iterable[Any]:
    """The rule of this module."""
    return collect_rules()
