"""Wheels as a build backend writes them, and an environment to install them into."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from uv import find_uv_bin

from lakeflow.wheels.stamping import StampedWheel
from lakeflow.wheels.wheel import Wheel, read_wheel


def make_built_wheel(
    folder: Path,
    name: str,
    version: str = "1.2.0",
    *,
    requires: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    scripts: Mapping[str, str] | None = None,
    entry_points: str = "",
    tag: str = "py3-none-any",
    date: tuple[int, int, int, int, int, int] = (2026, 1, 2, 3, 4, 6),
) -> Wheel:
    """Write a wheel as a build backend would, `scripts` with their executable bit."""
    stem = f"{name}-{version}"
    texts = dict(files if files is not None else {f"{name}.py": f"VALUE = {version!r}\n"})
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    info = {
        "METADATA": "\n".join(metadata) + "\n\nText: Größe\nVersion: of the body\n",
        "WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    if entry_points:
        info["entry_points.txt"] = entry_points
    texts |= {f"{stem}.data/scripts/{script}": text for script, text in (scripts or {}).items()}
    texts |= {f"{stem}.dist-info/{file}": text for file, text in info.items()}
    rows = [f"{file},," for file in texts] + [f"{stem}.dist-info/RECORD,,"]
    texts[f"{stem}.dist-info/RECORD"] = "\n".join(rows) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in texts.items():
            entry = zipfile.ZipInfo(file, date_time=date)
            entry.external_attr = (0o755 if "/scripts/" in file else 0o664) << 16
            archive.writestr(entry, text)
    return read_wheel(path)


def uv(*arguments: str) -> None:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/")}
    subprocess.run(
        [find_uv_bin(), "--no-config", "--offline", *arguments],
        check=True,
        env=environment,
    )


def install(python: Path, *stamped: StampedWheel) -> None:
    """Install wheels one by one in the given order, as a cluster does."""
    for one in stamped:
        uv("pip", "install", "-q", "--no-index", "-p", str(python), str(one.wheel.path))


def run(python: Path, code: str) -> str:
    return subprocess.run(
        [python, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
