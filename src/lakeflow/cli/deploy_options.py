"""Groups of options of the commands that deploy: compute options and job options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from lakeflow.cli.option_types import variables

if TYPE_CHECKING:
    from lakeflow.specs.compute import Compute
    from lakeflow.specs.job import JobOptions


@dataclass(frozen=True)
class ComputeGroup:
    """Options for compute, as typed."""

    compute: Annotated[
        str | None,
        typer.Option(
            "--compute",
            metavar="cluster|per-run|serverless",
            help="Compute of the runs: one shared cluster, a single-node cluster for each run, or "
            "serverless (default: cluster, or serverless in a workspace that has nothing else).",
        ),
    ] = None
    cluster_id: Annotated[
        str | None,
        typer.Option(
            "--cluster-id", metavar="ID", help="Use this cluster instead of creating one."
        ),
    ] = None
    max_workers: Annotated[
        int | None,
        typer.Option(
            "--max-workers",
            min=1,
            metavar="N",
            help="Maximum number of workers of the job's cluster (a new cluster has none). "
            "Workers serve Spark; the runs themselves use the cluster's driver.",
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Fixed number of workers."),
    ] = None
    single_node: Annotated[bool, typer.Option("--single-node", help="Use no workers.")] = False
    node_type: Annotated[
        str | None,
        typer.Option("--node-type", metavar="TYPE", help="Node type of all nodes."),
    ] = None
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            metavar="KEY",
            help="Databricks Runtime, such as 15.4.x-scala2.12 (default: the newest LTS with the "
            "wheels' Python).",
        ),
    ] = None
    spot: Annotated[bool, typer.Option("--spot", help="Use spot workers when available.")] = False
    pool: Annotated[
        str | None, typer.Option("--pool", metavar="ID", help="Take nodes from this instance pool.")
    ] = None
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="ID",
            help="Cluster policy to use; its defaults apply instead of lakeflow's.",
        ),
    ] = None
    idle_minutes: Annotated[
        int | None,
        typer.Option(
            "--idle-minutes",
            metavar="N",
            help="Terminate the job's cluster after N minutes without work (default: 30 for a new "
            "cluster).",
        ),
    ] = None
    performance_target: Annotated[
        str | None,
        typer.Option(
            "--performance-target",
            metavar="standard|optimized",
            help="Serverless runs that cost less, or that start faster (default: optimized).",
        ),
    ] = None
    init_script: Annotated[
        list[str] | None,
        typer.Option(
            "--init-script",
            metavar="PATH",
            help="Run this script (under /Workspace or on a volume) when the cluster starts. "
            "Repeatable.",
        ),
    ] = None
    spark_conf: Annotated[
        list[str] | None,
        typer.Option("--spark-conf", metavar="K=V", help="Set a Spark property. Repeatable."),
    ] = None
    spark_env: Annotated[
        list[str] | None,
        typer.Option(
            "--spark-env",
            metavar="K=V",
            help="Set an environment variable on the cluster. Repeatable.",
        ),
    ] = None

    def checked(self) -> Compute:
        """Return the compute options. Raises UsageError for contradictions."""
        from lakeflow.specs.compute import Compute

        found = Compute(
            kind=self.compute,
            cluster_id=self.cluster_id,
            max_workers=self.max_workers,
            workers=self.workers,
            single_node=self.single_node,
            node_type=self.node_type,
            runtime=self.runtime,
            spot=self.spot,
            pool=self.pool,
            policy=self.policy,
            idle_minutes=self.idle_minutes,
            performance_target=self.performance_target,
            init_scripts=tuple(self.init_script or ()),
            spark_conf=variables(self.spark_conf, "--spark-conf"),
            spark_env=variables(self.spark_env, "--spark-env"),
        )
        found.check()
        return found


@dataclass(frozen=True)
class JobGroup:
    """Options for a job, as typed."""

    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
            metavar="CRON",
            help='Start runs on this Quartz cron schedule: "0 0 6 * * ?" is every day at six.',
        ),
    ] = None
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", metavar="ZONE", help="The schedule's time zone (default: UTC)."),
    ] = None
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout", metavar="TIME", help="Cancel a run after this time, such as 90m, 2h, 1d."
        ),
    ] = None
    retries: Annotated[
        int,
        typer.Option("--retries", min=0, metavar="N", help="Number of retries."),
    ] = 0
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="K=V", help="Set a tag on the job. Repeatable."),
    ] = None
    notify: Annotated[
        list[str] | None,
        typer.Option(
            "--notify",
            metavar="ADDRESS",
            help="Send an e-mail when a run fails, or on success:ADDRESS or start:ADDRESS. "
            "Repeatable.",
        ),
    ] = None
    permission: Annotated[
        list[str] | None,
        typer.Option(
            "--permission",
            metavar="LEVEL:PRINCIPAL",
            help="Grant CAN_VIEW, CAN_MANAGE_RUN or CAN_MANAGE on the job, and the corresponding "
            "level on its cluster, to a user, group:NAME or service_principal:ID. Repeatable.",
        ),
    ] = None
    run_as: Annotated[
        str | None,
        typer.Option(
            "--run-as",
            metavar="PRINCIPAL",
            help="Run as this user or service principal, who needs read access to LAKEFLOW_ROOT.",
        ),
    ] = None

    def checked(self) -> JobOptions:
        """Return the job options. Raises UsageError for what the Jobs API would refuse."""
        from lakeflow.specs.job import job_options

        return job_options(
            schedule=self.schedule,
            timezone=self.timezone,
            timeout=self.timeout,
            retries=self.retries,
            tags=variables(self.tag, "--tag"),
            notify=self.notify or (),
            permissions=self.permission or (),
            run_as=self.run_as,
        )
