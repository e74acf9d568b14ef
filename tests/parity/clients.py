"""The columns of the parity table: the clients, and how each gets its own environment."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path
from uv import find_uv_bin

REPO = Path(__file__).resolve().parents[2]
DRIVERS = Path("tests/parity/drivers")
LOCKS = Path("3rdparty/python/parity")


class ClientMissing(Exception):
    """A client cannot be run here. The text says what is missing."""


@dataclass(frozen=True)
class Client:
    """A client of the workspace.

    `driver` makes its calls; `lock` pins what is installed for it, and the version of `package` in
    it is the column's. One that drops the port of an address is led by HTTP_PROXY. `prepare` makes
    its environment, once for each content of lock and driver, and gives the command that runs the
    driver there.
    """

    title: str
    driver: Path
    lock: Path | None
    package: str
    prepare: Callable[[Client], list[str]]
    insists_on_tls: bool = False
    drops_the_port: bool = False
    in_every_run: bool = False

    @property
    def way(self) -> str:
        """How it is led to the workspace."""
        if self.drops_the_port:
            return "`HTTP_PROXY`, since it drops the port of its host"
        return "`--tls`, since it insists on https" if self.insists_on_tls else "host and token"

    @functools.cached_property
    def version(self) -> str:
        """The version that is pinned."""
        if self.lock is None:
            return ""
        found = _VERSION[self.lock.suffix](self.package, (REPO / self.lock).read_text("utf-8"))
        if found is None:
            raise ValueError(f"{self.lock} does not pin {self.package}")
        return found[1]


_VERSION: dict[str, Callable[[str, str], re.Match[str] | None]] = {
    ".txt": lambda name, text: re.search(rf"^{re.escape(name)}==(\S+)", text, re.M),
    ".mod": lambda name, text: re.search(rf"{re.escape(name)} v(\S+)", text),
    ".json": lambda name, text: re.search(
        rf'"node_modules/{name}": \{{\s*"version": "(.+?)"', text
    ),
    ".xml": lambda name, text: re.search(
        rf"<artifactId>{name}</artifactId>\s*<version>(.+?)<", text
    ),
}


def in_this_environment(client: Client) -> list[str]:
    """For what the tests' own environment has."""
    return [sys.executable, str(REPO / client.driver)]


def in_an_environment(client: Client) -> list[str]:
    """An environment made by uv from the lock, whose hashes are checked."""

    def make(folder: Path) -> None:
        uv = find_uv_bin()
        _run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)])
        lock = str(REPO / str(client.lock))
        python = str(folder / "bin" / "python")
        _run([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock])

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = _cached(client, make, version)
    return [str(folder / "bin" / "python"), str(REPO / client.driver)]


def with_node(client: Client) -> list[str]:
    """Packages from npm, by the integrity that the lock has of each."""

    def make(folder: Path) -> None:
        here = REPO / client.driver.parent
        for name in ("package.json", "package-lock.json", client.driver.name):
            shutil.copyfile(here / name, folder / name)
        _run([_tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    return [_tool("node"), str(_cached(client, make) / client.driver.name)]


def with_go(client: Client) -> list[str]:
    """A program of modules, by the hashes in go.sum."""

    def make(folder: Path) -> None:
        here = REPO / client.driver.parent
        for name in ("go.mod", "go.sum", client.driver.name):
            shutil.copyfile(here / name, folder / name)
        _run([_tool("go"), "build", "-mod=readonly", "-o", "tour", "."], folder)

    return [str(_cached(client, make) / "tour")]


def with_java(client: Client) -> list[str]:
    """A class on jars from Maven, by the digests in jars.sha256.

    Raises:
        ValueError: jars came that are not those.
    """
    here = REPO / client.driver.parent
    digests = (here / "jars.sha256").read_text(encoding="utf-8")

    def make(folder: Path) -> None:
        compiler, jars = _tool("javac"), folder / "jars"
        shutil.copyfile(here / "pom.xml", folder / "pom.xml")
        _run([_tool("mvn"), "--batch-mode", "--quiet", "dependency:copy-dependencies"], folder)
        found = {
            f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}" for jar in jars.iterdir()
        }
        if wrong := found ^ set(digests.splitlines()):
            raise ValueError(f"jars and jars.sha256 differ: {', '.join(sorted(wrong))}")
        source = str(REPO / client.driver)
        _run([compiler, "-encoding", "UTF-8", "-cp", f"{jars}/*", "-d", "classes", source], folder)

    folder = _cached(client, make, digests)
    # Java takes the user's home, and so ~/.databrickscfg, from elsewhere than HOME.
    options = ["-Duser.home=.", "-Dfile.encoding=UTF-8"]
    return [_tool("java"), *options, "-cp", f"{folder}/jars/*:{folder}/classes", client.driver.stem]


def _cached(client: Client, make: Callable[[Path], None], *more: str) -> Path:
    """The folder that `make` fills, in the user's cache, if it does not exist."""
    digest = hashlib.sha256("\0".join(more).encode())
    for path in (client.lock, client.driver if client.driver.suffix != ".py" else None):
        if path is not None:
            digest.update((REPO / path).read_bytes())
    name = re.sub(r"\W+", "-", client.title).lower()
    folder = user_cache_path("lakeflow") / "parity" / f"{name}-{digest.hexdigest()[:16]}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        (folder / "complete").touch()
    return folder


def _run(command: list[str], cwd: Path | None = None) -> str:
    finished = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if finished.returncode:
        output = (finished.stderr or finished.stdout).strip()
        raise ClientMissing(f"{command[0]} failed: {output[-500:]}")
    return finished.stdout


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ClientMissing(f"there is no {name} on this machine")
    return found


def _python_client(title: str, lock: str, package: str, driver: str, **options: bool) -> Client:
    return Client(
        title, DRIVERS / driver, LOCKS / f"{lock}.lock.txt", package, in_an_environment, **options
    )


CLIENTS: tuple[Client, ...] = (
    Client(
        "plain HTTP",
        DRIVERS / "http_tour.py",
        None,
        "urllib",
        in_this_environment,
        in_every_run=True,
    ),
    _python_client("databricks-sdk, oldest", "sdk", "databricks-sdk", "sdk_tour.py"),
    Client(
        "databricks-sdk",
        DRIVERS / "sdk_tour.py",
        Path("3rdparty/python/launcher.lock.txt"),
        "databricks-sdk",
        in_this_environment,
        in_every_run=True,
    ),
    _python_client(
        "databricks-cli",
        "databricks-cli",
        "databricks-cli",
        "databricks_cli_tour.py",
        drops_the_port=True,
    ),
    _python_client(
        "prefect-databricks",
        "prefect",
        "prefect-databricks",
        "prefect_tour.py",
        insists_on_tls=True,
    ),
    _python_client(
        "Airflow's provider",
        "airflow",
        "apache-airflow-providers-databricks",
        "airflow_tour.py",
        insists_on_tls=True,
    ),
    _python_client("dagster-databricks", "dagster", "dagster-databricks", "dagster_tour.py"),
    Client(
        "JavaScript SDK",
        DRIVERS / "javascript" / "tour.js",
        DRIVERS / "javascript" / "package-lock.json",
        "@databricks/sdk-experimental",
        with_node,
    ),
    Client(
        "Go SDK",
        DRIVERS / "go" / "tour.go",
        DRIVERS / "go" / "go.mod",
        "github.com/databricks/databricks-sdk-go",
        with_go,
    ),
    Client(
        "Java SDK",
        DRIVERS / "java" / "Tour.java",
        DRIVERS / "java" / "pom.xml",
        "databricks-sdk-java",
        with_java,
    ),
    Client(
        "Go CLI, replayed",
        DRIVERS / "go_cli_tour.py",
        None,
        "what databricks/cli 1.13 sends",
        in_this_environment,
        in_every_run=True,
    ),
)
