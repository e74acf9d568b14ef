"""Wheels that pip would refuse: nothing of them is installed."""

from __future__ import annotations

import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.compute import Library

from lakeflow_local.compute.errors import InstallationError
from lakeflow_local.compute.wheel_archive import check_archive
from tests.lakeflow_local.helpers import present, probe_task, result_of, run_once, upload
from tests.support.wheels import make_wheel


def add(name: str, mode: int = 0) -> Callable[[Path], None]:
    """Return a function that adds a member to a wheel."""

    def change(wheel: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(wheel, "a") as archive:
            warnings.simplefilter("ignore")  # about duplicate names
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, "../../evil")

    return change


def remove_wheel_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            if not name.endswith("/WHEEL"):
                archive.writestr(name, content)


HOSTILE = {
    "above": (add("../evil.py"), "outside the target"),
    "above from within": (add("evil/../../evil.py"), "outside the target"),
    "absolute": (add("/evil.py"), "outside the target"),
    "link": (add("evil/link.py", stat.S_IFLNK | 0o777), "symbolic link"),
    "twice": (add("evil/__init__.py"), "two files"),
    "twice by another name": (add("evil//./__init__.py"), "two files"),
    "without WHEEL": (remove_wheel_file, "no file WHEEL"),
}


def evil_wheel(folder: Path, change: Callable[[Path], None]) -> Path:
    wheel = make_wheel(folder, "evil", "1.0", {"evil/__init__.py": ""})
    change(wheel)
    return wheel


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_pip_refuses_is_refused(tmp_path: Path, kind: str) -> None:
    change, complaint = HOSTILE[kind]
    with pytest.raises(InstallationError, match=complaint):
        check_archive(evil_wheel(tmp_path, change))


def test_a_good_wheel_and_what_is_no_archive_pass(tmp_path: Path) -> None:
    check_archive(evil_wheel(tmp_path, lambda _: None))
    (tmp_path / "no-1.0-py3-none-any.whl").write_text("no archive")
    check_archive(tmp_path / "no-1.0-py3-none-any.whl")


def test_a_hostile_wheel_fails_the_run(
    client: WorkspaceClient, cluster: str, tmp_path: Path
) -> None:
    wheel = upload(client, evil_wheel(tmp_path, add("../../evil.py")))
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(wheel)
    path = upload(client, requirements)
    for library in (Library(whl=wheel), Library(requirements=path)):
        task = probe_task(cluster, None, "echo", libraries=[library])
        run, _ = run_once(client, task)
        assert result_of(run) == "FAILED"
        assert "outside the target directory" in present(present(run.state).state_message)
