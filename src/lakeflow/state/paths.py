"""Where this machine keeps the launcher's state."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from platformdirs import user_state_path


def state_dir() -> Path:
    """Return `LAKEFLOW_STATE_DIR`, or the platform's state folder for lakeflow."""
    given = os.environ.get("LAKEFLOW_STATE_DIR")
    return Path(given).absolute() if given else user_state_path("lakeflow")


def make_private(folder: Path) -> None:
    """Create a folder, and close an existing one to other users, whatever the umask.

    Parents that are created are private, existing ones are left. Raises OSError.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)  # a umask may take permissions of the user away, too
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:
        with contextlib.suppress(PermissionError):  # its owner is another user, who shares it
            folder.chmod(0o700)
