"""The workspace's file trees, plain folders under one: `Workspace`, `Volumes` and `dbfs`."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path


class PathOutside(Exception):
    """A path that would lead out of its tree. The text says which."""


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file, durably: others see the old one or the new one, never a part."""
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
    """Turns paths of the API into paths below `root`, and never into others.

    Tasks write below `root` too and can put symbolic links there, hence the look at the real path.
    """

    def __init__(self, root: Path, drafts: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.drafts = drafts
        for tree in ("Workspace", "Volumes", "dbfs"):
            (self.root / tree).mkdir(parents=True, exist_ok=True)

    def real(self, path: str) -> Path:
        """The file of `/Workspace/...`, `/Volumes/...` or `/dbfs/...`, which need not exist.

        Raises:
            PathOutside: the path holds `..` or NUL, is too long, or leads out through a link.
        """
        names = [name for name in path.split("/") if name not in ("", ".")]
        if ".." in names or "\0" in path or any(len(os.fsencode(name)) > 255 for name in names):
            raise PathOutside(path)
        if len(os.fsencode(path)) > 3000:
            raise PathOutside(path[:100] + "...")
        target = self.root.joinpath(*names)
        tree = self.root / names[0] if names else self.root
        if not Path(os.path.realpath(target)).is_relative_to(tree):
            raise PathOutside(path)
        return target

    def draft(self) -> Path:
        """A new name for a file that is not whole yet, on the same file system."""
        return self.drafts / secrets.token_hex(12)

    def place(self, draft: Path, target: Path) -> None:
        """Move a whole file to its place, durably."""
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
        """Make a folder and those above it, durably."""
        missing = [folder for folder in (target, *target.parents) if not folder.exists()]
        target.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)

    def remove(self, target: Path) -> None:
        """Remove a file, a link or a whole folder; what a link points to stays."""
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()
        sync_folder(target.parent)


def children(folder: Path) -> Sequence[os.DirEntry[str]]:
    """What is in a folder, by name; links that lead nowhere are passed over."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if os.path.exists(entry.path)), key=_name)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name
