from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import pytest
from packaging.tags import Tag
from packaging.version import Version
from uv import find_uv_bin

from lakeflow.errors import Refused, UsageError
from lakeflow.wheels.wheel import (
    StampedWheel,
    Wheel,
    hold_the_same,
    read_wheel,
    stamp,
    task_wheel,
)


def make_wheel(
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
    """A wheel as a build backend would write it, `scripts` with their executable bit."""
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


def requires_of(stamped: StampedWheel) -> list[str]:
    return [str(requirement) for requirement in stamped.wheel.requires]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a virtual environment of its own, without pip."""
    folder = tmp_path_factory.mktemp("environment")
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    return folder / "bin" / "python"


def uv(*arguments: str) -> None:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.environ.get("HOME", "/")}
    subprocess.run(
        [find_uv_bin(), "--no-config", "--offline", *arguments],
        check=True,
        env=environment,
    )


def install(python: Path, *stamped: StampedWheel) -> None:
    """One call for each wheel in the order given, as on a cluster."""
    for one in stamped:
        uv("pip", "install", "-q", "--no-index", "-p", str(python), str(one.wheel.path))


def run(python: Path, code: str) -> str:
    return subprocess.run(
        [python, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_wheel_says_what_it_is(tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path,
        "Acme_Job",
        "1!2.0rc1",
        requires=["acme-core>=1 ; python_version >= '3.9'"],
        entry_points="[console_scripts]\nlakeflow-task = acme.job:main\n[other]\nX = a.b:c [d]\n",
        tag="cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
    )

    assert (wheel.distribution, wheel.name) == ("Acme_Job", "acme-job")
    assert wheel.version == Version("1!2.0rc1")
    assert Tag("cp311", "cp311", "manylinux2014_x86_64") in wheel.tags
    assert [requirement.name for requirement in wheel.requires] == ["acme-core"]
    assert wheel.entry_points == {
        "console_scripts": {"lakeflow-task": "acme.job:main"},
        "other": {"X": "a.b:c [d]"},
    }
    assert wheel.sha256 == hashlib.sha256(wheel.path.read_bytes()).hexdigest()
    assert wheel.size == wheel.path.stat().st_size


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such wheel file"):
        read_wheel(tmp_path / "a-1.0-py3-none-any.whl")


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a-1.0-py3-none-any.whl"
    text.write_text("no zip")
    with pytest.raises(Refused, match="damaged or no wheel"):
        read_wheel(text)
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("a.py", "")
    with pytest.raises(Refused, match="METADATA; found: none"):
        read_wheel(text)
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("a-1.0.dist-info/WHEEL", "")
    with pytest.raises(Refused, match=r"it has no a-1\.0\.dist-info/METADATA"):
        read_wheel(text)
    with pytest.raises(Refused, match="not the name of a wheel"):
        read_wheel(text.rename(tmp_path / "a.whl"))


def test_a_renamed_wheel_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "acme")

    with pytest.raises(Refused, match=r"named acme 9\.9, but its METADATA says acme 1\.2\.0"):
        read_wheel(wheel.path.rename(tmp_path / "acme-9.9-py3-none-any.whl"))


def test_a_damaged_wheel_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "acme", files={"acme.py": "A MARK IN THE FILE"})
    wheel.path.write_bytes(wheel.path.read_bytes().replace(b"A MARK", b"B MARK", 1))

    with pytest.raises(Refused, match="damaged"):
        stamp([wheel], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_stamped_wheel_is_a_valid_wheel_with_the_same_files(tmp_path: Path) -> None:
    wheel = make_wheel(
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


def test_the_stamp_depends_on_what_the_wheel_holds_and_on_nothing_else(tmp_path: Path) -> None:
    one = make_wheel(tmp_path / "a", "acme", files={"b.py": "1", "a.py": "2"})
    same = make_wheel(
        tmp_path / "b", "acme", files={"a.py": "2", "b.py": "1"}, date=(1999, 9, 9, 9, 9, 8)
    )
    other = make_wheel(tmp_path / "c", "acme", files={"a.py": "2", "b.py": "3"})

    (first,), (second,), (third,) = (
        stamp([wheel], tmp_path / f"out{n}") for n, wheel in enumerate([one, same, other])
    )

    assert one.sha256 != same.sha256
    assert first.wheel.path.name == second.wheel.path.name
    assert first.wheel.sha256 == second.wheel.sha256
    assert third.wheel.version != first.wheel.version


class Forward(io.RawIOBase):
    """A file that cannot be sought: what is written to it as a zip has data descriptors."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return self._file.write(data)


def packed_again(wheel: Wheel, folder: Path, *, level: int = 6, forward: bool = False) -> Wheel:
    """The same files, compressed in other ways: each by itself, with all that a zip may have."""
    folder.mkdir()
    path = folder / wheel.path.name
    with zipfile.ZipFile(wheel.path) as source, path.open("wb") as file:
        target = Forward(file) if forward else file
        with zipfile.ZipFile(cast("IO[bytes]", target), "w") as archive:
            for info in source.infolist():
                entry = zipfile.ZipInfo(info.filename, date_time=(2001, 2, 3, 4, 5, 6))
                entry.external_attr, entry.comment = info.external_attr, b"a comment"
                entry.extra = b"\xfe\xca\x02\x00ab"
                entry.compress_type = zipfile.ZIP_DEFLATED
                if "stored" in info.filename:
                    entry.compress_type = zipfile.ZIP_STORED
                if "bzip2" in info.filename:
                    entry.compress_type = zipfile.ZIP_BZIP2
                archive.writestr(entry, source.read(info), compresslevel=level)
    return read_wheel(path)


TEXTS = {
    f"acme/{name}": "".join(f"{name} {number * number}\n" for number in range(9000))
    for name in ("__init__.py", "stored.txt", "bzip2.txt", "größe.txt")
}
TEXTS["acme/__init__.py"] = "VALUE = 7\n" * 9000
TEXTS["acme/empty.txt"] = ""


@pytest.mark.parametrize("forward", [False, True])
def test_what_does_not_change_keeps_its_compressed_bytes(
    tmp_path: Path, python: Path, forward: bool
) -> None:
    plain = make_wheel(tmp_path / "plain", "acme", files=TEXTS, scripts={"acme-tool": "#!python\n"})
    wheel = packed_again(plain, tmp_path / "again", level=9, forward=forward)

    (stamped,) = stamp([wheel], tmp_path / "one")
    (second,) = stamp([wheel], tmp_path / "two")

    assert second.wheel.sha256 == stamped.wheel.sha256
    with zipfile.ZipFile(wheel.path) as before, zipfile.ZipFile(stamped.wheel.path) as after:
        assert after.testzip() is None
        for name, text in TEXTS.items():
            old, new = before.getinfo(name), after.getinfo(name)
            assert after.read(name).decode() == text
            assert new.date_time == (1980, 1, 1, 0, 0, 0)
            assert (new.extra, new.comment, new.flag_bits & 8) == (b"", b"", 0)
            if "bzip2" in name:
                assert new.compress_type == zipfile.ZIP_DEFLATED
            else:
                assert new.compress_type == old.compress_type
                assert packed(stamped.wheel, new) == packed(wheel, old)
    install(python, stamped)
    assert run(python, "import acme; print(acme.VALUE)") == "7"


def packed(wheel: Wheel, info: zipfile.ZipInfo) -> bytes:
    """The bytes of a member as the file has them (APPNOTE.TXT 4.3.7: the local file header)."""
    data = wheel.path.read_bytes()[info.header_offset :]
    start = 30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    return data[start : start + info.compress_size]


def test_however_it_is_compressed_it_has_one_stamp_and_holds_the_same(tmp_path: Path) -> None:
    plain = make_wheel(tmp_path / "plain", "acme", files=TEXTS)
    low = packed_again(plain, tmp_path / "low", level=1)
    other = make_wheel(tmp_path / "other", "acme", files={**TEXTS, "acme/empty.txt": "no more"})

    (one,), (two,), (three,) = (
        stamp([wheel], tmp_path / f"out{n}") for n, wheel in enumerate([plain, low, other])
    )

    assert one.wheel.path.name == two.wheel.path.name
    assert one.wheel.size != two.wheel.size
    assert hold_the_same(one.wheel.path, two.wheel.path)
    assert not hold_the_same(one.wheel.path, three.wheel.path)
    two.wheel.path.write_bytes(two.wheel.path.read_bytes()[:-100])
    assert not hold_the_same(one.wheel.path, two.wheel.path)


def test_every_stamp_is_a_canonical_version_of_twelve_digits(tmp_path: Path) -> None:
    for number in range(300):
        wheel = make_wheel(tmp_path, "acme", files={"a.py": str(number)})
        (stamped,) = stamp([wheel], tmp_path / "out")

        label = str(stamped.wheel.version).partition("+lf.")[2]
        assert len(label) == 12
        assert not label.isdecimal()


def test_an_existing_local_label_is_kept(tmp_path: Path) -> None:
    (stamped,) = stamp([make_wheel(tmp_path, "acme", "1.2.0+cpu")], tmp_path / "out")

    assert str(stamped.wheel.version).startswith("1.2.0+cpu.lf.")


def test_leaves_come_first_and_what_is_needed_is_pinned(tmp_path: Path) -> None:
    wheels = [
        make_wheel(
            tmp_path,
            "a_root",
            requires=["B.Mid[fast]==1.2.0 ; python_version >= '3.9'", "numpy>=1"],
        ),
        make_wheel(tmp_path, "b_mid", requires=["c-leaf; extra == 'fast'", "d-leaf>=1"]),
        make_wheel(tmp_path, "c_leaf"),
        make_wheel(tmp_path, "d_leaf"),
        make_wheel(tmp_path, "e_alone"),
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
    root = make_wheel(tmp_path, "root", requires=["leaf"])
    other = make_wheel(tmp_path, "other")
    before = stamp([root, other, make_wheel(tmp_path, "leaf")], tmp_path / "one")
    leaf = make_wheel(tmp_path / "new", "leaf", files={"leaf.py": "NEW = 1"})
    after = stamp([root, other, leaf], tmp_path / "two")

    changed = {
        one.wheel.name
        for one, two in zip(before, after, strict=True)
        if one.wheel.version != two.wheel.version
    }
    assert changed == {"leaf", "root"}


def test_what_no_cluster_installs_is_no_need(tmp_path: Path) -> None:
    wheels = [
        make_wheel(
            tmp_path,
            "a",
            requires=["b; extra == 'test'", "b; sys_platform == 'win32'", "b; python_version<'3'"],
        ),
        make_wheel(tmp_path, "b", requires=["a"]),
    ]
    first, second = stamp(wheels, tmp_path / "out")

    assert (first.wheel.name, first.needs) == ("a", ())
    assert (second.wheel.name, second.needs) == ("b", ("a",))
    assert requires_of(first)[0] == 'b; extra == "test"'


def test_an_extra_of_itself_is_followed(tmp_path: Path) -> None:
    wheels = [
        make_wheel(tmp_path, "a", requires=["a[x]; extra == 'all'", "b; extra == 'x'"]),
        make_wheel(tmp_path, "b"),
        make_wheel(tmp_path, "c", requires=["a[all]"]),
    ]

    assert [one.needs for one in stamp(wheels, tmp_path / "out")] == [(), ("b",), ("b", "a")]


def test_a_circle_is_refused_and_named(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, "a", requires=["b"]), make_wheel(tmp_path, "b", requires=["a"])]

    with pytest.raises(Refused, match=r"a needs b needs a|b needs a needs b"):
        stamp(wheels, tmp_path / "out")


def test_two_wheels_of_one_distribution_are_refused(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, "a", tag=tag) for tag in ("py3-none-any", "cp311-none-any")]

    with pytest.raises(Refused, match="two wheels of one distribution, a"):
        stamp(wheels, tmp_path / "out")


def test_a_requirement_that_the_wheel_beside_it_does_not_meet_is_refused(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, "a", requires=["b>=2"]), make_wheel(tmp_path, "b")]

    with pytest.raises(Refused, match=r"needs b>=2, but the wheel built beside it is b-1\.2\.0"):
        stamp(wheels, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "acme")
    (stamped,) = stamp([wheel], tmp_path / "out")
    stamped.wheel.path.unlink()
    stamped.wheel.path.mkdir()

    with pytest.raises(Refused, match="cannot be written"):
        stamp([wheel], tmp_path / "out")


def test_uv_installs_stamped_wheels_and_every_new_stamp(tmp_path: Path, python: Path) -> None:
    def wheels(value: int) -> list[Wheel]:
        folder = tmp_path / str(value)
        return [
            make_wheel(folder, "leaf", files={"space/leaf/__init__.py": f"VALUE = {value}"}),
            make_wheel(
                folder,
                "root",
                requires=["leaf==1.2.0"],
                files={"space/root/größe.py": "from space.leaf import VALUE"},
                scripts={"root-tool": "#!python\nprint('tool')\n"},
                entry_points="[console_scripts]\nlakeflow-task = space.root:main\n",
            ),
            make_wheel(folder, "outsider", requires=["leaf==1.2.0"]),
        ]

    probe = "from space.root.größe import VALUE; print(VALUE)"
    for value in (1, 2):
        stamped = stamp(wheels(value), tmp_path / f"out{value}")
        install(python, *stamped)
        uv("pip", "check", "-q", "-p", str(python))
        assert run(python, probe) == str(value)
    tool = subprocess.run([python.parent / "root-tool"], check=True, capture_output=True, text=True)
    assert tool.stdout == "tool\n"


def test_the_runner_packs_itself(tmp_path: Path, python: Path) -> None:
    wheel = task_wheel(tmp_path)
    again = task_wheel(tmp_path / "again")

    assert wheel.entry_points["console_scripts"]["lakeflow-run"] == "lakeflow_task.main:main"
    assert wheel.sha256 == again.sha256
    install(python, *stamp([wheel], tmp_path / "out"))
    assert run(python, "import lakeflow_task.protocol as p; print(p.__name__)")
