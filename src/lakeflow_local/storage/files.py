"""The file trees of a workspace: plain folders `Workspace`, `Volumes` and `dbfs`."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from lakeflow_local.storage import names


class PathOutside(Exception):
    """A path leads out of its tree; the text is the path."""


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file durably: readers see the old or the new one, never a part."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with open(draft, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


class Mount:
    """Resolves paths of the API to real paths, which are always below `root`.

    Tasks can create symbolic links below `root`, so the check looks at real paths.
    """

    def __init__(self, root: Path, drafts: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.drafts = drafts
        for tree in ("Workspace", "Volumes", "dbfs"):
            (self.root / tree).mkdir(parents=True, exist_ok=True)

    def real(self, path: str) -> Path:
        """Return the real path of `/Workspace/...`, `/Volumes/...` or `/dbfs/...`.

        It need not exist. A file that a task left under an invalid name has its escaped name, too.

        Raises:
            PathOutside: the path contains `..` or NUL, is too long, or leads out through a link.
        """
        target = self._real(path)
        if names.is_escaped(path) and not target.exists():
            left = self._real(names.from_shown(path))
            return left if left.exists() else target
        return target

    def _real(self, path: str) -> Path:
        parts = [name for name in path.split("/") if name not in ("", ".")]
        if ".." in parts or "\0" in path or any(len(os.fsencode(name)) > 255 for name in parts):
            raise PathOutside(path)
        if len(os.fsencode(path)) > 3000:
            raise PathOutside(path[:100] + "...")
        target = self.root.joinpath(*parts)
        tree = self.root / parts[0] if parts else self.root
        if not Path(os.path.realpath(target)).is_relative_to(tree):
            raise PathOutside(path)
        return target

    def draft(self) -> Path:
        """Return a new path for an incomplete file, on the same file system."""
        return self.drafts / secrets.token_hex(12)

    def check_new(self, target: Path) -> None:
        """Refuse to create a path with an invalid name. Raises NameInvalid."""
        if not target.exists():
            names.check_name(f"/{target.relative_to(self.root)}")

    def place(self, draft: Path, target: Path) -> None:
        """Move a complete file to its target, durably. Raises NameInvalid."""
        self.check_new(target)
        descriptor = os.open(draft, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(draft, target)
        sync_folder(target.parent)

    def place_bytes(self, content: bytes, target: Path) -> None:
        draft = self.draft()
        try:
            draft.write_bytes(content)
            self.place(draft, target)
        finally:
            draft.unlink(missing_ok=True)

    def make_folder(self, target: Path) -> None:
        """Create a folder and its parents, durably. Raises NameInvalid."""
        self.check_new(target)
        missing = [folder for folder in (target, *target.parents) if not folder.exists()]
        target.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)

    def remove(self, target: Path) -> None:
        """Remove a file, link or folder with its content; the target of a link stays."""
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()
        sync_folder(target.parent)


def children(folder: Path) -> Sequence[os.DirEntry[str]]:
    """Return the entries of a folder by their shown names, without broken links."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if os.path.exists(entry.path)), key=_name)


def _name(entry: os.DirEntry[str]) -> str:
    return names.shown(entry.name)
