"""A repo that is not this one, which takes lakeflow from its wheels as a user does."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uv import find_uv_bin

BUILD = """\
python_sources()

resources(name="project", sources=["pyproject.toml"{c}])

python_distribution(
    name="dist",
    dependencies=[":{name}", ":project"],
    provides=python_artifact(name="{name}", version="1.0"),
    generate_setup=False,
    sdist=False,
)
"""
PYPROJECT = """\
[build-system]
requires = ["setuptools==80.9.0"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.0"
dependencies = {needs}

{scripts}

[tool.setuptools]
packages = ["{name}"]
package-dir = {{ {name} = "." }}
{extensions}
"""
SCRIPTS = """\
[project.scripts]
lakeflow-task = "{name}:main"
"""
EXTENSIONS = """\
ext-modules = [{{ name = "{name}._add", sources = ["_add.c"] }}]
"""
ADD = """\
#include <Python.h>

static PyObject *add(PyObject *self, PyObject *args) {
    long a, b;
    if (!PyArg_ParseTuple(args, "ll", &a, &b)) return NULL;
    return PyLong_FromLong(a + b);
}

static PyMethodDef methods[] = {{"add", add, METH_VARARGS, "a + b"}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_add", NULL, -1, methods};
PyMODINIT_FUNC PyInit__add(void) { return PyModule_Create(&module); }
"""
TRAINER = """\
import json
import os
import sys
import time

from fast import add


def main():
    words = sys.argv[1:]
    print("RUN", os.environ["DATABRICKS_RUN_ID"], "argv", json.dumps(words), "sum", add(40, 2))
    if words[:1] == ["fail"]:
        raise ValueError("asked to fail")
    if words[:1] == ["wait"]:  # for a file, so that a test says when the run ends
        print("waiting", flush=True)
        while not os.path.exists(words[1]):
            time.sleep(0.1)
        print("waited", flush=True)
"""
GITIGNORE = "/.pants.d/\n/.pids/\n/dist/\n"
PIECES: Mapping[str, str] = {
    "src/my_package/__init__.py": "",
    "src/my_package/main.py": "import sys\n\ndef main():\n    print('said', sys.argv[1:])\n",
    "src/trainer/__init__.py": TRAINER,
    "src/trainer/BUILD": BUILD.format(name="trainer", c=""),
    "src/trainer/pyproject.toml": PYPROJECT.format(
        name="trainer",
        needs='["fast==1.0"]',
        scripts=SCRIPTS.format(name="trainer"),
        extensions="",
    ),
    "src/fast/__init__.py": "from fast._add import add  # pants: no-infer-dep\n",
    "src/fast/_add.c": ADD,
    "src/fast/BUILD": BUILD.format(name="fast", c=', "*.c"'),
    "src/fast/pyproject.toml": PYPROJECT.format(
        name="fast", needs="[]", scripts="", extensions=EXTENSIONS.format(name="fast")
    ),
    "src/broken/__init__.py": "from broken._add import add  # pants: no-infer-dep\n",
    "src/broken/_add.c": ADD.replace("PyLong_FromLong(a + b)", "no_such_thing"),
    "src/broken/BUILD": BUILD.format(name="broken", c=', "*.c"'),
    "src/broken/pyproject.toml": PYPROJECT.format(
        name="broken",
        needs="[]",
        scripts=SCRIPTS.format(name="broken"),
        extensions=EXTENSIONS.format(name="broken"),
    ),
    "src/plain/__init__.py": "",
    "src/plain/BUILD": BUILD.format(name="plain", c=""),
    "src/plain/pyproject.toml": PYPROJECT.format(
        name="plain", needs="[]", scripts="", extensions=""
    ),
}
INHERITED = (
    "HOME",
    "LANG",
    "PATH",
    "PYENV_ROOT",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "XDG_CACHE_HOME",
)
LAUNCHED = 300.0
"""Limit of a goal in seconds."""


@dataclass(frozen=True)
class Completed:
    """The result of a goal: stdout in `out`, stderr in `log`; in a terminal both in `out`."""

    code: int
    out: str
    log: str


def processes(done: Completed) -> int:
    """How many processes Pants started to build, by its own count (`--stats-log`)."""
    executed = re.search(r"local_execution_requests: (\d+)", done.log)
    assert executed is not None
    return int(executed[1])


@dataclass(frozen=True)
class Repo:
    """The scratch repo at `root`, with a separate local workspace."""

    root: Path
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return {
            **inherited,
            "LAKEFLOW_WORKSPACE": "local",
            "LAKEFLOW_STATE_DIR": str(self.state),
        }

    @property
    def report_file(self) -> Path:
        return self.root / "dist" / "lakeflow-deploy.json"

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.report_file.read_text())
        return report

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text that a file contains exactly once."""
        text = (self.root / path).read_text()
        assert text.count(old) == 1
        (self.root / path).write_text(text.replace(old, new))

    def stored(self, path: str) -> Path:
        """Where the local workspace keeps the file of this path."""
        return self.state / "local" / "mount" / path.lstrip("/")

    def deploy(self, *args: str) -> Completed:
        """`./pants lakeflow-deploy ARGS`, to its end."""
        return self.pants("lakeflow-deploy", *args)

    def pants(self, *args: str, **variables: str) -> Completed:
        done = subprocess.run(
            ["./pants", *args],
            cwd=self.root,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=3 * LAUNCHED,
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    def git(self, *args: str) -> None:
        who = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        subprocess.run(["git", *who, *args], cwd=self.root, env=self.environment, check=True)

    def deploy_in_terminal(self, *args: str, interrupt_after: str) -> Completed:
        """The same in a terminal, with Ctrl-C typed once the text has been shown."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.root)
            os.execve("./pants", ["./pants", "lakeflow-deploy", *args], self.environment)
        shown = b""
        typed = False
        deadline = time.monotonic() + LAUNCHED
        try:
            while time.monotonic() < deadline:
                if not select.select([terminal], [], [], 1.0)[0]:
                    continue
                try:
                    chunk = os.read(terminal, 65536)
                except OSError:  # Linux says so when the last process has left the terminal
                    break
                if not chunk:
                    break
                shown += chunk
                if not typed and interrupt_after.encode() in shown:
                    os.write(terminal, b"\x03")
                    typed = True
            else:
                os.kill(pid, signal.SIGKILL)
        finally:
            os.close(terminal)
        _, status = os.waitpid(pid, 0)
        return Completed(os.waitstatus_to_exitcode(status), shown.decode(errors="replace"), "")

    def lakeflow(self, *args: str) -> str:
        """Run the launcher as a tool of uv; returns what it prints on standard output."""
        tool = ["tool", "run", "--quiet", "--from", "lakeflow-launcher[local]==0.1.0"]
        wheels = ["--find-links", str(self.root / "3rdparty" / "wheels")]
        done = subprocess.run(
            [find_uv_bin(), *tool, *wheels, "lakeflow", *args],
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def stop(self) -> None:
        """Stop the local workspace and Pants' daemon."""
        self.lakeflow("local", "down")
        self.stop_pants()

    def stop_pants(self) -> None:
        """Stop the daemon of Pants in this repo."""
        for file in self.root.glob(".pids/**/pid"):
            os.kill(int(file.read_text()), signal.SIGTERM)


def guide_files(guide: str) -> dict[str, str]:
    """Return the files that a guide shows: a name in backquotes, then its content."""
    return dict(re.findall(r"`(\S+)`:\n\n```\w+\n(.*?)```", guide, re.DOTALL))


def make_repo(
    folder: Path, pants: Path, wheels: Sequence[Path], pieces: Mapping[str, str] = PIECES
) -> Repo:
    """Write a repo of `pieces` and of the files that the guide shows.

    `pants` is a folder that holds the script of that name with all it needs, and the docs.
    """
    repo = Repo(folder / "repo", folder / "state")
    shown = guide_files((pants / "docs" / "guides" / "pants.md").read_text())
    if pieces is not PIECES:
        shown = {path: text for path, text in shown.items() if not path.startswith("src/")}
    for path, content in {".gitignore": GITIGNORE, **pieces, **shown}.items():
        (repo.root / path).parent.mkdir(parents=True, exist_ok=True)
        (repo.root / path).write_text(content)
    shutil.copy(pants / "pants", repo.root)
    shutil.copytree(pants / "build-support", repo.root / "build-support")
    locks = repo.root / "3rdparty" / "python"
    locks.mkdir(parents=True)
    for lock in ("pants.lock.txt", "pex.lock.txt"):
        shutil.copy(pants / "3rdparty" / "python" / lock, locks)
    (repo.root / "3rdparty" / "wheels").mkdir()
    for wheel in wheels:
        shutil.copy(wheel, repo.root / "3rdparty" / "wheels")
    return repo
