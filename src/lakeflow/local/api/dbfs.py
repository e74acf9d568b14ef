"""DBFS."""

from __future__ import annotations

from lakeflow.local.api.call import Route

ROUTES: tuple[Route, ...] = ()
