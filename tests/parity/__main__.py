"""Makes docs/parity.md again: `PYTHONPATH=src:. python -m tests.parity [CLIENT ...]`.

Where clients are named, by their titles, the columns of the others stay what they were; so does
that of a client that fails.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.parity.clients import CLIENTS, ClientMissing
from tests.parity.conducting import TourFailed, open_workspace, tour
from tests.parity.table import PAGE, offered, read, render


def main(titles: list[str]) -> int:
    columns = read(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    failed = False
    with tempfile.TemporaryDirectory(prefix="lakeflow-parity-") as folder:
        os.environ["LAKEFLOW_STATE_DIR"] = folder
        with open_workspace(Path(folder)) as facts:
            for client in CLIENTS:
                if titles and client.title not in titles:
                    continue
                started = time.monotonic()
                try:
                    columns[client.title] = tour(client, facts, Path(folder))
                except (ClientMissing, TourFailed) as problem:
                    failed = True
                    print(f"{client.title}: {problem}", file=sys.stderr, flush=True)
                took = time.monotonic() - started
                print(f"{client.title} {client.version}: {took:.0f} s", flush=True)
                PAGE.write_text(render(columns), encoding="utf-8")
    print(f"{PAGE}: {offered(columns)} cells measured")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
