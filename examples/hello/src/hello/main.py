"""The entry point: greet who is named, leave a greeting as a file, or wait."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Print the arguments, and one line more for a secret; `wait N` takes N seconds."""
    words = sys.argv[1:]
    print(f"hello {' '.join(words)}, this is run {os.environ['DATABRICKS_RUN_ID']}", flush=True)
    if words[:1] == ["wait"]:
        time.sleep(float(words[1]))
    if "API_KEY" in os.environ:
        print(f"API_KEY has {len(os.environ['API_KEY'])} characters")
    Path(os.environ["LAKEFLOW_OUTPUT_DIR"], "greeting.txt").write_text(f"hello {words}\n")
