"""Where this machine keeps the launcher's state."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_state_path


def state_dir() -> Path:
    """Return `LAKEFLOW_STATE_DIR`, or the platform's state folder for lakeflow."""
    given = os.environ.get("LAKEFLOW_STATE_DIR")
    return Path(given).absolute() if given else user_state_path("lakeflow")
