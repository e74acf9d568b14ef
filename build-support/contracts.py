"""Check the import contracts of pyproject.toml, from the root of the repository.

./pants run build-support/contracts.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from importlinter import cli


def main() -> int:
    """Print a line for each contract. Returns the exit code: 0 if all are kept."""
    # Put first: the packages of this tree count, not those that are installed.
    sys.path[:0] = [str(Path(root).resolve()) for root in ("src", "pants-plugins")]
    return cli.lint_imports(no_cache=True)


if __name__ == "__main__":
    sys.exit(main())
