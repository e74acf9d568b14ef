"""Files of a plan that exist only until it is applied or given up."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class StagingFolder:
    """A temporary folder, removed with the last reference to this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="lakeflow-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
