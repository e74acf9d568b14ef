"""The goal `lakeflow-deploy`: build wheels, then start one launcher for all of them."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pants.base.build_environment import get_buildroot
from pants.core.util_rules.distdir import DistDir
from pants.engine.console import Console
from pants.engine.env_vars import EnvironmentVarsRequest
from pants.engine.fs import MergeDigests
from pants.engine.goal import Goal, GoalSubsystem
from pants.engine.process import InteractiveProcess
from pants.engine.rules import collect_rules, goal_rule
from pants.engine.target import NoApplicableTargetsBehavior, TargetRootsToFieldSetsRequest
from pants.option.option_types import ArgsListOption, BoolOption, StrListOption, StrOption
from pants.util.docutil import bin_name
from pants.util.strutil import softwrap

from lakeflow_pants import __version__
from lakeflow_pants._engine import (
    environment_vars_subset,
    find_valid_field_sets_for_target_roots,
    implicitly,
    merge_digests,
    run_interactive_process,
)
from lakeflow_pants.launcher import (
    ENVIRONMENT_VARIABLES,
    LauncherRequest,
    launcher_of,
    secret_variables,
)
from lakeflow_pants.manifest import FOLDER, ManifestRequest, manifest_of
from lakeflow_pants.targets import LakeflowDeployFieldSet, selection_of

_WRONG_USAGE, _REFUSED = 2, 3
"""The launcher's exit codes for the same."""

_REMEDY = (
    "Name a `python_distribution`, such as `src/trainer:dist`; "
    "`pants list --filter-target-type=python_distribution ::` lists them."
)


class LakeflowDeploySubsystem(GoalSubsystem):
    name = "lakeflow-deploy"
    help = softwrap("""
        Build the wheels of `python_distribution` targets and of the first-party distributions
        they need, and deploy each named target as a Databricks job.

        Arguments after `--` go to the launcher; `-- --help` lists them. For example:

            pants lakeflow-deploy src/trainer:dist -- --max-workers 4 --run "--epochs 3"

        If no Databricks is configured, the job runs in the local workspace.

        Exit codes: 0 success, 1 a build or a run failed, 2 wrong usage, 3 refused before anything
        was changed, 4 the workspace is unreachable or denies access. After Ctrl-C Pants exits with
        1, whatever the goal returns.

        While the goal follows runs, other Pants commands in this checkout wait for it and give up
        after `[GLOBAL].pantsd_timeout_when_multiple_invocations` seconds (60). Pass `--no-wait` and
        follow with `-- --attach RUN` later, or run the other command with `PANTS_CONCURRENT=true`.
        """)

    required_union_implementation = (LakeflowDeployFieldSet,)

    args = ArgsListOption(
        example="--max-workers 4",
        tool_name="the launcher",
        extra_help="Arguments after `--` are added, word for word.",
        passthrough=True,
    )
    dry_run = BoolOption(
        default=False,
        help="Build the wheels and show what would be deployed, without changing anything.",
    )
    report = StrOption(
        default="{distdir}/lakeflow-deploy.json",
        help=softwrap("""
            The report's file: the job, wheels, digests and runs of each target, as JSON.
            `{distdir}` is replaced by `[GLOBAL].pants_distdir`.
            """),
    )
    project = StrOption(
        default=None,
        help=softwrap("""
            The project's name. With the target's address it identifies a job in the workspace.
            Default: the name of the repo's folder.
            """),
    )
    launcher = StrOption(
        default=None,
        advanced=True,
        help=softwrap("""
            The address of the launcher's source if it is part of this repo, such as
            `src/lakeflow/__main__.py`. Unset: `launcher_requirement`.
            """),
    )
    launcher_requirement = StrOption(
        default=f"lakeflow-launcher[local]=={__version__}",
        advanced=True,
        help="The launcher to install, from the indexes and folders of `[python-repos]`.",
    )
    launcher_lockfile = StrOption(
        default=None,
        advanced=True,
        help=softwrap("""
            A file in this repo that pins the launcher and its dependencies: a requirements file
            with hashes, as written by `uv pip compile --universal --generate-hashes`, or a Pants
            lockfile.
            """),
    )
    launcher_interpreter_constraints = StrListOption(
        default=["CPython>=3.10,<3.14"],
        advanced=True,
        help="The Python versions that the installed launcher may run on.",
    )
    env_vars = StrListOption(
        default=[],
        advanced=True,
        help=softwrap("""
            More environment variables for the launcher, `NAME` or `NAME=value`. It always gets
            those that configure access to Databricks and to a package index (`DATABRICKS_HOST`,
            `LAKEFLOW_ROOT`, `HTTPS_PROXY`, ...) and those that `--secret-env-var` names.
            """),
    )


class LakeflowDeploy(Goal):
    subsystem_cls = LakeflowDeploySubsystem
    environment_behavior = Goal.EnvironmentBehavior.LOCAL_ONLY


@goal_rule
async def deploy(
    subsystem: LakeflowDeploySubsystem,
    dist_dir: DistDir,
    console: Console,
) -> LakeflowDeploy:
    """Check the targets, build the wheels, run one launcher and return its exit code.

    The report of an earlier deploy is deleted first, so that it cannot be mistaken for this one's.
    """
    report = subsystem.report.replace("{distdir}", str(dist_dir.relpath))
    try:
        Path(get_buildroot(), report).unlink(missing_ok=True)
    except OSError as error:
        return _refuse(
            console, _REFUSED, f"the report {report} cannot be written: {error.strerror}."
        )
    if any("{chroot}" in word for word in subsystem.args):
        return _refuse(
            console,
            _WRONG_USAGE,
            "an argument contains `{chroot}`, which Pants would replace: write it another way.",
        )
    selection = await selection_of(**implicitly())
    if selection.refused:
        return _refuse(
            console,
            _WRONG_USAGE,
            f"only distributions can be deployed, not {', '.join(selection.refused)}. {_REMEDY}",
        )
    roots = await find_valid_field_sets_for_target_roots(
        TargetRootsToFieldSetsRequest(
            LakeflowDeployFieldSet,
            goal_description="the `lakeflow-deploy` goal",
            no_applicable_targets_behavior=NoApplicableTargetsBehavior.ignore,
        ),
        **implicitly(),
    )
    if not roots.targets:
        if selection.may_be_empty:
            console.print_stderr(
                "lakeflow-deploy: no distribution among the targets, none deployed"
            )
            return LakeflowDeploy(exit_code=0)
        return _refuse(console, _WRONG_USAGE, f"no distribution among the targets. {_REMEDY}")

    addresses = [target.address.spec for target in roots.targets]
    manifest = await manifest_of(
        ManifestRequest(
            roots=tuple(roots.targets),
            named=selection.named,
            project=subsystem.project or Path(get_buildroot()).name,
            command=shlex.join([bin_name(), subsystem.name, *addresses, "--"]),
        ),
        **implicitly(),
    )
    if manifest.refused is not None:
        return _refuse(console, _REFUSED, manifest.refused)
    console.print_stderr(
        "lakeflow-deploy: "
        + ", ".join(f"{entry.wheel} of {entry.address}" for entry in manifest.distributions)
    )

    launcher = await launcher_of(
        LauncherRequest(
            address=subsystem.launcher,
            requirement=subsystem.launcher_requirement,
            lockfile=subsystem.launcher_lockfile,
            interpreter_constraints=tuple(subsystem.launcher_interpreter_constraints),
        ),
        **implicitly(),
    )
    if launcher.refused is not None:
        return _refuse(console, _WRONG_USAGE, launcher.refused)
    names = (*ENVIRONMENT_VARIABLES, *secret_variables(subsystem.args), *subsystem.env_vars)
    variables = await environment_vars_subset(EnvironmentVarsRequest(names), **implicitly())
    digest = await merge_digests(MergeDigests([launcher.digest, manifest.digest]))
    result = await run_interactive_process(
        InteractiveProcess(
            argv=(
                *launcher.argv,
                "deploy",
                "--manifest",
                f"{{chroot}}/{FOLDER}/manifest.json",
                "--report",
                report,
                *(["--dry-run"] if subsystem.dry_run else []),
                *subsystem.args,
            ),
            # Pants treats equal processes as one and would warn of the second in the same pantsd.
            env={**launcher.env, **variables, "LAKEFLOW_PANTS_RUN": uuid.uuid4().hex},
            input_digest=digest,
            run_in_workspace=True,
            append_only_caches=launcher.append_only_caches,
            immutable_input_digests=launcher.immutable_input_digests,
        )
    )
    return LakeflowDeploy(exit_code=result.exit_code)


def _refuse(console: Console, exit_code: int, why: str) -> LakeflowDeploy:
    console.print_stderr(f"{console.sigil_failed()} lakeflow-deploy: {why}")
    return LakeflowDeploy(exit_code=exit_code)


def rules() -> Iterable[Any]:
    """The goal rule of this module."""
    return collect_rules()
