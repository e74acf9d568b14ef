"""Multipart uploads: parts of files until they are complete. They survive a restart."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lakeflow_local.storage.files import write_atomically

KEPT_SECONDS = 7 * 86_400
FACTS = "upload.json"


class UploadMissing(Exception):
    """No upload has this token: it was aborted, has expired, or never existed."""


class PartMissing(Exception):
    """No part with this number and entity tag was uploaded."""


@dataclass(frozen=True)
class Upload:
    """An upload to `path`, a path of the API. A completed one is kept to be completed again."""

    path: str
    overwrite: bool
    completed: bool = False


class Uploads:
    """Each upload has a folder: its settings, and a file per part, named by number and tag."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            if time.time() - old.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(old, ignore_errors=True)

    def start(self, path: str, overwrite: bool) -> str:
        """Start an upload; return its token."""
        token = secrets.token_hex(16)
        (self._folder / token).mkdir()
        self._store(token, Upload(path, overwrite))
        return token

    def get(self, token: str) -> Upload:
        """Raises UploadMissing."""
        if not token.isalnum() or not token.isascii():
            raise UploadMissing(token)
        try:
            return Upload(**json.loads((self._folder / token / FACTS).read_text()))
        except FileNotFoundError:
            raise UploadMissing(token) from None

    def add(self, token: str, number: int, draft: Path, tag: str | None = None) -> str:
        """Move a file in as a part; return its entity tag. It replaces a part of the same tag."""
        self.get(token)
        tag = tag or secrets.token_hex(16)
        with suppress(FileNotFoundError):
            draft.rename(self._part(token, number, tag))
            return tag
        raise UploadMissing(token)  # aborted since

    def assemble(self, token: str, parts: Sequence[tuple[int, str]], draft: Path) -> None:
        """Concatenate the parts with these numbers and tags to `draft`.

        Raises:
            UploadMissing, PartMissing
        """
        self.get(token)
        with open(draft, "xb") as whole:
            for number, tag in parts:
                try:
                    with open(self._part(token, number, tag), "rb") as part:
                        shutil.copyfileobj(part, whole, 2**20)
                except FileNotFoundError:
                    raise PartMissing(number) from None

    def complete(self, token: str) -> None:
        """Remove the parts after the file was moved to its target."""
        found = self.get(token)
        self._store(token, Upload(found.path, found.overwrite, completed=True))
        for part in (self._folder / token).glob("*-*"):
            part.unlink(missing_ok=True)

    def abort(self, token: str) -> None:
        """Remove an upload and its parts. Raises UploadMissing."""
        self.get(token)
        shutil.rmtree(self._folder / token, ignore_errors=True)

    def _store(self, token: str, upload: Upload) -> None:
        write_atomically(self._folder / token / FACTS, json.dumps(vars(upload)).encode())

    def _part(self, token: str, number: int, tag: str) -> Path:
        return self._folder / token / f"{number:05}-{tag}"
