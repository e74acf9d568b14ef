"""The goal in a scratch repo, from its targets to the output of the runs."""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from tests.e2e.scratch import Repo, processes

TRICKY = [
    "a b",
    '"q"',
    "",
    "-x",
    "--run",
    "ünï ☃",
    "{{job.id}}",
    "{{job.parameters.x}}",
    "$HOME",
    "'",
]


def only_target(repo: Repo) -> dict[str, Any]:
    (target,) = repo.report()["targets"]
    assert isinstance(target, dict)
    return target


@pytest.fixture(autouse=True)
def no_report(repo: Repo) -> None:
    repo.report_file.unlink(missing_ok=True)


def test_the_guide_for_your_own_repo_works(repo: Repo) -> None:
    done = repo.deploy("src/my_package:dist", "--", "--run", "hello")
    assert done.code == 0, done.log
    assert "said ['hello']" in done.out
    assert "[WARN]" not in done.log


def test_uv_builds_a_wheel_of_the_same_stamp(repo: Repo, tmp_path: Path) -> None:
    done = repo.deploy("src/my_package:dist")
    assert done.code == 0, done.log
    target = only_target(repo)
    deployed = {wheel["distribution"]: wheel["path"] for wheel in target["wheels"]}
    source = repo.root / "src" / "my_package"
    build = [find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert repo.lakeflow("upload-wheel", str(wheel)).strip() == deployed["my-package"]


def test_other_commands_of_pants_work_while_runs_are_followed(repo: Repo, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = ["./pants", "lakeflow-deploy", "src/trainer:dist", "--", "--run", f"wait {gate}"]
    following = subprocess.Popen(
        command, cwd=repo.root, env=repo.environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert following.stdout is not None
        assert any("waiting" in line for line in following.stdout)
        other = repo.pants("list", "src/my_package:dist", PANTS_CONCURRENT="true")
        assert (other.code, other.out) == (0, "src/my_package:dist\n"), other.log
        assert following.poll() is None
    finally:
        gate.touch()
        following.communicate()
    assert following.returncode == 0


def test_two_runs_of_a_wheel_and_of_the_native_wheel_it_needs(repo: Repo) -> None:
    done = repo.deploy("src/trainer:dist", "--", "--run", "one 'a b'", "--run", "two")
    assert done.code == 0, done.log
    assert 'argv ["one", "a b"] sum 42' in done.out
    assert 'argv ["two"] sum 42' in done.out
    assert "trainer-1.0-py3-none-any.whl of src/trainer:dist" in done.log
    target = only_target(repo)
    assert target["address"] == "src/trainer:dist"
    assert target["status"] == "succeeded"
    assert [wheel["distribution"] for wheel in target["wheels"]] == [
        "lakeflow-task",
        "fast",
        "trainer",
    ]
    assert [run["argv"] for run in target["runs"]] == [["one", "a b"], ["two"]]
    for run in target["runs"]:
        assert f"RUN {run['run_id']} " in done.out
    assert len({run["run_id"] for run in target["runs"]}) == 2


def test_the_same_again_builds_and_uploads_nothing(repo: Repo) -> None:
    first = repo.deploy("src/trainer:dist", "--", "--run", "again")
    assert first.code == 0, first.log
    before = only_target(repo)
    second = repo.deploy("--stats-log", "src/trainer:dist", "--", "--run", "again")
    assert second.code == 0, second.log
    after = only_target(repo)
    assert processes(second) == 0
    assert after["job_id"] == before["job_id"]
    assert after["cluster_id"] == before["cluster_id"]
    assert [w["sha256"] for w in after["wheels"]] == [w["sha256"] for w in before["wheels"]]
    assert [w["uploaded_bytes"] for w in after["wheels"]] == [0, 0, 0]
    assert after["runs"][0]["run_id"] != before["runs"][0]["run_id"]


def test_arguments_arrive_as_typed(repo: Repo) -> None:
    done = repo.deploy("src/trainer:dist", "--", "--run", shlex.join(TRICKY))
    assert done.code == 0, done.log
    assert f"argv {json.dumps(TRICKY)} sum" in done.out
    (run,) = only_target(repo)["runs"]
    assert run["argv"] == TRICKY


def test_dry_run_says_what_would_be_done_and_does_nothing(repo: Repo) -> None:
    done = repo.deploy("--dry-run", "src/trainer:dist", "--", "--name", "never", "--run", "x")
    assert done.code == 0, done.log
    assert repo.report()["status"] == "planned"
    target = only_target(repo)
    assert target["job_id"] is None
    assert target["runs"] == []
    assert "argv" not in done.out


def test_a_run_that_fails_fails_the_goal(repo: Repo) -> None:
    done = repo.deploy("src/trainer:dist", "--", "--run", "fail")
    assert done.code == 1, done.log
    assert "ValueError: asked to fail" in done.out + done.log
    assert only_target(repo)["status"] == "failed"


def test_a_target_that_is_no_distribution_is_refused(repo: Repo) -> None:
    done = repo.deploy("src/plain:plain", "src/trainer:dist")
    assert done.code == 2
    assert "src/plain:plain (a python_sources)" in done.log
    assert "Name a `python_distribution`" in done.log
    assert not repo.report_file.exists()


def test_a_wheel_without_the_entry_point_is_refused(repo: Repo) -> None:
    done = repo.deploy("src/plain:dist", "--", "--run", "x")
    assert done.code not in (0, 1)
    assert "lakeflow-task" in done.out + done.log
    assert "pyproject.toml" in done.out + done.log
    assert not repo.report_file.exists()


def test_c_that_does_not_compile_shows_what_the_compiler_says(repo: Repo) -> None:
    repo.report_file.parent.mkdir(exist_ok=True)
    repo.report_file.write_text("of an earlier deploy")
    done = repo.deploy("src/broken:dist", "src/trainer:dist", "--", "--run", "x")
    assert done.code == 1
    assert re.search(r"_add\.c:\d+:\d+: error: .*no_such_thing", done.log)
    assert "argv" not in done.out
    assert not repo.report_file.exists()


def test_ctrl_c_leaves_the_run_and_says_how_to_follow_it(repo: Repo, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    stopped = repo.deploy_in_terminal(
        "src/trainer:dist", "--", "--run", f"wait {gate}", interrupt_after="] waiting"
    )
    assert stopped.code != 0
    advice = re.search(r"To follow them again: pants (.*?)\r?\n", stopped.out)
    assert advice is not None, stopped.out
    assert "waited" not in stopped.out
    gate.touch()
    followed = repo.pants(*shlex.split(advice[1]))
    assert followed.code == 0, followed.log
    assert "waited" in followed.out


def test_one_changed_line_is_one_new_wheel_of_the_same_job(repo: Repo) -> None:
    first = repo.deploy("src/trainer:dist", "--", "--run", "first")
    assert first.code == 0, first.log
    before = only_target(repo)
    new = secrets.token_hex(8)  # Pants remembers for ever what it has built once
    repo.edit("src/trainer/__init__.py", "words = sys.argv[1:]", f"words = ['{new}']")
    changed = repo.deploy("--stats-log", "src/trainer:dist", "--", "--run", "second")
    assert changed.code == 0, changed.log
    after = only_target(repo)
    assert f'argv ["{new}"] sum 42' in changed.out
    assert processes(changed) == 1
    assert after["job_id"] == before["job_id"]
    assert [w["uploaded_bytes"] > 0 for w in after["wheels"]] == [False, False, True]
    assert repo.stored(before["wheels"][2]["path"]).exists()
    assert repo.stored(after["wheels"][2]["path"]).exists()


def test_one_changed_line_of_c_builds_that_wheel_only(repo: Repo) -> None:
    first = repo.deploy("src/trainer:dist")
    assert first.code == 0, first.log
    before = only_target(repo)["wheels"]
    more = secrets.randbelow(1 << 30)
    repo.edit("src/fast/_add.c", "PyLong_FromLong(a + b)", f"PyLong_FromLong(a + b + {more})")
    changed = repo.deploy("--stats-log", "src/trainer:dist", "--", "--run", "x")
    assert changed.code == 0, changed.log
    after = only_target(repo)["wheels"]
    assert f"sum {42 + more}" in changed.out
    assert processes(changed) == 1
    assert [a["sha256"] == b["sha256"] for a, b in zip(after, before, strict=True)] == [
        True,
        False,
        True,
    ]


def test_nothing_changed_is_nothing_to_deploy(repo: Repo) -> None:
    for command in ("init --quiet", "add --all", "commit --quiet --message all"):
        repo.git(*command.split())
    done = repo.pants("--changed-since=HEAD", "lakeflow-deploy", "--", "--run", "x")
    assert done.code == 0, done.log
    assert "none deployed" in done.log
    assert not repo.report_file.exists()
