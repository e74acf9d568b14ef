"""Pages of files and folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.responses import FileResponse, Response

from lakeflow_local.server.api.errors import ApiError
from lakeflow_local.server.ui.page_request import HEADERS, PageRequest
from lakeflow_local.storage.files import children
from lakeflow_local.storage.names import shown

TREES = ("Workspace", "Volumes", "dbfs")
MAX_SHOWN_BYTES = 512 * 1024
MAX_SHOWN_ENTRIES = 1000


@dataclass(frozen=True)
class Entry:
    """A file or folder in a folder. `size` in bytes, `modified` in ms since 1970."""

    name: str
    url: str
    is_folder: bool
    size: int
    modified: int


def show_files(page: PageRequest) -> Response:
    """Show a folder or the text of a file; with `download` send the file itself.

    Files are never served with their own type: a task could write pages that pass for ours.
    """
    names = [name for name in page.request.path_params.get("path", "").split("/") if name]
    if not names:
        mount = page.workspace.mount
        entries = [_entry(f"/files/{tree}", mount.real(f"/{tree}")) for tree in TREES]
        return page.render("folder.html", crumbs=[], entries=entries, hidden=0)
    path = "/" + "/".join(names)
    if reason := page.workspace.permissions.why_unreadable(page.principal, path):
        raise ApiError(403, "PERMISSION_DENIED", reason)
    target = page.workspace.mount.real(path) if names[0] in TREES else None
    if target is None or not target.exists():
        raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"{path} does not exist.")
    url, crumbs = "/files", []
    for name in names:
        url += f"/{quote(name)}"
        crumbs.append((name, url))
    if target.is_dir():
        return _show_folder(page, target, path, url, crumbs)
    if "download" in page.request.query_params:
        media_type = "application/octet-stream"
        return FileResponse(target, filename=target.name, media_type=media_type, headers=HEADERS)
    return page.render("file.html", crumbs=crumbs, file=_entry(url, target), content=_text(target))


def _show_folder(
    page: PageRequest, target: Path, path: str, url: str, crumbs: list[tuple[str, str]]
) -> Response:
    """Show the entries that the principal may read, folders first."""
    permissions = page.workspace.permissions
    readable = [
        entry
        for entry in children(target)
        if not permissions.why_unreadable(page.principal, f"{path}/{shown(entry.name)}")
    ]
    visible = sorted(readable, key=lambda entry: not entry.is_dir())[:MAX_SHOWN_ENTRIES]
    return page.render(
        "folder.html",
        crumbs=crumbs,
        entries=[_entry(f"{url}/{quote(os.fsencode(e.name))}", Path(e.path)) for e in visible],
        hidden=len(readable) - len(visible),
    )


def _entry(url: str, path: Path) -> Entry:
    stat = path.stat()
    return Entry(shown(path.name), url, path.is_dir(), stat.st_size, stat.st_mtime_ns // 1_000_000)


def _text(path: Path) -> str | None:
    """Return the text of a file; None if it is not text, or too long to be shown."""
    if path.stat().st_size > MAX_SHOWN_BYTES:
        return None
    content = path.read_bytes()
    try:
        return None if b"\0" in content else content.decode()
    except UnicodeDecodeError:
        return None
