"""Sends a client on its tour of a workspace, and says what came of it, cell by cell."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lakeflow_local import daemon
from lakeflow_local.server.certificates import Certificates, ensure
from tests.lakeflow_local.helpers import connect, probe_wheel, start_cluster, upload
from tests.parity.catalog import ROWS, Row
from tests.parity.clients import REPO, Client, in_this_environment
from tests.parity.drivers.tour import Facts
from tests.parity.recorder import Exchange, Recorder

TOUR_SECONDS = 900
NOT_OFFERED = "-"


class TourFailed(Exception):
    """A client did not do what a call should do, though the workspace did not refuse it."""


@dataclass(frozen=True)
class Finding:
    """The outcome of a call: `failed` is what was wrong, `broken` what the client gets wrong."""

    call: str
    failed: str | None
    version: str | None
    broken: str | None


@contextlib.contextmanager
def open_workspace(folder: Path) -> Iterator[Facts]:
    """A separate workspace for the tours, with the probe's wheel and a running cluster.

    Its state is where LAKEFLOW_STATE_DIR says.
    """
    endpoint = daemon.ensure_up(port=0)
    try:
        client = connect(endpoint)
        cluster_id = start_cluster(client)
        cluster = client.clusters.get(cluster_id)
        yield Facts(
            host=endpoint.host,
            token=endpoint.token,
            user=str(client.current_user.me().user_name),
            cluster_id=cluster_id,
            wheel=upload(client, probe_wheel(folder / "wheels", "1.0")),
            spark_version=str(cluster.spark_version),
            node_type_id=str(cluster.node_type_id),
            name="",
        )
    finally:
        daemon.down()


def tour(client: Client, facts: Facts, folder: Path) -> dict[str, str]:
    """The cells of a client, by the rows' keys; `folder` is for what it writes.

    Raises:
        ClientMissing: it cannot be installed here.
        TourFailed: it found something else than it should, other than by a refusal.
    """
    command = client.prepare(client)
    name = re.sub(r"\W+", "-", client.title).lower()
    home = folder / name
    home.mkdir()
    findings, given = home / "findings", home / "facts.json"
    certificates = ensure(home, "127.0.0.1")
    with Recorder(
        facts.host, (certificates.chain, certificates.key) if client.insists_on_tls else None
    ) as recorder:
        host = "http://127.0.0.1" if client.drops_the_port else recorder.host
        mine = {**asdict(facts), "host": host, "name": f"parity-{name}"}
        given.write_text(json.dumps(mine), encoding="utf-8")
        finished = subprocess.run(
            [*command, str(given), str(findings)],
            cwd=home,
            env=_environment(client, home, certificates, recorder.host),
            capture_output=True,
            text=True,
            timeout=TOUR_SECONDS,
        )
    found = _read(findings)
    if finished.returncode:
        failed = "\n".join(finding.failed for finding in found if finding.failed is not None)
        said = f"{finished.stdout[-2000:]}\n{finished.stderr[-4000:]}"
        raise TourFailed(f"{client.title}: {failed}\n{said}")
    try:
        return cells(found, recorder.exchanges)
    except TourFailed as problem:
        raise TourFailed(f"{client.title}: {problem}") from None


def _read(file: Path) -> list[Finding]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = (json.loads(line) for line in lines)
    return [
        Finding(each["call"], each["failed"], each.get("version"), each.get("broken"))
        for each in found
    ]


def cells(found: Sequence[Finding], exchanges: Sequence[Exchange]) -> dict[str, str]:
    """What a client found, checked against what was sent and answered."""
    unknown = {finding.call for finding in found} - {row.key for row in ROWS}
    problems = [f"{call} is no row" for call in sorted(unknown)]
    table = {}
    for row in ROWS:
        mine = [finding for finding in found if finding.call == row.key]
        try:
            table[row.key] = _cell(row, mine, exchanges) if mine else NOT_OFFERED
        except TourFailed as problem:
            problems.append(f"{row.key}: {problem}")
    if problems:
        raise TourFailed("\n".join(problems))
    return table


def _cell(row: Row, found: Sequence[Finding], exchanges: Sequence[Exchange]) -> str:
    good, refused = set(), []
    for exchange in exchanges:
        version = row.version(exchange.method, exchange.path)
        if version is not None and exchange.status < 300:
            good.add(version)
        elif version is not None and exchange.error is not None:
            refused.append(exchange.error)
    failed = [finding.failed for finding in found if finding.failed is not None]
    broken = [finding.broken for finding in found if finding.broken is not None]
    tried = {finding.version for finding in found if finding.version is not None}
    if failed:
        if good or not refused:
            raise TourFailed("\n".join(failed))
        text = re.sub(r"\b(Run|Job) \d+\b", r"\1 N", refused[-1])
        return f"refused: {text}"
    if not good or not tried <= good:
        raise TourFailed("it says that it worked, but no such request was answered well")
    return f"broken: {broken[0]}" if broken else ", ".join(sorted(tried or good))


def _environment(
    client: Client, home: Path, certificates: Certificates, address: str
) -> dict[str, str]:
    """The driver's environment: its own home, and nothing of another workspace."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DATABRICKS_", "LAKEFLOW_", "PYTEST_"))
        and not name.lower().endswith("_proxy")
    }
    path = [str(REPO), *(sys.path if client.prepare is in_this_environment else ())]
    kept |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(path), **certificates.variables()}
    if client.drops_the_port:
        kept |= {"HTTP_PROXY": address, "http_proxy": address}
    return kept
