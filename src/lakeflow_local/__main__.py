"""`python -m lakeflow_local --folder FOLDER ...`: the server's process."""

from __future__ import annotations

import sys

from lakeflow_local.server.process import main

if __name__ == "__main__":
    sys.exit(main())
