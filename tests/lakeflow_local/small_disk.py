"""A state folder on a small file system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_on_small_disk(
    folder: Path, size: str, code: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run Python code whose state folder is on a disk of this size (such as `600k`), in `folder`.

    The test is skipped if the system does not allow user namespaces to mount one.
    """
    folder.mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    script = f'mount -t tmpfs -o size={size} tmpfs "$1" && shift && exec "$@"'
    command = [*mount, script, "sh", str(folder)]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    return subprocess.run(
        [*command, sys.executable, "-c", code, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "LAKEFLOW_STATE_DIR": str(folder / "state"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
