from __future__ import annotations

from pathlib import Path

import pytest

from lakeflow.errors import Refused
from lakeflow.wheels.compatibility import (
    check_entry_point,
    check_machine,
    check_runtime,
    choose_runtime,
    pythons_of,
    runtime_python,
)
from lakeflow.wheels.wheel import Wheel, read_wheel
from tests.support.wheels import make_wheel

OFFERED = [
    {"key": "13.3.x-scala2.12", "name": "13.3 LTS (includes Apache Spark 3.4.1, Scala 2.12)"},
    {"key": "14.3.x-scala2.12", "name": "14.3 LTS (includes Apache Spark 3.5.0, Scala 2.12)"},
    {"key": "15.4.x-scala2.12", "name": "15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)"},
    {"key": "15.4.x-cpu-ml-scala2.12", "name": "15.4 LTS ML (includes Apache Spark 3.5.0)"},
    {"key": "16.3.x-scala2.12", "name": "16.3 (includes Apache Spark 3.5.2, Scala 2.12)"},
    {"key": "16.4.x-scala2.12", "name": "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)"},
    {"key": "16.4.x-scala2.13", "name": "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.13)"},
    {"key": "apache-spark-2.4.x-scala2.11", "name": "Light 2.4 Extended LTS"},
]


def wheel(folder: Path, tag: str) -> Wheel:
    return read_wheel(make_wheel(folder, f"w-{tag.partition('-')[0]}", "1.0", {}, tag=tag))


@pytest.mark.parametrize(
    ("tags", "pythons"),
    [
        (["py3-none-any"], [(3, 10), (3, 11), (3, 12)]),
        (["cp311-cp311-linux_x86_64", "py3-none-any"], [(3, 11)]),
        (["cp310-abi3-manylinux_2_28_x86_64"], [(3, 10), (3, 11), (3, 12)]),
        (["cp311-abi3-manylinux_2_28_x86_64"], [(3, 11), (3, 12)]),
        (["py2.py3-none-any"], [(3, 10), (3, 11), (3, 12)]),
    ],
)
def test_pythons_that_all_wheels_run_on(
    tmp_path: Path, tags: list[str], pythons: list[tuple[int, int]]
) -> None:
    assert list(pythons_of([wheel(tmp_path, tag) for tag in tags])) == pythons


def test_wheels_that_have_no_common_python_are_listed(tmp_path: Path) -> None:
    wheels = [wheel(tmp_path, f"{cp}-{cp}-linux_x86_64") for cp in ("cp310", "cp312")]
    with pytest.raises(Refused) as refused:
        pythons_of(wheels)
    assert "w_cp310-1.0-cp310-cp310-linux_x86_64.whl: 3.10" in str(refused.value)
    assert "w_cp312-1.0-cp312-cp312-linux_x86_64.whl: 3.12" in str(refused.value)


@pytest.mark.parametrize(
    ("runtime", "python"),
    [
        ("13.3.x-scala2.12", (3, 10)),
        ("14.3.x-scala2.12", (3, 10)),
        ("15.4.x-scala2.12", (3, 11)),
        ("16.4.x-scala2.12", (3, 12)),
        ("17.3.x-scala2.13", (3, 12)),
        ("12.2.x-scala2.12", None),
        ("apache-spark-2.4.x-scala2.11", None),
    ],
)
def test_python_of_a_runtime(runtime: str, python: tuple[int, int] | None) -> None:
    assert runtime_python(runtime) == python


@pytest.mark.parametrize(
    ("pythons", "runtime"),
    [
        ([(3, 10)], "14.3.x-scala2.12"),
        ([(3, 11)], "15.4.x-scala2.12"),
        ([(3, 10), (3, 11), (3, 12)], "16.4.x-scala2.12"),
    ],
)
def test_the_newest_long_term_runtime_that_fits(
    pythons: list[tuple[int, int]], runtime: str
) -> None:
    assert choose_runtime(OFFERED, pythons) == runtime


def test_no_runtime_fits() -> None:
    with pytest.raises(Refused, match=r"3\.12.*15\.4\.x-scala2\.12 \(Python 3\.11\)"):
        choose_runtime(OFFERED[:3], [(3, 12)])


def test_a_cluster_of_another_python_is_refused() -> None:
    check_runtime("15.4.x-scala2.12", [(3, 11)], "the cluster x")
    with pytest.raises(Refused, match=r"the cluster x .*3\.11.*3\.12"):
        check_runtime("15.4.x-scala2.12", [(3, 12)], "the cluster x")
    with pytest.raises(Refused, match=r"12\.2"):
        check_runtime("12.2.x-scala2.12", [(3, 10)], "the cluster x")


def test_the_entry_point_may_be_in_any_group(tmp_path: Path) -> None:
    points = {"group_1": {"lakeflow-task": "a:main"}}
    check_entry_point(read_wheel(make_wheel(tmp_path, "a", "1.0", {}, entry_points=points)))


def test_a_runtime_for_machines_with_gpus() -> None:
    offered = [
        *OFFERED,
        {"key": "15.4.x-gpu-ml-scala2.12", "name": "15.4 LTS ML (GPU, Scala 2.12)"},
        {"key": "16.4.x-aarch64-scala2.12", "name": "16.4 LTS (aarch64)"},
    ]
    assert choose_runtime(offered, [(3, 11)], gpu=True) == "15.4.x-gpu-ml-scala2.12"
    assert choose_runtime(offered, [(3, 11)]) == "15.4.x-scala2.12"
    with pytest.raises(Refused, match=r"run on Python 3\.12"):
        choose_runtime(offered, [(3, 12)], gpu=True)


@pytest.mark.parametrize(
    ("tag", "runtime", "node_type", "obstacle"),
    [
        ("manylinux_2_35_x86_64", "15.4.x-scala2.12", "i3.xlarge", None),
        ("manylinux_2_39_x86_64", "15.4.x-scala2.12", "i3.xlarge", r"glibc 2\.39"),
        ("manylinux_2_39_x86_64", "16.4.x-scala2.12", "i3.xlarge", None),
        ("manylinux2014_x86_64", "13.3.x-scala2.12", "Standard_D4ds_v5", None),
        ("manylinux_2_17_x86_64.manylinux2014_x86_64", "14.3.x-scala2.12", "n2-standard-4", None),
        ("manylinux2014_aarch64", "15.4.x-scala2.12", "i3.xlarge", "built for aarch64"),
        ("manylinux2014_aarch64", "15.4.x-scala2.12", "m6gd.large", None),
        ("manylinux2014_aarch64", "15.4.x-scala2.12", "im4gn.large", None),
        ("manylinux2014_aarch64", "15.4.x-scala2.12", "Standard_D4pds_v6", None),
        ("manylinux2014_aarch64", "15.4.x-scala2.12", "c4a-standard-4", None),
        ("manylinux2014_x86_64", "15.4.x-scala2.12", "m6gd.large", "built for x86_64"),
        ("linux_x86_64", "15.4.x-scala2.12", "g4dn.xlarge", None),
        ("macosx_10_9_universal2", "15.4.x-scala2.12", "g5.xlarge", "built for macosx"),
        ("musllinux_1_1_x86_64", "15.4.x-scala2.12", "", "musl"),
        ("any", "15.4.x-scala2.12", "r6gd.xlarge", None),
    ],
)
def test_machines_that_wheels_run_on(
    tmp_path: Path, tag: str, runtime: str, node_type: str, obstacle: str | None
) -> None:
    wheels = [wheel(tmp_path, f"cp311-cp311-{tag}")]
    if obstacle is None:
        check_machine(wheels, runtime, node_type, "the cluster x")
        return
    with pytest.raises(Refused, match=rf"w_cp311-.* does not run on the cluster x .*{obstacle}"):
        check_machine(wheels, runtime, node_type, "the cluster x")
