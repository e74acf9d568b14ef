from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from packaging.tags import Tag
from packaging.version import Version

from lakeflow.errors import Refused, UsageError
from lakeflow.wheels.wheel import read_wheel
from tests.support.built_wheels import make_built_wheel
from tests.support.wheels import make_wheel


def test_reading_a_wheel(tmp_path: Path) -> None:
    wheel = make_built_wheel(
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


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "a-1.0-py3-none-any.whl"
    text.write_text("no zip")
    with pytest.raises(Refused, match="damaged or not a wheel"):
        read_wheel(text)
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("a.py", "")
    with pytest.raises(Refused, match="METADATA; found: none"):
        read_wheel(text)
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("a-1.0.dist-info/WHEEL", "")
    with pytest.raises(Refused, match=r"a-1\.0\.dist-info/METADATA is missing"):
        read_wheel(text)
    with pytest.raises(Refused, match="not a valid wheel file name"):
        read_wheel(text.rename(tmp_path / "a.whl"))


def test_a_renamed_wheel_is_refused(tmp_path: Path) -> None:
    wheel = make_built_wheel(tmp_path, "acme")

    with pytest.raises(Refused, match=r"named acme 9\.9, but its METADATA says acme 1\.2\.0"):
        read_wheel(wheel.path.rename(tmp_path / "acme-9.9-py3-none-any.whl"))


@pytest.mark.parametrize("name", ["../a.py", "/a.py", "a/../../b.py", "a\\..\\b.py", "a//b.py"])
def test_a_member_that_leads_out_of_the_wheel_is_refused(tmp_path: Path, name: str) -> None:
    path = make_wheel(tmp_path, "a", "1.0", {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "")
    with pytest.raises(Refused, match="leads out of the wheel"):
        read_wheel(path)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "a", "1.0", {})
    link = zipfile.ZipInfo("a/passwords")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(Refused, match="symbolic link"):
        read_wheel(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "a", "1.0", {"a.py": ""})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a.py", "evil")
    with pytest.raises(Refused, match="twice"):
        read_wheel(path)


def test_a_wheel_without_its_wheel_file_is_refused(tmp_path: Path) -> None:
    whole = make_wheel(tmp_path / "whole", "a", "1.0", {})
    path = tmp_path / whole.name
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            if not member.endswith("/WHEEL"):
                new.writestr(member, old.read(member))
    with pytest.raises(Refused, match="WHEEL is missing"):
        read_wheel(path)
