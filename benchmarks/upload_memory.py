"""How much memory `lakeflow upload-wheel` takes for a large wheel, stamping and checks included.

The wheel goes to a volume of a temporary local workspace over HTTP, and one of 400 MB to a folder
of workspace files, which take no larger ones. The floor is `python -c "import databricks.sdk"`.
Peak resident memory in MB.

    ./pants run benchmarks/upload_memory.py -- [MEGABYTES]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from benchmarks.probe import connect, judge, temporary_workspace

MEGABYTE = 1024 * 1024


def main() -> None:
    """Measure and print a table."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    with (
        temporary_workspace(),
        tempfile.TemporaryDirectory(prefix="lakeflow-benchmark-") as folder,
    ):
        client = connect()
        client.api_client.do(
            "POST",
            "/api/2.1/unity-catalog/volumes",
            body={
                "catalog_name": "main",
                "schema_name": "default",
                "name": "memory",
                "volume_type": "MANAGED",
            },
        )
        os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
        floor, _ = peak(["-c", "import databricks.sdk"])
        me = str(client.current_user.me().user_name)
        print(f"{'':44}{'peak MB':>9}{'above':>8}{'seconds':>9}")
        print(f"{'floor: import databricks.sdk':44}{floor:9.0f}")
        for size, root in (
            (megabytes, "/Volumes/main/default/memory"),
            (min(megabytes, 400), f"/Workspace/Users/{me}/memory"),
        ):
            wheel = large_wheel(Path(folder), size)
            os.environ["LAKEFLOW_ROOT"] = root
            most, seconds = peak(["-m", "lakeflow", "upload-wheel", str(wheel)])
            wheel.unlink()
            name = f"upload-wheel of {size:,} MB to {root.split('/')[1]}"
            print(f"{name:44}{most:9.0f}{most - floor:8.0f}{seconds:9.1f}")
            judge(f"{name}, MB above", most - floor, 150)


def large_wheel(folder: Path, megabytes: int) -> Path:
    """A wheel with one file that does not compress."""
    path = folder / "large-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("large/data.bin", "w", force_zip64=True) as file:
            for _ in range(megabytes):
                file.write(os.urandom(MEGABYTE))
        archive.writestr(
            "large-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: large\nVersion: 1.0\n"
        )
        archive.writestr(
            "large-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("large-1.0.dist-info/RECORD", "")
    return path


def peak(arguments: list[str]) -> tuple[float, float]:
    """The most resident memory of a Python process, in MB, and its wall seconds."""
    reported = (
        "import json, resource, subprocess, sys; "
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "usage = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(json.dumps([done.returncode, usage.ru_maxrss]))"
    )
    started = time.perf_counter()
    command = [sys.executable, "-c", reported, sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, kilobytes = json.loads(done.stdout)
    if code:
        sys.exit(done.stderr)
    return kilobytes / 1024, time.perf_counter() - started


if __name__ == "__main__":
    main()
