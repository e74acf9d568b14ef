from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from lakeflow.errors import Refused
from lakeflow.wheels.stamping import StampedWheel, stamp
from lakeflow.wheels.task_wheel import build_task_wheel
from lakeflow.wheels.wheel import Wheel
from tests.support.built_wheels import install, make_built_wheel, run, uv


def requires_of(stamped: StampedWheel) -> list[str]:
    return [str(requirement) for requirement in stamped.wheel.requires]


def test_a_damaged_wheel_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wheel = make_built_wheel(tmp_path, "acme", files={"acme.py": "A MARK IN THE FILE"})
    wheel.path.write_bytes(wheel.path.read_bytes().replace(b"A MARK", b"B MARK", 1))

    with pytest.raises(Refused, match="damaged"):
        stamp([wheel], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_stamped_wheel_is_a_valid_wheel_with_the_same_files(tmp_path: Path) -> None:
    wheel = make_built_wheel(
        tmp_path,
        "acme",
        files={"acme/__init__.py": "", "acme/größe.txt": "ß", "acme/a,b.txt": ""},
        scripts={"acme-tool": "#!python\nprint('tool')\n"},
    )
    (stamped,) = stamp([wheel], tmp_path / "out")

    version = stamped.wheel.version
    assert version.public == "1.2.0"
    assert str(version).startswith("1.2.0+lf.")
    assert stamped.wheel.path.name == f"acme-{version}-py3-none-any.whl"
    with zipfile.ZipFile(stamped.wheel.path) as archive:
        names = archive.namelist()
        assert sorted(names) == sorted(
            [
                "acme/__init__.py",
                "acme/größe.txt",
                "acme/a,b.txt",
                f"acme-{version}.data/scripts/acme-tool",
                f"acme-{version}.dist-info/METADATA",
                f"acme-{version}.dist-info/WHEEL",
                f"acme-{version}.dist-info/RECORD",
            ]
        )
        record = list(
            csv.reader(io.StringIO(archive.read(f"acme-{version}.dist-info/RECORD").decode()))
        )
        assert [row[0] for row in record] == names
        for name, digest, size in record[:-1]:
            data = archive.read(name)
            encoded = urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert (digest, size) == (f"sha256={encoded}", str(len(data)))
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
        assert modes[f"acme-{version}.data/scripts/acme-tool"] == 0o755
        assert modes["acme/__init__.py"] == 0o644
        metadata = archive.read(f"acme-{version}.dist-info/METADATA").decode()
    assert metadata.endswith("\n\nText: Größe\nVersion: of the body\n")


def test_the_stamp_depends_on_content_only(tmp_path: Path) -> None:
    one = make_built_wheel(tmp_path / "a", "acme", files={"b.py": "1", "a.py": "2"})
    same = make_built_wheel(
        tmp_path / "b", "acme", files={"a.py": "2", "b.py": "1"}, date=(1999, 9, 9, 9, 9, 8)
    )
    other = make_built_wheel(tmp_path / "c", "acme", files={"a.py": "2", "b.py": "3"})

    (first,), (second,), (third,) = (
        stamp([wheel], tmp_path / f"out{n}") for n, wheel in enumerate([one, same, other])
    )

    assert one.sha256 != same.sha256
    assert first.wheel.path.name == second.wheel.path.name
    assert first.wheel.sha256 == second.wheel.sha256
    assert third.wheel.version != first.wheel.version


def test_every_stamp_is_a_canonical_version_of_twelve_digits(tmp_path: Path) -> None:
    for number in range(300):
        wheel = make_built_wheel(tmp_path, "acme", files={"a.py": str(number)})
        (stamped,) = stamp([wheel], tmp_path / "out")

        label = str(stamped.wheel.version).partition("+lf.")[2]
        assert len(label) == 12
        assert not label.isdecimal()


def test_an_existing_local_label_is_kept(tmp_path: Path) -> None:
    (stamped,) = stamp([make_built_wheel(tmp_path, "acme", "1.2.0+cpu")], tmp_path / "out")

    assert str(stamped.wheel.version).startswith("1.2.0+cpu.lf.")


def test_leaves_come_first_and_requirements_are_pinned(tmp_path: Path) -> None:
    wheels = [
        make_built_wheel(
            tmp_path,
            "a_root",
            requires=["B.Mid[fast]==1.2.0 ; python_version >= '3.9'", "numpy>=1"],
        ),
        make_built_wheel(tmp_path, "b_mid", requires=["c-leaf; extra == 'fast'", "d-leaf>=1"]),
        make_built_wheel(tmp_path, "c_leaf"),
        make_built_wheel(tmp_path, "d_leaf"),
        make_built_wheel(tmp_path, "e_alone"),
    ]
    stamped = {one.wheel.name: one for one in stamp(wheels, tmp_path / "out")}
    versions = {name: one.wheel.version for name, one in stamped.items()}

    order = list(stamped)
    assert order.index("c-leaf") < order.index("b-mid") < order.index("a-root")
    assert set(stamped["a-root"].needs) == {"b-mid", "c-leaf", "d-leaf"}
    assert stamped["a-root"].needs[-1] == "b-mid"
    assert stamped["e-alone"].needs == ()
    assert requires_of(stamped["a-root"]) == [
        f'B.Mid[fast]=={versions["b-mid"]}; python_version >= "3.9"',
        "numpy>=1",
    ]
    assert requires_of(stamped["b-mid"]) == [
        f'c-leaf=={versions["c-leaf"]}; extra == "fast"',
        f"d-leaf=={versions['d-leaf']}",
    ]


def test_a_changed_leaf_changes_the_stamp_of_what_needs_it(tmp_path: Path) -> None:
    root = make_built_wheel(tmp_path, "root", requires=["leaf"])
    other = make_built_wheel(tmp_path, "other")
    before = stamp([root, other, make_built_wheel(tmp_path, "leaf")], tmp_path / "one")
    leaf = make_built_wheel(tmp_path / "new", "leaf", files={"leaf.py": "NEW = 1"})
    after = stamp([root, other, leaf], tmp_path / "two")

    changed = {
        one.wheel.name
        for one, two in zip(before, after, strict=True)
        if one.wheel.version != two.wheel.version
    }
    assert changed == {"leaf", "root"}


def test_requirements_that_no_cluster_installs_are_ignored(tmp_path: Path) -> None:
    wheels = [
        make_built_wheel(
            tmp_path,
            "a",
            requires=["b; extra == 'test'", "b; sys_platform == 'win32'", "b; python_version<'3'"],
        ),
        make_built_wheel(tmp_path, "b", requires=["a"]),
    ]
    first, second = stamp(wheels, tmp_path / "out")

    assert (first.wheel.name, first.needs) == ("a", ())
    assert (second.wheel.name, second.needs) == ("b", ("a",))
    assert requires_of(first)[0] == 'b; extra == "test"'


def test_an_extra_that_requests_another_is_followed(tmp_path: Path) -> None:
    wheels = [
        make_built_wheel(tmp_path, "a", requires=["a[x]; extra == 'all'", "b; extra == 'x'"]),
        make_built_wheel(tmp_path, "b"),
        make_built_wheel(tmp_path, "c", requires=["a[all]"]),
    ]

    assert [one.needs for one in stamp(wheels, tmp_path / "out")] == [(), ("b",), ("b", "a")]


def test_a_cycle_is_refused_and_named(tmp_path: Path) -> None:
    wheels = [
        make_built_wheel(tmp_path, "a", requires=["b"]),
        make_built_wheel(tmp_path, "b", requires=["a"]),
    ]

    with pytest.raises(Refused, match=r"a needs b needs a|b needs a needs b"):
        stamp(wheels, tmp_path / "out")


def test_two_wheels_of_one_distribution_are_refused(tmp_path: Path) -> None:
    wheels = [
        make_built_wheel(tmp_path, "a", tag=tag) for tag in ("py3-none-any", "cp311-none-any")
    ]

    with pytest.raises(Refused, match="two wheels of one distribution, a"):
        stamp(wheels, tmp_path / "out")


def test_an_unsatisfied_requirement_is_refused(tmp_path: Path) -> None:
    wheels = [make_built_wheel(tmp_path, "a", requires=["b>=2"]), make_built_wheel(tmp_path, "b")]

    with pytest.raises(Refused, match=r"needs b>=2, but the wheel built beside it is b-1\.2\.0"):
        stamp(wheels, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    wheel = make_built_wheel(tmp_path, "acme")
    (stamped,) = stamp([wheel], tmp_path / "out")
    stamped.wheel.path.unlink()
    stamped.wheel.path.mkdir()

    with pytest.raises(Refused, match="cannot be written"):
        stamp([wheel], tmp_path / "out")


def test_uv_installs_stamped_wheels_and_every_new_stamp(tmp_path: Path, python: Path) -> None:
    def wheels(value: int) -> list[Wheel]:
        folder = tmp_path / str(value)
        return [
            make_built_wheel(folder, "leaf", files={"space/leaf/__init__.py": f"VALUE = {value}"}),
            make_built_wheel(
                folder,
                "root",
                requires=["leaf==1.2.0"],
                files={"space/root/größe.py": "from space.leaf import VALUE"},
                scripts={"root-tool": "#!python\nprint('tool')\n"},
                entry_points="[console_scripts]\nlakeflow-task = space.root:main\n",
            ),
            make_built_wheel(folder, "outsider", requires=["leaf==1.2.0"]),
        ]

    probe = "from space.root.größe import VALUE; print(VALUE)"
    for value in (1, 2):
        stamped = stamp(wheels(value), tmp_path / f"out{value}")
        install(python, *stamped)
        uv("pip", "check", "-q", "-p", str(python))
        assert run(python, probe) == str(value)
    tool = subprocess.run([python.parent / "root-tool"], check=True, capture_output=True, text=True)
    assert tool.stdout == "tool\n"


def test_the_task_wheel_is_reproducible_and_installs(tmp_path: Path, python: Path) -> None:
    wheel = build_task_wheel(tmp_path)
    again = build_task_wheel(tmp_path / "again")

    assert wheel.entry_points["console_scripts"]["lakeflow-run"] == "lakeflow_task.main:main"
    assert wheel.sha256 == again.sha256
    install(python, *stamp([wheel], tmp_path / "out"))
    assert run(python, "import lakeflow_task.protocol as p; print(p.__name__)")


def test_what_only_the_code_needs_is_required_and_pinned(tmp_path: Path) -> None:
    wheels = [
        make_built_wheel(tmp_path, "job", requires=["middle==1.2.0"]),
        make_built_wheel(tmp_path, "middle"),
        make_built_wheel(tmp_path, "leaf"),
    ]
    code_needs = {"job": ["leaf", "middle"], "middle": ["leaf"]}
    stamped = {one.wheel.name: one for one in stamp(wheels, tmp_path / "out", code_needs)}
    leaf, middle = stamped["leaf"].wheel.version, stamped["middle"].wheel.version
    assert stamped["job"].needs == ("leaf", "middle")
    assert requires_of(stamped["middle"]) == [f"leaf=={leaf}"]
    assert requires_of(stamped["job"]) == [f"middle=={middle}"]
    assert [stamped[name].undeclared for name in ("leaf", "middle", "job")] == [(), ("leaf",), ()]


def test_code_in_a_circle_is_shipped_without_a_requirement(tmp_path: Path) -> None:
    wheels = [
        make_built_wheel(tmp_path, "one", requires=["other"]),
        make_built_wheel(tmp_path, "other"),
    ]
    code_needs = {"one": ["other"], "other": ["one"]}
    other, one = stamp(wheels, tmp_path / "out", code_needs)
    assert (other.wheel.name, requires_of(other)) == ("other", [])
    assert (other.needs, other.undeclared) == (("one",), ("one",))
    assert (one.needs, one.undeclared) == (("other",), ())
