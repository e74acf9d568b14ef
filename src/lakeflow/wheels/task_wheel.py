"""Build the wheel of `lakeflow_task`, which runs beside the user's code on a cluster."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import lakeflow_task
from lakeflow.wheels.archive import member_from_bytes, write_wheel
from lakeflow.wheels.wheel import Wheel, read_wheel


def build_task_wheel(into: Path) -> Wheel:
    """Write a wheel of the `lakeflow_task` that this program imports to a folder.

    So the launcher always sends the version it was tested with. Stamp it like any other wheel.
    """
    version = lakeflow_task.__version__
    stem = f"lakeflow_task-{version}"
    package = importlib.resources.files(lakeflow_task)
    sources = [f for f in package.iterdir() if f.name.endswith(".py") or f.name == "py.typed"]
    texts = {
        f"{stem}.dist-info/METADATA": "Metadata-Version: 2.1\nName: lakeflow-task\n"
        f"Version: {version}\nRequires-Python: >=3.9\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: lakeflow-launcher\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/entry_points.txt": "[console_scripts]\n"
        "lakeflow-run = lakeflow_task.main:main\n",
    }
    members = [
        *(member_from_bytes(f"lakeflow_task/{file.name}", file.read_bytes()) for file in sources),
        *(member_from_bytes(name, text.encode()) for name, text in texts.items()),
    ]
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{stem}-py3-none-any.whl"
    write_wheel(path, stem, members)
    return read_wheel(path)
