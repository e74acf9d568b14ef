"""This package's own files: their digest, and a copy that outlives the installation."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

SUFFIXES = (".py", ".html", ".css", ".js", ".svg")
PACKAGE = Path(__file__).resolve().parent


def code_digest() -> str:
    """Digest the code that the server runs, templates and assets included."""
    digest = hashlib.sha256()
    for path in _files():
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def copy_code(target: Path) -> Path:
    """Copy the package below `target`, and return the folder to import it from.

    Copies of other code are deleted: no server may be running from them.
    """
    copy = target / code_digest()
    if not copy.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target) as temporary:
            for path in _files():
                file = Path(temporary, "code", PACKAGE.name, path.relative_to(PACKAGE))
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, file)
            os.rename(Path(temporary, "code"), copy)
    for other in target.iterdir():
        if other != copy:
            shutil.rmtree(other, ignore_errors=True)
    return copy


def _files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*") if path.suffix in SUFFIXES)
