"""./pants from an empty cache: real installations from the package index."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
INSTALLATION = "2.17.1-pex-2.73.1"


@dataclass(frozen=True)
class Machine:
    """A home folder, a folder of programs for PATH and a folder to stand in."""

    home: Path
    bin: Path
    cwd: Path

    @property
    def installation(self) -> Path:
        return self.home / ".cache" / "lakeflow" / "pants" / INSTALLATION

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PANTS_", "PYENV_", "UV_PYTHON", "XDG_"))
        }
        return subprocess.Popen(
            [shutil.which("bash") or "bash", str(REPO / "pants"), *args],
            cwd=self.cwd,
            env={**inherited, "HOME": str(self.home), "PATH": str(self.bin), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *args: str, **env: str) -> tuple[int, str, str]:
        process = self.start(*args, **env)
        stdout, stderr = process.communicate()
        return process.returncode, stdout, stderr


def make_machine(folder: Path) -> Machine:
    machine = Machine(folder / "home with space", folder / "bin", folder / "repo")
    for path in (machine.home, machine.bin, machine.cwd):
        path.mkdir(parents=True)
    for name in ("bash", "cat", "curl", "dirname", "env", "ldconfig", "uname"):
        if program := shutil.which(name):
            (machine.bin / name).symlink_to(program)
    (machine.cwd / "pants.toml").write_text('[GLOBAL]\npants_version = "2.17.1"\npantsd = false\n')
    return machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return make_machine(tmp_path)


@pytest.fixture(scope="module")
def python39() -> Path:
    """A CPython 3.9 of this machine."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    folders += [*pyenv.glob("versions/3.9.*/bin"), *uv.glob("cpython-3.9*/bin")]
    for folder in folders:
        show = (
            "import sys, venv, ensurepip; print(sys.version_info[:2] == (3, 9) and sys.executable)"
        )
        if (python := folder / "python3.9").exists():
            shown = subprocess.run([python, "-c", show], capture_output=True, text=True)
            if shown.returncode == 0:
                return Path(os.path.realpath(shown.stdout.strip()))
    pytest.fail("these tests need a CPython 3.9")


@pytest.fixture(scope="module")
def installed(
    tmp_path_factory: pytest.TempPathFactory, python39: Path
) -> tuple[Machine, list[str]]:
    """A machine after a killed first start and two parallel ones; with the stderr of these."""
    machine = make_machine(tmp_path_factory.mktemp("machine"))
    (machine.bin / "python3.9").symlink_to(python39)

    killed = machine.start("--version")
    while not (machine.installation / "venv" / "bin" / "python").exists():
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (machine.installation / "env").exists()

    starts = [machine.start("--version") for _ in range(2)]
    errors = []
    for start in starts:
        stdout, stderr = start.communicate()
        assert (start.returncode, stdout) == (0, "2.17.1\n"), stderr
        errors.append(stderr)
    return machine, errors


def test_two_first_starts_after_a_killed_one_install_once(
    installed: tuple[Machine, list[str]],
) -> None:
    machine, errors = installed
    assert sum("first start: installing" in error for error in errors) == 1
    assert sum("waiting for another first start" in error for error in errors) == 1
    names = {path.name for path in machine.installation.iterdir()}
    assert names - {"named_caches"} == {"env", "lock", "pex", "venv"}


def test_a_later_start_installs_nothing(installed: tuple[Machine, list[str]]) -> None:
    machine, _ = installed
    files = [p for p in machine.installation.iterdir() if p.name != "named_caches"]
    before = {p: p.stat().st_mtime_ns for p in files}
    code, stdout, stderr = machine.run("--version")
    assert (code, stdout) == (0, "2.17.1\n"), stderr
    assert "./pants:" not in stderr
    assert {p: p.stat().st_mtime_ns for p in files} == before


def test_pants_takes_the_pex_of_the_installation(installed: tuple[Machine, list[str]]) -> None:
    machine, _ = installed
    code, stdout, stderr = machine.run("help-all")
    assert code == 0, stderr
    assert (machine.installation / "pex").as_uri() in stdout


def test_a_scie_is_preferred_and_scripts_of_that_name_are_not(machine: Machine) -> None:
    first, second = machine.cwd / "first", machine.cwd / "second"
    first.mkdir()
    second.mkdir()
    (first / "pants").symlink_to(REPO / "pants")
    shutil.copy(shutil.which("echo") or "/bin/echo", second / "pants")
    path = os.pathsep.join([str(first), str(second), str(machine.bin)])
    code, stdout, stderr = machine.run("a b", "", "*", "--", "-x", PATH=path)
    assert (code, stdout, stderr) == (0, "a b  * -- -x\n", "")
    assert not machine.installation.exists()


@pytest.mark.skipif(
    any(Path("/opt").glob("**/bin/python3.9")), reason="this machine has a CPython 3.9 in /opt"
)
def test_without_a_python_39_it_says_what_to_install(machine: Machine) -> None:
    shim = machine.bin / "python3.9"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.9: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    code, stdout, stderr = machine.run("--version")
    assert (code, stdout) == (1, "")
    assert "found no CPython 3.9" in stderr
    assert "uv python install 3.9" in stderr
    assert not machine.installation.exists()


@pytest.mark.parametrize(
    "place", [".pyenv/versions/3.9.18", ".local/share/uv/python/cpython-3.9.18-linux-x86_64-gnu"]
)
def test_a_python_is_found_off_path_and_a_cache_that_cannot_be_written_is_named(
    machine: Machine, python39: Path, place: str
) -> None:
    found = machine.home / place / "bin" / "python3.9"
    found.parent.mkdir(parents=True)
    found.write_text(f'#!/bin/sh\nexec "{python39}" "$@"\n')
    found.chmod(0o755)
    no_folder = machine.cwd / "pants.toml"
    code, stdout, stderr = machine.run("--version", XDG_CACHE_HOME=str(no_folder))
    assert (code, stdout) == (1, "")
    assert f"cannot install Pants into {no_folder}" in stderr
    assert "set XDG_CACHE_HOME" in stderr
    assert "Traceback" not in stderr


def test_an_index_that_cannot_be_reached_is_an_error_that_names_it(
    machine: Machine, python39: Path
) -> None:
    (machine.bin / "python3.9").symlink_to(python39)
    no_index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(machine.cwd)}
    code, _, stderr = machine.run("--version", **no_index)
    assert code == 1
    assert "No matching distribution found" in stderr
    assert "cannot install Pants" in stderr
    assert not (machine.installation / "env").exists()


@pytest.mark.parametrize(
    ("environment", "files"),
    [
        ({}, "+['{repo}/pants.2.17.toml']"),
        ({"PANTS_VERSION": "2.33.0"}, "+['{repo}/pants.newest.toml']"),
        ({"PANTS_CONFIG_FILES": "['my.toml']"}, "['my.toml']"),
    ],
)
def test_options_of_one_version_are_in_a_file_that_the_script_selects(
    machine: Machine, environment: dict[str, str], files: str
) -> None:
    scie = machine.bin / "pants"
    shutil.copy(shutil.which("printenv") or "/usr/bin/printenv", scie)
    here = Machine(machine.home, machine.bin, REPO)
    code, stdout, stderr = here.run("PANTS_CONFIG_FILES", **environment)
    assert (code, stdout, stderr) == (0, files.format(repo=REPO) + "\n", "")
    code, stdout, _ = machine.run("PANTS_CONFIG_FILES", **environment)
    assert stdout.strip() == environment.get("PANTS_CONFIG_FILES", "")


def test_pex_has_a_cache_of_its_own(machine: Machine) -> None:
    """Pex 2.73.1 stops at what a newer one has written, for another Pants of the same user."""
    shutil.copy(shutil.which("printenv") or "/usr/bin/printenv", machine.bin / "pants")
    code, stdout, _ = machine.run("PANTS_NAMED_CACHES_DIR")
    assert (code, stdout) == (0, f"{machine.installation / 'named_caches'}\n")
    code, other, _ = machine.run("PANTS_NAMED_CACHES_DIR", PANTS_VERSION="2.33.0")
    assert (code, other) == (0, f"{machine.installation.parent / '2.33.0' / 'named_caches'}\n")


def test_script_lockfiles_and_options_name_the_same_versions() -> None:
    script = (REPO / "pants").read_text()
    options = (REPO / "pants.toml").read_text()
    pants = re.search(r'^pants_version = "(.+)"$', options, re.MULTILINE)
    only_217 = (REPO / "pants.2.17.toml").read_text()
    pex = re.search(r'^version = "v(.+)"$', only_217, re.MULTILINE)
    assert pants
    assert pex
    assert f"{pants[1]}-pex-{pex[1]}" == INSTALLATION
    assert f"/{INSTALLATION}\n" in script
    locks = REPO / "3rdparty" / "python"
    assert f"\npantsbuild-pants=={pants[1]} " in (locks / "pants.lock.txt").read_text()
    assert f"\npex=={pex[1]} " in (locks / "pex.lock.txt").read_text()
    assert f'"v{pex[1]}|linux_x86_64|' in only_217
