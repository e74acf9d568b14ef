"""The entry point: print how many primes there are below each argument."""

from __future__ import annotations

import sys

from native_rust._primes import count_below


def main() -> None:
    """Print a line for each argument."""
    for word in sys.argv[1:]:
        print(word, count_below(int(word)))
