"""The Python API for files: `launcher.files`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from lakeflow.launcher.session_group import SessionGroup

if TYPE_CHECKING:
    from lakeflow.operations.copy import Copied
    from lakeflow.operations.remote_files import FileRemovalPlan
    from lakeflow.resources.files import Entry


class Files(SessionGroup):
    """Files of the workspace: `launcher.files`."""

    def list(self, path: str, *, recursive: bool = False) -> Sequence[Entry]:
        """Return the content of a folder, or the file itself. Raises UsageError if not found."""
        from lakeflow.operations import remote_files

        return remote_files.list_files(self._session, path, recursive=recursive)

    def read(
        self, path: str, *, into: BinaryIO | None = None, max_bytes: int | None = None
    ) -> bytes:
        """Return the content of a file, or write it to `into` piece by piece and return nothing.

        Raises UsageError if not found, and Refused if it has more than `max_bytes`.
        """
        from lakeflow.operations import remote_files

        return remote_files.read_file(self._session, path, into, max_bytes=max_bytes)

    def create_folder(self, path: str) -> str:
        """Create a folder and its parents; return its full path."""
        from lakeflow.operations import remote_files

        return remote_files.create_folder(self._session, path)

    def plan_remove(self, path: str, *, recursive: bool = False) -> FileRemovalPlan:
        """Find the file to remove, or with `recursive` the folder.

        Raises UsageError if not found, and Refused for a folder of all users.
        """
        from lakeflow.operations import remote_files

        return remote_files.plan_remove(self._session, path, recursive=recursive)

    def remove(self, path: str, *, recursive: bool = False) -> Entry:
        """Remove a file, or with `recursive` a folder and its content.

        Raises what `plan_remove` raises.
        """
        from lakeflow.operations import remote_files

        return remote_files.apply(self._session, self.plan_remove(path, recursive=recursive))

    def copy(
        self,
        source: str,
        target: str,
        *,
        recursive: bool = False,
        overwrite: bool = False,
        resume: bool = False,
    ) -> tuple[Copied, ...]:
        """Copy a file or folder to, from or within the workspace (see `lakeflow.operations.copy`).

        Raises UsageError and Refused before anything is copied.
        """
        from lakeflow.operations import copy

        return copy.copy(
            self._session,
            source,
            target,
            recursive=recursive,
            overwrite=overwrite,
            resume=resume,
        )
