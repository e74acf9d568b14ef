"""`python -m lakeflow` is the command `lakeflow`."""

from __future__ import annotations

from lakeflow.cli import main

if __name__ == "__main__":
    main()
