"""Install Pants for ./pants, once, into a folder of the user's cache.

Runs on CPython 3.9 with its standard library only. Usage: bootstrap.py FOLDER

The folder then holds `venv` (pantsbuild.pants, hash-pinned), `pex` (the resolver that Pants runs)
and, written last, `env`: the variables that point Pants at this pex. A folder without `env` is
incomplete, and the next start installs again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
LOCKS = REPO / "3rdparty" / "python"
PLATFORMS = ("linux_arm64", "linux_x86_64", "macos_arm64", "macos_x86_64")
SPACE = 600 * 2**20  # bytes: the finished folder takes half of it, pip's temporary files the rest


def main(home: Path) -> int:
    """Fill the folder `home` unless it is complete. Returns the exit code of the process."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with locked(home / "lock") as lock:
            if not complete(home):
                log(f"first start: installing Pants into {home}")
                install(home, lock)
    except OSError as error:
        log(f"cannot install Pants into {home}: {error.strerror or error}")
        log("free some space, or set XDG_CACHE_HOME to a folder that can be written")
        return 1
    except subprocess.CalledProcessError as error:
        print(error.stdout, file=sys.stderr)
        log(f"cannot install Pants: `{shlex.join(error.cmd)}` failed, its output is above")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def log(text: str) -> None:
    print(f"./pants: {text}", file=sys.stderr, flush=True)


def complete(home: Path) -> bool:
    return (home / "env").exists() and os.access(home / "venv" / "bin" / "python", os.X_OK)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on the file; yield its descriptor, for child processes to hold too.

    The kernel releases the lock when the last process that holds it exits.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("waiting for another first start, which is installing Pants")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def install(home: Path, lock: int) -> None:
    (home / "env").unlink(missing_ok=True)
    for leftover in ("venv", "pex-tool"):
        shutil.rmtree(home / leftover, ignore_errors=True)
    free = shutil.disk_usage(home).free
    if free < SPACE:
        raise OSError(f"it takes {SPACE >> 20} MB of disk space, and {free >> 20} MB are free")

    run([sys.executable, "-m", "venv", str(home / "venv")], lock)
    pip = [str(home / "venv" / "bin" / "python"), "-m", "pip", "install", "--no-input", "--quiet"]
    pip += ["--disable-pip-version-check", "--no-deps", "--require-hashes", "--requirement"]
    run([*pip, str(LOCKS / "pants.lock.txt")], lock)

    version, digest = pex_release(REPO / "pants.2.17.toml")
    pex = home / "pex"
    if not download(
        f"https://github.com/pex-tool/pex/releases/download/{version}/pex", digest, pex
    ):
        tool = home / "pex-tool"
        run([*pip, str(LOCKS / "pex.lock.txt"), "--target", str(tool)], lock)
        build_pex(tool, pex, lock)
        shutil.rmtree(tool)
    write_env(home, version)


def run(command: list[str], lock: int, **env: str) -> None:
    """Run a command that holds the lock until it exits. Raises CalledProcessError."""
    subprocess.run(
        command,
        check=True,
        env={**os.environ, **env},
        pass_fds=(lock,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def pex_release(options: Path) -> tuple[str, str]:
    """Return version (`v1.2.3`) and SHA-256 of the pex release that [pex-cli] pins."""
    known = re.search(r'"(v[\d.]+)\|linux_x86_64\|([0-9a-f]{64})\|', options.read_text())
    if known is None:
        raise OSError(f"{options} pins no version of pex")
    return known[1], known[2]


def download(url: str, digest: str, path: Path) -> bool:
    """Download the file with that SHA-256. Returns False if that fails within half a minute."""
    curl = [
        "curl",
        "--fail",
        "--location",
        "--silent",
        "--connect-timeout",
        "3",
        "--max-time",
        "30",
    ]
    try:
        subprocess.run([*curl, "--output", str(path), url], check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == digest


def build_pex(tool: Path, path: Path, lock: int) -> None:
    """Build the pex file as its release does, byte for byte the same on every machine.

    `tool` is a folder in which pex is installed.
    """
    os.umask(0o022)  # the modes of files end up in the zip file
    options = ["--no-build", "--disable-cache", "--no-compile", "--no-use-system-time"]
    options += ["--no-strip-pex-env", "--include-tools", "--python-shebang=/usr/bin/env python"]
    requirements = ["--requirement", str(LOCKS / "pex.lock.txt"), "--console-script", "pex"]
    command = [sys.executable, "-m", "pex", *requirements, *options, "--output-file", str(path)]
    run(command, lock, PYTHONPATH=str(tool))


def write_env(home: Path, version: str) -> None:
    """Write the shell fragment that makes Pants use the pex in `home`."""
    pex = home / "pex"
    digest, size = hashlib.sha256(pex.read_bytes()).hexdigest(), pex.stat().st_size
    variables = {
        "NO_SCIE_WARNING": "1",
        "PANTS_PEX_CLI_VERSION": version,
        "PANTS_PEX_CLI_URL_TEMPLATE": pex.as_uri(),
        "PANTS_PEX_CLI_KNOWN_VERSIONS": repr([f"{version}|{p}|{digest}|{size}" for p in PLATFORMS]),
    }
    unfinished = home / "env.unfinished"
    unfinished.write_text("".join(f"export {k}={shlex.quote(v)}\n" for k, v in variables.items()))
    unfinished.replace(home / "env")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
