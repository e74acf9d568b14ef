"""A package to try lakeflow with."""

from __future__ import annotations
