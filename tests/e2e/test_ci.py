"""The shell steps of examples/ci, as the CI systems run them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from textwrap import dedent

import pytest

from tests.e2e.scratch import BUILD, PYPROJECT, SCRIPTS, Repo, make_repo

MAIN = 'import sys\n\n\ndef main():\n    print("{name} got", sys.argv[1:])\n'
SYSTEMS = {
    "github-actions.yml": {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"},
    "gitlab-ci.yml": {"GITLAB_CI": "true", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"},
    "azure-pipelines.yml": {
        "TF_BUILD": "True",
        "SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/main",
    },
}


def package(name: str) -> dict[str, str]:
    return {
        f"src/{name}/__init__.py": MAIN.format(name=name),
        f"src/{name}/BUILD": BUILD.format(name=name, c=""),
        f"src/{name}/pyproject.toml": PYPROJECT.format(
            name=name, needs="[]", scripts=SCRIPTS.format(name=name), extensions=""
        ),
    }


def shell_steps(path: Path) -> list[str]:
    """Return the blocks of shell (`run: |`, `bash: |`, an item `|`) of a CI file, in order."""
    lines = path.read_text().splitlines()
    starts = [n for n, line in enumerate(lines) if re.fullmatch(r" *(- )?((run|bash): )?\|", line)]
    return [_block(lines[start + 1 :]) for start in starts]


def _block(lines: list[str]) -> str:
    """Return the lines that are indented at least as the first one."""
    indent = len(lines[0]) - len(lines[0].lstrip())
    return dedent("\n".join(takewhile(lambda line: not line[:indent].strip(), lines)))


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory, wheels: list[Path]) -> Iterator[Repo]:
    """A clone in which a branch has changed one of two packages."""
    folder = tmp_path_factory.mktemp("ci")
    repo = make_repo(folder, Path.cwd(), wheels, {**package("one"), **package("two")})
    (folder / "bin").mkdir()
    (folder / "bin" / "pants").symlink_to(repo.root / "pants")
    repo.git("init", "--quiet", "--initial-branch=main")
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "--message=all")
    repo.git("clone", "--quiet", "--bare", ".", str(folder / "origin"))
    repo.git("remote", "add", "origin", str(folder / "origin"))
    repo.git("fetch", "--quiet", "origin")
    repo.git("checkout", "--quiet", "-b", "change")
    repo.edit("src/two/__init__.py", "two got", "two has got")
    repo.git("commit", "--quiet", "--all", "--message=change")
    yield repo
    repo.stop()


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_pull_request_is_tried_and_a_merge_deployed(
    repo: Repo, system: str, tmp_path: Path
) -> None:
    smoke, deploy = shell_steps(Path.cwd() / "examples" / "ci" / system)
    summary = tmp_path / "summary.md"
    environment = {
        **repo.environment,
        **SYSTEMS[system],
        "CI": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "PATH": f"{repo.root.parent / 'bin'}:{repo.environment['PATH']}",
    }

    tried = run(repo, smoke, environment)
    assert "two has got ['--smoke']" in tried.stdout, tried.stderr
    assert "one got" not in tried.stdout
    assert [target["address"] for target in repo.report()["targets"]] == ["src/two:dist"]

    databricks = {
        "LAKEFLOW_WORKSPACE": "databricks",
        "LAKEFLOW_ROOT": "/Volumes/main/default/lakeflow",
        "DATABRICKS_HOST": repo.report()["workspace"],
        "DATABRICKS_TOKEN": (repo.state / "local" / "token").read_text().strip(),
    }
    deployed = run(repo, deploy, {**environment, **databricks})
    report = repo.report()
    assert report["status"] == "deployed", deployed.stderr
    assert [target["address"] for target in report["targets"]] == ["src/one:dist", "src/two:dist"]
    if system == "github-actions.yml":
        assert summary.read_text().count("### lakeflow: ") == 2
        assert "| src/two:dist | [two](" in summary.read_text()
    if system == "azure-pipelines.yml":
        (path,) = re.findall(r"##vso\[task\.uploadsummary\](.*)", deployed.stderr)
        assert "### lakeflow: deployed" in Path(path).read_text()


def run(repo: Repo, script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=repo.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done
