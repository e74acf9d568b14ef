"""What runs beside the user's code on a cluster: standard library only, Python 3.9 and newer.

Every import here is on the way to the user's code, so there are few: facts are named tuples, since
`dataclasses` would load `inspect`, and installed distributions are found by their folders, since
`importlib.metadata` would load `email`.
"""

from __future__ import annotations

__version__ = "0.1.0"
