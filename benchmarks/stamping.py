"""CPU seconds to stamp wheels: copying compressed members, and plain recompression for comparison.

The wheels hold Python sources and shared objects of the interpreter's standard library, repeated
up to the size. Recompression reads every member and writes it with `zipfile` at zlib's levels 1
and 6 (its default). The floor is one SHA-256 over each member, which both need.

    ./pants run benchmarks/stamping.py -- [MEGABYTES ...]
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.probe import judge
from lakeflow.wheels.stamping import stamp
from lakeflow.wheels.wheel import read_wheel

MEGABYTE = 1_000_000
CHUNK_BYTES = 1 << 20


def main() -> None:
    """Measure and print a table."""
    sizes = [float(size) for size in sys.argv[1:]] or [0.1, 10.0, 100.0, 300.0]
    print(
        f"{'files MB':>9}{'wheel MB':>9}{'floor':>9}{'stamp':>9}{'level 1':>9}{'level 6':>9}"
        "   CPU seconds"
    )
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="lakeflow-benchmark-") as folder:
            measure(Path(folder), size)


def measure(folder: Path, megabytes: float) -> None:
    """Print one row."""
    path = make_wheel(folder, megabytes)
    packed = path.stat().st_size / MEGABYTE
    wheel = read_wheel(path)
    floor = cpu_seconds(lambda: digest(path))
    stamped = cpu_seconds(lambda: stamp([wheel], folder / "stamped"))
    levels = [cpu_seconds(partial(recompress, path, level)) for level in (1, 6)]
    cells = (floor, stamped, *levels)
    print(f"{megabytes:9g}{packed:9.2f}" + "".join(f"{cell:9.3f}" for cell in cells), flush=True)
    if megabytes >= 10:
        judge(f"stamping {megabytes:g} MB of files, times the floor", stamped / floor, 2)


def make_wheel(folder: Path, megabytes: float) -> Path:
    """Write a wheel with that many MB of files, before compression."""
    path = folder / "large-1.0-py3-none-any.whl"
    left = megabytes * MEGABYTE
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, source in enumerate(itertools.cycle(sources())):
            data = source.read_bytes()[: int(left)]
            archive.writestr(f"large/{number}{source.suffix}", data)
            left -= len(data)
            if left < 1:
                break
        info = "large-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: large\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def sources() -> Iterator[Path]:
    """Return files as wheels have them, native and not in turn."""
    library = Path(sysconfig.get_path("stdlib"))
    native = sorted((library / "lib-dynload").glob("*.so"))
    for python, shared in zip(sorted(library.glob("*/*.py")), itertools.cycle(native)):
        yield python
        yield shared


def digest(path: Path) -> None:
    """Read every member once."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            checksum = hashlib.sha256()
            with archive.open(info) as source:
                while chunk := source.read(CHUNK_BYTES):
                    checksum.update(chunk)


def recompress(path: Path, level: int) -> None:
    """Write every member again with `zipfile`."""
    with (
        zipfile.ZipFile(path) as archive,
        open(os.devnull, "wb") as nowhere,
        zipfile.ZipFile(nowhere, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as target,
    ):
        for info in archive.infolist():
            with archive.open(info) as source, target.open(info.filename, "w") as member:
                while chunk := source.read(CHUNK_BYTES):
                    member.write(chunk)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this process for one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
