"""The groups of options that say where runs compute, and what a job is besides its code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from lakeflow.cli.options import variables

if TYPE_CHECKING:
    from lakeflow.specs.compute import Compute
    from lakeflow.specs.job import JobOptions


@dataclass(frozen=True)
class ComputeGroup:
    """Where runs compute, as it is typed."""

    compute: Annotated[
        str,
        typer.Option(
            "--compute",
            metavar="cluster|per-run|serverless",
            help="Where runs compute: on the driver of one cluster, on a single-node cluster for "
            "each run, or on serverless compute.",
        ),
    ] = "cluster"
    cluster_id: Annotated[
        str | None,
        typer.Option(
            "--cluster-id", metavar="ID", help="Use this cluster instead of one made for the job."
        ),
    ] = None
    max_workers: Annotated[
        int | None,
        typer.Option(
            "--max-workers",
            min=1,
            metavar="N",
            help="The most workers that the job's cluster may grow to. They serve Spark; the runs "
            "themselves compute on the cluster's driver. Default: 1 for a new cluster, else as is.",
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, metavar="N", help="Always so many workers."),
    ] = None
    single_node: Annotated[bool, typer.Option("--single-node", help="A driver and no workers.")] = (
        False
    )
    node_type: Annotated[
        str | None, typer.Option("--node-type", metavar="TYPE", help="The type of every machine.")
    ] = None
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            metavar="KEY",
            help="The Databricks Runtime, 15.4.x-scala2.12 say (default: the newest LTS that fits "
            "the wheels' Python).",
        ),
    ] = None
    spot: Annotated[
        bool, typer.Option("--spot", help="Spot machines where there are any, but for the driver.")
    ] = False
    pool: Annotated[
        str | None, typer.Option("--pool", metavar="ID", help="Take machines from this pool.")
    ] = None
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="ID", help="Make the cluster under this policy."),
    ] = None
    init_script: Annotated[
        list[str] | None,
        typer.Option(
            "--init-script",
            metavar="PATH",
            help="Run this script, under /Workspace or on a volume, when the cluster starts. "
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
            help="Set an environment variable of the cluster. Repeatable.",
        ),
    ] = None

    def checked(self) -> Compute:
        """The same as the launcher takes it. Raises UsageError where it makes no sense."""
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
            init_scripts=tuple(self.init_script or ()),
            spark_conf=variables(self.spark_conf, "--spark-conf"),
            spark_env=variables(self.spark_env, "--spark-env"),
        )
        found.check()
        return found


@dataclass(frozen=True)
class JobGroup:
    """What a job is besides its code, as it is typed."""

    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
            metavar="CRON",
            help='Start a run at these times, as Quartz cron: "0 0 6 * * ?" is every day at six.',
        ),
    ] = None
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", metavar="ZONE", help="The schedule's time zone (default: UTC)."),
    ] = None
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="End a run after 90m, 2h, 1d."),
    ] = None
    retries: Annotated[
        int, typer.Option("--retries", min=0, metavar="N", help="Try a failed run again so often.")
    ] = 0
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="K=V", help="A tag of the job. Repeatable."),
    ] = None
    notify: Annotated[
        list[str] | None,
        typer.Option(
            "--notify",
            metavar="ADDRESS",
            help="Send mail when a run fails; success:ADDRESS, start:ADDRESS for these. "
            "Repeatable.",
        ),
    ] = None
    permission: Annotated[
        list[str] | None,
        typer.Option(
            "--permission",
            metavar="LEVEL:WHO",
            help="Grant CAN_VIEW, CAN_MANAGE_RUN or CAN_MANAGE on the job, and what goes with it "
            "on its cluster, to a user, group:NAME or service_principal:ID. Repeatable.",
        ),
    ] = None
    run_as: Annotated[
        str | None,
        typer.Option(
            "--run-as",
            metavar="WHO",
            help="Run as this user or service principal, who has to read LAKEFLOW_ROOT.",
        ),
    ] = None

    def checked(self) -> JobOptions:
        """The same as the launcher takes it. Raises UsageError where it makes no sense."""
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
