from __future__ import annotations

import json
from pathlib import Path

import pytest
from pants.testutil.rule_runner import GoalRuleResult, RuleRunner, mock_console

from lakeflow_pants.goal import LakeflowDeploy
from tests.lakeflow_pants.support import ENVIRONMENT, INHERITED, OPTIONS


def run(
    runner: RuleRunner,
    *args: str,
    options: tuple[str, ...] = OPTIONS,
    env: dict[str, str] | None = None,
) -> GoalRuleResult:
    # Only `mock_console` lets an InteractiveProcess start in a test.
    with mock_console(runner.options_bootstrapper):
        return runner.run_goal_rule(
            LakeflowDeploy,
            global_args=options,
            args=args,
            env={**ENVIRONMENT, **(env or {})},
            env_inherit=set(INHERITED),
        )


def test_the_launcher_gets_the_manifest_and_its_exit_code_is_the_goals(
    runner: RuleRunner, tmp_path: Path
) -> None:
    result = run(
        runner,
        "--dry-run",
        "src/base:dist",
        "--",
        "--secret-env-var=KEY",
        env={"KEY": "s3cret", "OTHER": "no", "LAKEFLOW_STATE_DIR": str(tmp_path)},
    )
    assert result.exit_code == 9
    assert "base-1.0-py3-none-any.whl of src/base:dist" in result.stderr
    call = json.loads((tmp_path / "call.json").read_text())
    assert call["argv"][:2] == ["deploy", "--manifest"]
    assert call["argv"][3:] == [
        "--report",
        "dist/lakeflow-deploy.json",
        "--dry-run",
        "--secret-env-var=KEY",
    ]
    assert call["files"] == ["base-1.0-py3-none-any.whl", "manifest.json"]
    assert call["env"]["KEY"] == "s3cret"
    assert "OTHER" not in call["env"]


@pytest.mark.parametrize(
    ("targets", "complaint"),
    [
        (["src/common:common", "src/job:dist"], "src/common:common (a python_sources)"),
        (["src/common/__init__.py"], "src/common/__init__.py (a python_source)"),
        (["src/common"], "no distribution among the targets"),
        ([], "no distribution among the targets"),
    ],
)
def test_what_is_no_distribution_is_refused(
    runner: RuleRunner, targets: list[str], complaint: str
) -> None:
    result = run(runner, *targets)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "Name a `python_distribution`" in result.stderr


def test_what_a_glob_finds_becomes_a_job_only_if_it_can_run(
    runner: RuleRunner, tmp_path: Path
) -> None:
    env = {"LAKEFLOW_STATE_DIR": str(tmp_path)}
    run(runner, "src/core:dist", "src/base::", env=env)
    call = json.loads((tmp_path / "call.json").read_text())
    optional = {entry["address"]: entry["optional"] for entry in call["manifest"]["distributions"]}
    assert optional == {"src/base:dist": True, "src/core:dist": False}


def test_globs_may_hold_no_distribution(runner: RuleRunner) -> None:
    result = run(runner, "src/common::")
    assert result.exit_code == 0
    assert "none deployed" in result.stderr


def test_a_word_that_pants_would_replace_is_refused(runner: RuleRunner) -> None:
    result = run(runner, "src/job:dist", "--", "{chroot}")
    assert result.exit_code == 2
    assert "`{chroot}`" in result.stderr


def test_a_launcher_that_cannot_be_run_is_an_error(runner: RuleRunner) -> None:
    options = (*OPTIONS[:-2], "--lakeflow-deploy-launcher=src/launcher:not_code")
    result = run(runner, "src/base:dist", options=options)
    assert result.exit_code == 2
    assert "no single target that `pants run` can run" in result.stderr


def test_what_cannot_be_built_into_a_job_is_refused(runner: RuleRunner) -> None:
    result = run(runner, "src/undecided:dist")
    assert result.exit_code == 3
    assert "src/twins:one, src/twins:two alike" in result.stderr
