"""Paths of a workspace: which store they belong to, and their normal form."""

from __future__ import annotations

from lakeflow.errors import UsageError


def is_remote(path: str) -> bool:
    """Return whether a path is in the workspace rather than on this machine."""
    return path.startswith("dbfs:/") or path.split("/")[:2] in (["", "Volumes"], ["", "Workspace"])


def is_on_volume(path: str) -> bool:
    """Return whether a normalized path is on a volume."""
    return path.startswith("/Volumes/")


def is_on_dbfs(path: str) -> bool:
    """Return whether a normalized path is on DBFS."""
    return path.startswith("dbfs:/")


def normalize(path: str) -> str:
    """Return a workspace path without `//` and a trailing slash.

    `dbfs:/Volumes/...` becomes `/Volumes/...`. Raises UsageError for any other kind of path.
    """
    if path.startswith(("dbfs:/Volumes/", "dbfs:/Workspace/")):
        path = path.removeprefix("dbfs:")
    if not is_remote(path):
        raise UsageError(
            f"{path!r} is not a workspace path\n"
            "hint: workspace paths begin with dbfs:/, /Volumes/ or /Workspace/"
        )
    store, slash, rest = path.partition("/")
    parts = [part for part in rest.split("/") if part]
    if any(part in (".", "..") for part in parts) or "\0" in path:
        raise UsageError(f"{path!r}: write the path without '.' and '..'")
    if parts[:1] == ["Volumes"] and not store and len(parts) < 4:
        raise UsageError(f"{path!r} names no volume: /Volumes/<catalog>/<schema>/<volume>/...")
    return store + slash + "/".join(parts)


def check_root(root: str) -> str:
    """Return LAKEFLOW_ROOT, the folder of artifacts and runs, without a trailing slash.

    Raises UsageError unless it is a folder on a volume or a workspace folder.
    """
    root = root.rstrip("/")
    parts = root.split("/")[1:]
    plain = root.startswith("/") and all(part not in ("", ".", "..") for part in parts)
    if plain and (
        (parts[0] == "Volumes" and len(parts) >= 4) or (parts[0] == "Workspace" and len(parts) >= 2)
    ):
        return root
    raise UsageError(
        f"LAKEFLOW_ROOT is {root!r}; it must be a folder on a volume, such as "
        "/Volumes/main/default/lakeflow, or below /Workspace"
    )
