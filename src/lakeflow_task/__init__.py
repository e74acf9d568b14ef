"""Runs the user's code on a cluster. Standard library only, Python 3.9 and newer.

Every import delays the user's code, so there are few: records are named tuples, since
`dataclasses` imports `inspect`, and installed distributions are found by their folders, since
`importlib.metadata` imports `email`.
"""

from __future__ import annotations

__version__ = "0.1.0"
