"""What the server may do, as the person who starts it decides; no client can change it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lakeflow.errors import Refused, UsageError
from lakeflow.mcp.allowed_paths import resolve_path, resolve_wheel
from lakeflow.mcp.requests import (
    BuildRequest,
    CancelRequest,
    DeployWheelsRequest,
    RepairRequest,
    Request,
    TriggerRequest,
)
from lakeflow.specs.compute import Compute

MAX_COPIES = 100
"""Runs that one call may start, unless the server was started with another number."""

MAX_WORKERS = 8
"""Workers that a cluster may have, unless the server was started with another number."""

ASK_ABOVE = 10
"""Runs that one call may start without confirmation."""

MAX_RUNS = 100
"""Runs that one call may cancel."""


@dataclass(frozen=True)
class Policy:
    """What the server may do (docs/mcp.md explains what each option permits).

    Local files are read only below the folders `roots`, and built there with `allow_build`.
    `secret_env_vars` names the server's variables that runs may receive as secrets.
    """

    read_only: bool = False
    allow_build: bool = False
    roots: tuple[Path, ...] = ()
    all_resources: bool = False
    max_copies: int = MAX_COPIES
    max_workers: int = MAX_WORKERS
    ask_above: int = ASK_ABOVE
    links: bool = False
    secret_env_vars: tuple[str, ...] = ()

    def check(self, request: Request, *, dry_run: bool = False) -> None:
        """Raise Refused or UsageError unless the request is allowed. Sends nothing.

        A read-only server still allows dry runs, except of a build, which runs code.
        """
        if self.read_only and (isinstance(request, BuildRequest) or not dry_run):
            raise Refused("this server is read-only: it was started with --read-only")
        if isinstance(request, TriggerRequest):
            self._check_trigger(request)
        elif isinstance(request, CancelRequest):
            if not 0 < len(request.run_ids) <= MAX_RUNS:
                raise UsageError(f"run_ids takes 1 to {MAX_RUNS} runs")
        elif isinstance(request, DeployWheelsRequest):
            self._check_size(request.compute)
            self.wheels(request)
        elif isinstance(request, BuildRequest):
            self._check_size(request.compute)
            self.folder(request)
        else:
            assert isinstance(request, RepairRequest)  # nothing to check without the workspace

    def needs_confirmation(self, request: TriggerRequest) -> bool:
        """Return whether so many runs need confirmation."""
        return len(request.calls) > self.ask_above

    def wheels(self, request: DeployWheelsRequest) -> list[Path | str]:
        """Return the wheels of a deploy: files below the roots, or paths in the workspace."""
        if not request.wheels:
            raise UsageError("wheels is empty: name at least one wheel")
        return [resolve_wheel(wheel, self.roots) for wheel in request.wheels]

    def folder(self, request: BuildRequest) -> Path:
        """Return the folder of a build. Raises Refused unless it may be built."""
        if not self.allow_build:
            raise Refused(
                "a build runs the folder's code, and this server was started without "
                f"--allow-build. {_OPERATOR}"
            )
        return resolve_path(request.folder, self.roots)

    def check_source(self, source: Path) -> None:
        """Raise Refused unless a folder or archive that a build needs is below the roots."""
        resolve_path(str(source), self.roots)

    def _check_trigger(self, request: TriggerRequest) -> None:
        count = len(request.calls)
        if not count:
            raise UsageError(
                "arguments needs one list of strings for each run: "
                '[["fi"], ["fie"]] starts two. [[]] starts one run without arguments.'
            )
        if count > self.max_copies:
            raise Refused(
                f"{count} runs requested, but this server starts at most {self.max_copies} with "
                f"one call (--max-copies). {_OPERATOR}"
            )
        denied = sorted({*request.secret_env_vars} - {*self.secret_env_vars})
        if denied:
            raise Refused(
                f"{', '.join(denied)}: this server does not pass these variables to runs "
                f"(--secret-env-var). {_OPERATOR}"
            )

    def _check_size(self, compute: Compute) -> None:
        if compute.max_workers is not None and compute.max_workers > self.max_workers:
            raise Refused(
                f"max_workers is {compute.max_workers}, but this server allows at most "
                f"{self.max_workers} (--max-workers). {_OPERATOR}"
            )


_OPERATOR = "Only the person who runs the server can change that."
