"""The conventions of every command; docs/reference/output.md against what they print."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from lakeflow.cli import app
from lakeflow_local.daemon import Endpoint
from tests.support.captured import CapturedLauncher
from tests.support.packages import make_project
from tests.support.sources import make_source
from tests.support.typed import present

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "output.md"


def walk(group: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command of a group and of its groups."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "commands"):
            yield from walk(command, (*prefix, name))
        else:
            yield (*prefix, name)


# What `lakeflow mcp` says on stdout is its protocol; tests/lakeflow/mcp looks at that.
COMMANDS = sorted({*walk(typer.main.get_command(app))} - {("mcp",)})


@dataclass(frozen=True)
class Place:
    """What the commands are tried on."""

    manifest: Path
    wheel: Path
    library: Path
    source: Path
    cluster: str
    job: str
    run: str
    failed: str
    spare: str
    folder: str
    scratch: Path


@pytest.fixture(scope="module")
def ran() -> dict[str, str]:
    """What the first test that needs it has deployed and run, for all of them."""
    return {}


@pytest.fixture
def place(captured: CapturedLauncher, tmp_path: Path, ran: dict[str, str]) -> Place:
    """A job with a run that succeeded and one that failed, a job to spare, a folder with a file."""
    manifest = make_project(tmp_path)
    if not ran:
        target = captured.launcher.deploy(manifest, name="manners").targets[0]
        job = present(target.job_id)
        keep = captured.launcher.trigger_run(
            job, ["keep", "a.txt", "1"], env={"COLOUR": "red"}, wait=True
        )
        failed = captured.launcher.trigger_run(job, ["exit", "3"], wait=True)
        ran |= {"job": str(job), "run": str(keep.run_id), "failed": str(failed.run_id)}
        ran |= {"cluster": str(target.cluster_id)}
    settings = captured.launcher.workspace.get("/api/2.2/jobs/get", job_id=ran["job"])["settings"]
    spare = {**settings, "name": "spare", "tags": {}}
    created = captured.launcher.workspace.post("/api/2.2/jobs/create", spare, repeatable=False)
    folder = f"dbfs:/{tmp_path.name}"
    captured.launcher.files.copy(str(manifest), f"{folder}/one")
    return Place(
        manifest=manifest,
        wheel=next(tmp_path.glob("try_demo-*.whl")),
        library=next(tmp_path.glob("try_lib-*.whl")),
        source=make_source(tmp_path / "source"),
        **ran,
        spare=str(created["job_id"]),
        folder=folder,
        scratch=tmp_path,
    )


# What each command is given to show its output; all of it works on the place of the test.
CASES: dict[tuple[str, ...], list[str]] = {
    ("build-wheel",): ["--target", "{source}", "--out-dir", "{scratch}/built"],
    ("cancel-run",): ["{run}"],
    ("create-cluster",): ["manners"],
    ("create-job",): ["manners", "{wheel}", "{library}"],
    ("create-job-from-source",): ["manners", "my-package", "--target", "{source}"],
    ("delete-job",): ["{spare}", "--yes"],
    ("deploy",): ["--manifest", "{manifest}", "--name", "manners", "--run", "a 'b c'"],
    ("doctor",): [],
    ("ensure-cluster-running",): ["{cluster}"],
    ("fs", "cat"): ["{folder}/one"],
    ("fs", "cp"): ["{manifest}", "{folder}/two"],
    ("fs", "ls"): ["{folder}"],
    ("fs", "mkdir"): ["{folder}/new"],
    ("fs", "rm"): ["{folder}/one", "--yes"],
    ("gc",): ["--older-than", "0d"],
    ("get-run",): ["{run}"],
    ("get-run-logs",): ["{failed}"],
    ("list-job-runs",): ["{job}"],
    ("list-jobs",): [],
    ("local", "down"): [],
    ("local", "env"): [],
    ("local", "open"): [],
    ("local", "reset"): ["--yes"],
    ("local", "status"): [],
    ("local", "token"): ["bob@example.com"],
    ("local", "up"): [],
    ("open",): ["{run}"],
    ("outputs",): ["{run}"],
    ("repair-run",): ["{failed}"],
    ("secrets", "prune"): [],
    ("trigger-run",): ["{job}", "x"],
    ("upload-wheel",): ["{library}"],
    ("wait",): ["{run}"],
}
OWN_WORKSPACE = [("local", "down"), ("local", "reset"), ("local", "status"), ("local", "up")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_says_what_it_does_with_an_example(command: tuple[str, ...], option: str) -> None:
    done = CliRunner().invoke(app, [*command, option])
    assert done.exit_code == 0, done.output
    assert f"Usage: lakeflow {' '.join(command)} " in done.stdout.replace("root", "lakeflow")
    assert re.search(rf"Examples?:\n.*lakeflow {' '.join(command)}", done.stdout), done.stdout
    assert "--output" in done.stdout


def test_similar_names_are_suggested_for_an_unknown_command() -> None:
    done = CliRunner().invoke(app, ["triger-run"])
    assert done.exit_code == 2
    assert "Did you mean 'trigger-run'" in done.output


def test_a_command_imports_no_other_one() -> None:
    program = "import sys; from lakeflow.cli import app; app(['secrets', '--help'])"
    found = "print(*sorted(m for m in sys.modules if m.startswith('lakeflow.')), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"import atexit, sys; atexit.register(lambda: {found}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "lakeflow.cli.secrets" in done.stderr.split()
    assert not {"lakeflow.cli.runs", "lakeflow.cli.deploy", "lakeflow.launcher"} & {
        *done.stderr.split()
    }


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_unknown_options_are_refused(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*command, "--no-such-option"])
    assert done.exit_code == 2
    assert "No such option: --no-such-option" in done.output
    assert done.stdout == ""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_json_is_one_document_as_documented(
    command: tuple[str, ...], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        command in CASES
    ), "a new command needs a line in CASES and a section in docs/reference/output.md"
    if command in OWN_WORKSPACE:
        monkeypatch.setenv("LAKEFLOW_STATE_DIR", str(place.scratch / "state"))
    words = [word.format(**vars(place)) for word in CASES[command]]
    done = CliRunner().invoke(app, [*command, *words, "--output", "json"])
    if command == ("local", "up"):
        CliRunner().invoke(app, ["local", "down"])
    assert done.exit_code == (1 if command == ("local", "status") else 0), done.output
    compare(documented(command), json.loads(done.stdout), " ".join(command))


def documented(command: tuple[str, ...]) -> Any:
    """The example that docs/reference/output.md gives for a command."""
    heading = f"## `lakeflow {' '.join(command)}`"
    text = DOCS.read_text()
    assert heading in text, f"docs/reference/output.md has no section {heading}"
    example = present(re.search(r"```json\n(.*?)```", text[text.index(heading) :], re.DOTALL))
    return json.loads(example[1])


def compare(expected: Any, found: Any, where: str) -> None:
    """Whether two JSON values have the same members, of the same types; null is of any."""
    if expected is None or found is None:
        return
    assert type(expected) is type(found), where
    if isinstance(expected, dict):
        assert list(expected) == list(found), where
        for name in expected:
            compare(expected[name], found[name], f"{where}: {name}")
    elif isinstance(expected, list) and expected:
        for item in found:
            compare(expected[0], item, f"{where}[]")


def test_every_section_is_of_a_command() -> None:
    headings = re.findall(r"^## `lakeflow (.*)`$", DOCS.read_text(), re.MULTILINE)
    assert sorted(tuple(heading.split()) for heading in headings) == COMMANDS


@pytest.mark.parametrize(
    "words", [["delete-job", "{job}"], ["fs", "rm", "{folder}/one"], ["local", "reset"]]
)
def test_destructive_commands_ask_and_where_nobody_is_there_refuse(
    place: Place, words: list[str]
) -> None:
    done = CliRunner().invoke(app, [word.format(**vars(place)) for word in words])
    assert done.exit_code == 2
    assert "--yes" in done.output


@pytest.mark.parametrize("plain", [False, True], ids=["colours", "NO_COLOR"])
def test_a_bar_shows_on_a_terminal_and_not_on_a_pipe(
    endpoint: Endpoint, tmp_path: Path, plain: bool
) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(3_000_000))
    command = [sys.executable, "-m", "lakeflow", "fs", "cp", "--overwrite", str(large)]
    command.append(f"dbfs:/{tmp_path.name}")
    environ = {**os.environ, "TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if plain else {})
    terminal, end = pty.openpty()
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=end)
    os.close(end)
    shown = b""
    while piece := read_terminal(terminal):
        shown += piece
    os.close(terminal)
    assert process.wait() == 0
    assert b"3.0/3.0 MB" in shown
    assert bool(re.search(rb"\x1b\[(3\d|38;5;\d+|1;3\d)m", shown)) is not plain

    piped = subprocess.run(command, env=environ, capture_output=True, check=True)
    assert b"MB" not in piped.stderr
    assert b"\x1b" not in piped.stderr + piped.stdout


def read_terminal(terminal: int) -> bytes:
    """What a process wrote to its terminal; nothing when it has exited."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: nobody has the other end open
        return b""


def test_shells_can_complete_commands() -> None:
    environ = {**os.environ, "_LAKEFLOW_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "lakeflow"],
        env={**environ, "COMP_WORDS": "lakeflow get-run"},
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout.split() == ["get-run", "get-run-logs"]


def test_quiet_says_nothing_and_verbose_names_requests(endpoint: Endpoint) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lakeflow", *words],
            env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
            text=True,
            capture_output=True,
            check=True,
        )

    assert run("list-jobs", "--quiet").stderr == ""
    assert f"workspace {endpoint.host}" in run("list-jobs").stderr
    assert "GET /api/2.2/jobs/list" in run("list-jobs", "--verbose").stderr
