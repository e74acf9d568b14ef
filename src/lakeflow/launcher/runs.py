"""The Python API for runs: `launcher.runs`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from lakeflow.launcher.session_group import SessionGroup

if TYPE_CHECKING:
    from lakeflow.operations.logs import RunLogs
    from lakeflow.operations.outputs import OutputFile
    from lakeflow.operations.repair import PendingRepair
    from lakeflow.operations.trigger import PendingTrigger
    from lakeflow.resources.run_now import RunResult
    from lakeflow.resources.runs import Run


class Runs(SessionGroup):
    """Runs: `launcher.runs`. `Launcher.trigger_run` starts one, `Launcher.wait` follows them."""

    def get(self, run_id: int) -> Run:
        """Return a run with its tasks. Raises UsageError for an unknown run."""
        from lakeflow.operations import runs

        return runs.get_run(self._session, run_id)

    def list(self, job_id: int, *, limit: int = 24) -> Sequence[Run]:
        """Return the newest runs of a job. Raises UsageError for an unknown job."""
        from lakeflow.operations import runs

        return runs.list_job_runs(self._session, job_id, limit=limit)

    def logs(
        self,
        run_id: int,
        *,
        follow: bool = False,
        tail: int | None = None,
        all_tasks: bool = False,
        download_to: Path | None = None,
        show: bool = True,
    ) -> RunLogs:
        """Return what a run has printed so far, or with `follow` until it finishes.

        The output goes to the launcher's observer, or with `show=False` into the result, or into
        files below `download_to`. It is that of the failed tasks, or of all if none failed;
        `all_tasks` is every attempt of every task. `tail` is the number of each task's last lines
        to start with.

        Raises UsageError for an unknown run, and Interrupted on Ctrl-C while following.
        """
        from lakeflow.operations import logs

        return logs.get_run_logs(
            self._session,
            run_id,
            follow=follow,
            tail=tail,
            all_tasks=all_tasks,
            download_to=download_to,
            show=show,
        )

    def outputs(self, run_id: int, *, download_to: Path | None = None) -> tuple[OutputFile, ...]:
        """Return the files in a run's output folders, downloaded if `download_to` is given.

        Raises UsageError for an unknown run or one that lakeflow did not deploy, and LakeflowError
        if a name leads out of the folder or a file did not arrive completely.
        """
        from lakeflow.operations import outputs

        return outputs.outputs(self._session, run_id, download_to=download_to)

    def cancel(self, run_ids: Sequence[int], *, wait: bool = False) -> tuple[Run, ...]:
        """Cancel runs, and with `wait` return when they have finished.

        Raises UsageError for an unknown run, before any is cancelled.
        """
        from lakeflow.operations import runs

        return runs.cancel_runs(self._session, run_ids, wait=wait)

    def repair(self, run_id: int, *, with_current: bool = False, wait: bool = False) -> RunResult:
        """Run the failed tasks of a finished run again, with the arguments it was started with.

        Raises UsageError for an unknown run or job, and Refused if nothing failed, or if the job's
        code has changed and `with_current` is false.
        """
        from lakeflow.operations import repair

        return repair.repair_run(self._session, run_id, with_current=with_current, wait=wait)

    def url(self, run_id: int) -> str:
        """Return the URL of a run in the web UI. Raises UsageError for an unknown run."""
        from lakeflow.operations import runs

        return runs.url_of_run(self._session, run_id)

    def begin_trigger(
        self,
        job_id: int,
        calls: Sequence[Sequence[str]],
        *,
        request_id: str,
        env: Mapping[str, str] | None = None,
        secret_env_vars: Sequence[str] = (),
    ) -> AbstractContextManager[PendingTrigger]:
        """Lock the request for a run of a job for each of `calls`, identified by `request_id`.

        For programs that repeat a request whose response they did not get. Call `start` on it; if
        it `is_new`, ask for permission first. See `lakeflow.operations.trigger.begin_trigger`.
        """
        from lakeflow.operations import trigger
        from lakeflow.resources import secrets

        return trigger.begin_trigger(
            self._session,
            job_id,
            calls,
            request_id=request_id,
            env=env,
            secret_values=secrets.read(secret_env_vars, None, os.environ),
        )

    def begin_repair(
        self, run_id: int, *, request_id: str, with_current: bool = False
    ) -> AbstractContextManager[PendingRepair]:
        """Lock the request for a repair of a run, as `begin_trigger` does for new runs."""
        from lakeflow.operations import repair

        return repair.begin_repair(
            self._session, run_id, request_id=request_id, with_current=with_current
        )
