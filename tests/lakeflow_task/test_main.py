"""The runner as a separate process, on an installed package, from the outside."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import lakeflow_task
from lakeflow_task.protocol import encode_call

VERSION = "1.0+lf.0123456789ab"


class Cluster:
    """A folder of installed packages, and a root that runs are kept under."""

    def __init__(self, folder: Path) -> None:
        self.packages = folder / "packages"
        self.root = folder / "root"
        self.run_folder = self.root / "runs" / "11" / "12"
        runner = Path(lakeflow_task.__file__).parent
        shutil.copytree(
            runner, self.packages / "lakeflow_task", ignore=shutil.ignore_patterns("__pycache__")
        )

    def install(self, code: str, name: str = "Acme.Job") -> None:
        """Install a distribution with the module `acme_job` (or so) of this code."""
        module = re.sub(r"\W", "_", name).lower()
        (self.packages / f"{module}.py").write_text(code, encoding="utf-8")
        info = self.packages / f"{module}-{VERSION}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n")
        (info / "entry_points.txt").write_text(
            f"[other]\nlakeflow-task-not = x:y\n\n[any_group]\nlakeflow-task = {module}:main\n"
        )

    def parameters(self, argv: Sequence[str] = (), **changed: str | None) -> list[str]:
        """What Databricks passes to the runner; `changed` replaces or (None) leaves out some."""
        values: dict[str, str | None] = {
            "distribution": "Acme.Job",
            "entry_point": "lakeflow-task",
            "root": str(self.root),
            "requires": f"acme-job=={VERSION}",
            "job_run": "11",
            "task_run": "12",
            "attempt": "1",
            "call": encode_call(argv, {"GREETING": "{{job.id}}"}, None),
            **changed,
        }
        given = {name.replace("_", "-"): text for name, text in values.items() if text is not None}
        return ["--lakeflow-protocol=1", *(f"--{name}={text}" for name, text in given.items())]

    def run(
        self,
        parameters: Sequence[str],
        *,
        driver: Sequence[str] = ("-m", "lakeflow_task"),
        stderr: int = subprocess.PIPE,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *driver, *parameters],
            check=False,
            cwd=self.packages,
            encoding="utf-8",
            env={"PATH": os.defpath, "PYTHONPATH": str(self.packages), **environment},
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=120,
        )

    def log(self) -> str:
        """All of the output that was shipped."""
        return b"".join(
            file.read_bytes() for file in sorted(self.run_folder.glob("log.*"))
        ).decode()

    def exit(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.run_folder / "exit.json").read_text())
        return facts


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


ECHO = """
import json, os, sys
def main():
    print(json.dumps({"argv": sys.argv, "env": dict(os.environ)}))
"""


def test_arguments_and_environment_arrive_as_they_were_sent(cluster: Cluster) -> None:
    cluster.install(ECHO)
    argv = ["-x", "", "a b", "'\"", "{{job.id}}", "Größe 🧱", "--lakeflow-protocol=1"]

    done = cluster.run(cluster.parameters(argv), GREETING="from before")

    assert (done.returncode, done.stderr) == (0, "")
    received = json.loads(done.stdout)
    assert received["argv"] == ["Acme.Job", *argv]
    assert received["env"]["GREETING"] == "{{job.id}}"
    assert received["env"]["DATABRICKS_RUN_ID"] == "11"
    assert received["env"]["LAKEFLOW_TASK_RUN_ID"] == "12"
    assert received["env"]["LAKEFLOW_ATTEMPT"] == "1"
    assert cluster.log() == done.stdout


RUNTIME = """
class Secret:
    key = "API_KEY"

class secrets:
    def list(scope):
        if scope != "lakeflow-5":
            raise RuntimeError(f"Scope {scope} does not exist")
        return [Secret()]

    def get(scope, key):
        return {("lakeflow-5", "API_KEY"): "s3cret"}[scope, key]

class dbutils:
    secrets = secrets

class UserNamespaceInitializer:
    getOrCreate = classmethod(lambda cls: cls())

    def get_namespace_globals(self):
        return {"dbutils": dbutils}
"""
"""As much of the module of a Databricks runtime as databricks-sdk uses (its `runtime`)."""


def test_secrets_become_variables_and_the_scope_an_argument(cluster: Cluster) -> None:
    cluster.install(ECHO)
    (cluster.packages / "dbruntime.py").write_text(RUNTIME)

    done = cluster.run(cluster.parameters(call=encode_call(["a"], {}, "lakeflow-5")))

    said = json.loads(done.stdout)
    assert said["argv"][1:] == ["a", "--lakeflow-secret-scope", "lakeflow-5"]
    assert said["env"]["API_KEY"] == "s3cret"


REMOTE_CLIENT = """
class UserNamespaceInitializer:
    getOrCreate = classmethod(lambda cls: cls())

    def get_namespace_globals(self):
        raise RuntimeError("[CONTEXT_UNAVAILABLE_FOR_REMOTE_CLIENT]")
"""

IPYTHON = """
import named

class Shell:
    user_ns = {"dbutils": named.dbutils}

def get_ipython():
    return Shell()
"""


def test_secrets_are_read_where_the_namespace_is_unavailable(cluster: Cluster) -> None:
    cluster.install(ECHO)
    (cluster.packages / "named.py").write_text(RUNTIME)
    (cluster.packages / "dbruntime.py").write_text(REMOTE_CLIENT)
    parameters = cluster.parameters(call=encode_call([], {}, "lakeflow-5"))

    (cluster.packages / "IPython.py").write_text(IPYTHON)
    assert json.loads(cluster.run(parameters).stdout)["env"]["API_KEY"] == "s3cret"

    (cluster.packages / "IPython.py").write_text("def get_ipython(): return None")
    assert "CONTEXT_UNAVAILABLE_FOR_REMOTE_CLIENT" in cluster.run(parameters).stderr


def test_secrets_that_cannot_be_read_are_refused(cluster: Cluster) -> None:
    cluster.install(ECHO)
    parameters = cluster.parameters(call=encode_call([], {}, "lakeflow-6"))

    assert "there is no dbutils here" in cluster.run(parameters).stderr

    (cluster.packages / "dbruntime.py").write_text(RUNTIME)
    done = cluster.run(parameters)
    assert "the secret scope lakeflow-6 of this run cannot be read" in done.stderr
    assert done.returncode != 0


def test_an_exit_is_shown_without_its_cause(cluster: Cluster) -> None:
    cluster.install(
        "import argparse\n"
        "def main():\n"
        "    parser = argparse.ArgumentParser()\n"
        "    parser.add_argument('--count', type=int)\n"
        "    parser.parse_args(['--count', 'many'])\n"
    )

    done = cluster.run(cluster.parameters())

    assert "invalid int value: 'many'" in done.stderr
    facts = cluster.exit()
    assert facts["exit_code"] == 2
    assert facts["traceback"].count("Traceback") == 1


@pytest.mark.parametrize(
    "code",
    ["return 5", "return", "raise SystemExit", "raise SystemExit(0)", "import sys; sys.exit()"],
)
def test_these_ends_are_success(cluster: Cluster, code: str) -> None:
    cluster.install(f"def main():\n    print('done')\n    {code}\n")

    done = cluster.run(cluster.parameters())

    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    facts = cluster.exit()
    assert facts.pop("started") <= facts.pop("ended")
    assert facts == {"exit_code": 0, "error": None, "traceback": None}


@pytest.mark.parametrize(
    ("code", "exit_code", "error"),
    [
        ("raise RuntimeError('intentional')", 1, "RuntimeError: intentional"),
        ("raise SystemExit(3)", 3, "SystemExit: 3"),
        ("raise SystemExit(256)", 1, "SystemExit: 256"),
        ("raise SystemExit('why')", 1, "SystemExit: why"),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
    ],
)
def test_any_other_end_is_what_it_is(
    cluster: Cluster, code: str, exit_code: int, error: str
) -> None:
    cluster.install(
        f"import sys\ndef main():\n    print('before')\n    inner()\ndef inner():\n    {code}\n"
    )

    done = cluster.run(cluster.parameters())

    assert done.returncode != 0
    assert cluster.log() == "before\n"
    facts = cluster.exit()
    assert (facts["exit_code"], facts["error"]) == (exit_code, error)
    frames = [line for line in facts["traceback"].splitlines() if line.startswith("  File")]
    assert [frame.rpartition(" in ")[2] for frame in frames] == ["main", "inner"]


def test_an_import_that_fails_is_the_runs_failure(cluster: Cluster) -> None:
    cluster.install("import missing_module\n")

    done = cluster.run(cluster.parameters())

    assert done.returncode == 1
    assert cluster.exit()["error"] == "ModuleNotFoundError: No module named 'missing_module'"
    assert "acme_job.py" in cluster.exit()["traceback"]


def test_a_replaced_hook_hides_no_failure(cluster: Cluster) -> None:
    cluster.install(
        "import os, sys\ndef main():\n"
        "    sys.excepthook = lambda *_: os._exit(0)\n    raise RuntimeError('intentional')\n"
    )

    done = cluster.run(cluster.parameters())

    assert done.returncode == 1
    assert "RuntimeError: intentional" in done.stderr


SHELL = """
import builtins, io, sys
del builtins.exit, builtins.quit
class Cell:
    encoding = "utf-8"
    def __init__(self): self.text = io.StringIO()
    def write(self, text): return self.text.write(text)
    def flush(self): pass
real = sys.stdout
sys.stdout = cell = Cell()
from lakeflow_task.main import main
main()
assert sys.stdout is cell
real.write("the cell shows: " + cell.text.getvalue())
"""


def test_a_shell_that_is_no_plain_interpreter(cluster: Cluster) -> None:
    """As on Databricks: `print` does not reach file descriptor 1, and `exit` is taken away."""
    cluster.install(
        "import os\ndef main():\n"
        "    print('größe')\n    os.write(1, b'from below\\n')\n    exit(0)\n"
    )

    done = cluster.run(cluster.parameters(), driver=["-c", SHELL])

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "from below\nthe cell shows: größe\n"
    assert sorted(cluster.log().splitlines()) == ["from below", "größe"]


def test_what_children_and_native_code_write_is_kept_in_order(cluster: Cluster) -> None:
    cluster.install(
        "import ctypes, os, subprocess, sys\n"
        "def main():\n"
        "    print('python')\n"
        "    subprocess.run(['sh', '-c', 'echo child; echo child error >&2'])\n"
        "    print('python error', file=sys.stderr)\n"
        "    ctypes.CDLL(None).puts(b'C, buffered to the end')\n"
    )

    done = cluster.run(cluster.parameters(), stderr=subprocess.STDOUT)

    expected = "python\nchild\nchild error\npython error\nC, buffered to the end\n"
    assert done.stdout == expected
    assert cluster.log() == expected


def test_output_and_errors_stay_apart_where_they_are_apart(cluster: Cluster) -> None:
    cluster.install("import os\ndef main():\n    os.write(1, b'out')\n    os.write(2, b'error')\n")

    done = cluster.run(cluster.parameters())

    assert (done.stdout, done.stderr) == ("out", "error")
    assert sorted(cluster.log()) == sorted("outerror")


def test_output_is_shipped_while_the_run_goes_on(cluster: Cluster) -> None:
    cluster.install(
        "import os, sys, time\n"
        "def main():\n"
        "    print('first')\n"
        "    while not os.path.exists(sys.argv[1]):\n"
        "        time.sleep(0.01)\n"
        "    print('seen: ' + open(sys.argv[1]).read())\n"
    )

    done = cluster.run(cluster.parameters([str(cluster.run_folder / "log.000001")]))

    assert done.stdout == "first\nseen: first\n\n"
    assert (cluster.run_folder / "log.000002").read_text() == "seen: first\n\n"
    assert sorted(file.name for file in cluster.run_folder.iterdir()) == [
        "exit.json",
        "log.000001",
        "log.000002",
    ]


def test_much_output_comes_through_whole(cluster: Cluster) -> None:
    cluster.install("def main():\n    for n in range(400_000):\n        print(n)\n")

    done = cluster.run(cluster.parameters())

    assert done.stdout == "".join(f"{n}\n" for n in range(400_000))
    assert cluster.log() == done.stdout


def test_native_code_may_print_much_while_it_holds_the_interpreters_lock(cluster: Cluster) -> None:
    cluster.install(
        "import ctypes\ndef main():\n    ctypes.PyDLL(None).write(1, b'x' * 3_000_000, 3_000_000)\n"
    )

    done = cluster.run(cluster.parameters())

    assert len(done.stdout) == 3_000_000
    assert cluster.log() == done.stdout


def test_the_last_words_of_a_process_that_just_ends_arrive(cluster: Cluster) -> None:
    cluster.install("import os\ndef main():\n    print('last words')\n    os._exit(7)\n")

    done = cluster.run(cluster.parameters())

    assert (done.returncode, done.stdout) == (7, "last words\n")
    assert cluster.log() == (
        "last words\n[lakeflow: the process of this run exited before its code returned]\n"
    )
    assert not (cluster.run_folder / "exit.json").exists()


def test_user_code_finds_no_child_that_it_did_not_start(cluster: Cluster) -> None:
    cluster.install(
        "import os\n"
        "def main():\n"
        "    try:\n        os.wait()\n"
        "    except ChildProcessError:\n        print('no child')\n"
    )

    assert cluster.run(cluster.parameters()).stdout == "no child\n"


def test_a_forked_child_that_comes_out_does_not_end_the_run(cluster: Cluster) -> None:
    cluster.install(
        "import os\n"
        "def main():\n"
        "    child = os.fork()\n"
        "    if not child:\n        return\n"
        "    os.waitpid(child, 0)\n"
        "    print('parent', os.path.exists(os.environ['RUN'] + '/exit.json'))\n"
    )
    call = encode_call([], {"RUN": str(cluster.run_folder)}, None)

    done = cluster.run(cluster.parameters(call=call))

    assert (done.returncode, done.stdout) == (0, "parent False\n")
    assert cluster.log() == done.stdout


def test_what_a_process_left_behind_writes_later_still_shows(cluster: Cluster) -> None:
    cluster.install(
        "import subprocess, sys\n"
        "def main():\n"
        "    wait = 'until [ -e \"$0\" ]; do sleep 0.01; done; echo late'\n"
        "    subprocess.Popen(['sh', '-c', wait, sys.argv[1]])\n"
        "    print('early')\n"
    )

    done = cluster.run(cluster.parameters([str(cluster.run_folder / "exit.json")]))

    assert done.stdout == "early\nlate\n"
    assert cluster.log() == "early\n"


def test_files_left_in_the_output_folder_are_kept_after_a_failure_too(cluster: Cluster) -> None:
    cluster.install(
        "import os\n"
        "from pathlib import Path\n"
        "def main():\n"
        "    folder = Path(os.environ['LAKEFLOW_OUTPUT_DIR'])\n"
        "    (folder / 'a' / 'b').mkdir(parents=True)\n"
        "    (folder / 'a' / 'b' / 'größe.bin').write_bytes(bytes(range(256)))\n"
        "    (folder / 'top.txt').write_text('top')\n"
        "    print(folder)\n"
        "    raise RuntimeError\n"
    )

    done = cluster.run(cluster.parameters())

    outputs = cluster.run_folder / "outputs"
    assert (outputs / "a" / "b" / "größe.bin").read_bytes() == bytes(range(256))
    assert (outputs / "top.txt").read_text() == "top"
    assert not Path(done.stdout.strip()).exists()


def test_a_root_that_cannot_be_written_costs_a_warning_only(cluster: Cluster) -> None:
    cluster.install(
        "import os\ndef main():\n"
        "    print('fine')\n    open(os.environ['LAKEFLOW_OUTPUT_DIR'] + '/f', 'w').close()\n"
    )
    cluster.root.write_text("a file where a folder should be")

    done = cluster.run(cluster.parameters())

    assert (done.returncode, done.stdout) == (0, "fine\n")
    warnings = done.stderr.splitlines()
    assert len(warnings) == 3
    assert all(line.startswith("lakeflow: ") for line in warnings)
    assert f"the output of this run cannot be kept in {cluster.run_folder}" in done.stderr


@pytest.mark.parametrize("top", ["Workspace", "Volumes", "dbfs"])
def test_mounts_of_databricks_are_found_under_another_folder(cluster: Cluster, top: str) -> None:
    cluster.install(ECHO)
    mount = cluster.root.parent / "mount"

    cluster.run(cluster.parameters(root=f"/{top}/some/root"), LAKEFLOW_MOUNT=str(mount))

    assert (mount / top / "some/root/runs/11/12/log.000001").exists()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"requires": "acme-job==2.0"},
            f"{VERSION} is installed here, but this run was deployed with 2.0",
        ),
        ({"requires": "gone==2.0"}, "gone is not installed here"),
        ({"distribution": "gone"}, "gone is not installed here"),
        ({"entry_point": "other"}, "has no entry point other"),
        ({"call": "{{job.parameters.lakeflow_call}}"}, "lakeflow_call is not JSON"),
    ],
)
def test_user_code_is_not_started_where_it_would_be_the_wrong_code(
    cluster: Cluster, changed: dict[str, str], text: str
) -> None:
    cluster.install("print('imported')\ndef main(): print('started')\n")

    done = cluster.run(cluster.parameters(**changed))

    assert (done.returncode, done.stdout) == (1, "")
    assert cluster.exit()["exit_code"] == 1
    assert cluster.exit()["traceback"] is None
    assert text in cluster.exit()["error"]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (["--lakeflow-protocol=2"], "deployed for version 2 of the task protocol"),
        (["--lakeflow-protocol=1", "--new=1"], "unknown task parameter '--new=1'"),
        (["--lakeflow-protocol=1", "--root=/r"], "--distribution is missing"),
    ],
)
def test_parameters_of_another_version_are_refused(
    cluster: Cluster, parameters: list[str], text: str
) -> None:
    done = cluster.run(parameters)

    assert done.returncode == 1
    assert text in done.stderr


def test_references_that_were_not_replaced_are_refused(cluster: Cluster) -> None:
    done = cluster.run(cluster.parameters(job_run="{{job.run_id}}"))

    assert done.returncode == 1
    assert "--job-run is '{{job.run_id}}' and not a run's id" in done.stderr


def test_another_clients_parameters_go_to_the_one_task_that_is_installed(cluster: Cluster) -> None:
    cluster.install(ECHO)

    done = cluster.run(["--seed", "5", "", "x y"])

    assert json.loads(done.stdout)["argv"] == ["Acme.Job", "--seed", "5", "", "x y"]


def test_another_clients_parameters_need_exactly_one_task(cluster: Cluster) -> None:
    none = cluster.run(["a"])
    cluster.install(ECHO)
    cluster.install(ECHO, "other-job")
    several = cluster.run(["a"])

    assert none.returncode == several.returncode == 1
    assert "entry point lakeflow-task: none\n" in none.stderr
    assert "entry point lakeflow-task: acme-job, other-job\n" in several.stderr
