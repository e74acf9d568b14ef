from __future__ import annotations

import json

import pytest
from pants.engine.addresses import Address
from pants.engine.fs import DigestContents
from pants.engine.internals.scheduler import ExecutionError
from pants.testutil.rule_runner import RuleRunner

from lakeflow_pants.manifest import Manifest
from tests.lakeflow_pants.support import NeededDistributions, dist, request_for


def needed(runner: RuleRunner, *roots: Address) -> list[str]:
    found = runner.request(NeededDistributions, [request_for(runner, *roots)])
    return [target.address.spec for target in found]


def test_distributions_that_carry_imported_code_travel_along(runner: RuleRunner) -> None:
    assert needed(runner, dist("job")) == ["src/base:dist", "src/core:dist", "src/job:dist"]


def test_roots_that_need_one_another_are_named_once(runner: RuleRunner) -> None:
    assert needed(runner, dist("core"), dist("base")) == ["src/base:dist", "src/core:dist"]


def test_code_without_a_distribution_of_its_own_is_no_error(runner: RuleRunner) -> None:
    assert needed(runner, dist("lone")) == ["src/lone:dist"]


def test_the_closest_distribution_above_the_code_carries_it(runner: RuleRunner) -> None:
    assert needed(runner, dist("digger")) == ["src/digger:dist", "src/tools:dist"]


def test_a_distribution_at_the_top_does_not_carry_third_party_code(runner: RuleRunner) -> None:
    assert needed(runner, dist("packer")) == ["src/packer:dist"]


def test_a_parametrized_distribution_takes_those_of_its_parameters(runner: RuleRunner) -> None:
    assert needed(runner, dist("job_by_python", interpreter_constraints="py311")) == [
        "src/core_by_python:dist@interpreter_constraints=py311",
        "src/job_by_python:dist@interpreter_constraints=py311",
    ]


def test_two_distributions_that_carry_the_same_code_are_an_error(runner: RuleRunner) -> None:
    with pytest.raises(ExecutionError) as raised:
        needed(runner, dist("undecided"))
    message = str(raised.value)
    assert "src/twins:one, src/twins:two" in message
    assert "add its address to `dependencies` of src/undecided:dist" in message


def test_the_one_named_among_the_dependencies_is_taken(runner: RuleRunner) -> None:
    assert needed(runner, dist("decided")) == ["src/decided:dist", "src/twins:two"]


def test_the_manifest_lies_beside_the_wheels(runner: RuleRunner) -> None:
    manifest = runner.request(Manifest, [request_for(runner, dist("fast"))])
    files = {file.path: file.content for file in runner.request(DigestContents, [manifest.digest])}
    document = json.loads(files.pop("__lakeflow/manifest.json"))
    fast, native = document["distributions"]
    assert document["schema"] == 1
    assert document["project"] == "monorepo"
    assert document["command"] == "pants lakeflow-deploy --"
    assert fast == {
        "address": "src/fast:dist",
        "root": True,
        "wheel": "fast-1.0-py3-none-any.whl",
    }
    assert native["address"] == "src/native:dist"
    assert native["root"] is False
    assert native["wheel"].startswith("native-1.0-cp311-cp311-")
    assert set(files) == {f"__lakeflow/{fast['wheel']}", f"__lakeflow/{native['wheel']}"}
    assert all(content.startswith(b"PK") for content in files.values())


def test_a_distribution_that_makes_no_wheel_is_an_error(runner: RuleRunner) -> None:
    with pytest.raises(ExecutionError, match=r"src/no_wheel:dist made 0 wheels .*`wheel=True`"):
        runner.request(Manifest, [request_for(runner, dist("no_wheel"))])


def test_two_distributions_that_make_the_same_wheel_file_are_an_error(runner: RuleRunner) -> None:
    both = request_for(
        runner,
        dist("core_by_python", interpreter_constraints="py310"),
        dist("core_by_python", interpreter_constraints="py311"),
    )
    with pytest.raises(ExecutionError, match=r"all make core_by_python-1\.0-py3-none-any\.whl"):
        runner.request(Manifest, [both])
