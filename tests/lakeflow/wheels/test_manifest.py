from __future__ import annotations

import json
from pathlib import Path

import pytest

from lakeflow.errors import Refused, UsageError
from lakeflow.wheels.compatibility import pythons_of
from lakeflow.wheels.manifest import Manifest, read_manifest
from tests.support.wheels import make_wheel


def manifest(folder: Path, **fields: object) -> Manifest:
    wheel = make_wheel(folder, "acme", "1.0", {"acme.py": ""})
    entry = {"address": "src/acme:dist", "root": True, "wheel": wheel.name, **fields}
    path = folder / "manifest.json"
    path.write_text(json.dumps({"schema": 1, "project": "p", "distributions": [entry]}))
    return read_manifest(path)


@pytest.mark.parametrize(
    ("pythons", "allowed"),
    [
        (["3.11"], [(3, 11)]),
        (["3.10", "3.12", "3.13"], [(3, 10), (3, 12)]),
        ([], [(3, 10), (3, 11), (3, 12)]),
    ],
)
def test_a_pure_wheel_runs_on_the_pythons_of_its_target(
    tmp_path: Path, pythons: list[str], allowed: list[tuple[int, int]]
) -> None:
    (root,) = manifest(tmp_path, pythons=pythons).roots
    assert list(pythons_of([root.wheel])) == allowed


def test_a_target_for_a_python_of_no_runtime_is_refused(tmp_path: Path) -> None:
    (root,) = manifest(tmp_path, pythons=["3.8"]).roots
    with pytest.raises(Refused, match="no Python version of a Databricks runtime"):
        pythons_of([root.wheel])


@pytest.mark.parametrize("fields", [{"needs": ["src/other:dist"]}, {"pythons": ["3.x"]}])
def test_a_manifest_that_makes_no_sense_is_wrong_usage(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match="is not a manifest"):
        manifest(tmp_path, **fields)
