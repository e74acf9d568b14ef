from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from pants.engine.addresses import Address
from pants.engine.fs import DigestContents
from pants.testutil.rule_runner import RuleRunner

from lakeflow_pants.manifest import Manifest, ManifestRequest
from tests.lakeflow_pants.support import NeededDistributions, dist, request_for


def needed(runner: RuleRunner, *roots: Address) -> list[str]:
    found = runner.request(NeededDistributions, [request_for(runner, *roots)])
    return [target.address.spec for target in found]


def refusal(runner: RuleRunner, *roots: Address) -> str:
    refused = runner.request(Manifest, [request_for(runner, *roots)]).refused
    assert refused is not None
    return refused


def document_of(runner: RuleRunner, request: ManifestRequest) -> dict[str, Any]:
    manifest = runner.request(Manifest, [request])
    assert manifest.refused is None
    (content,) = (
        file.content
        for file in runner.request(DigestContents, [manifest.digest])
        if file.path.endswith("manifest.json")
    )
    document: dict[str, Any] = json.loads(content)
    return document


def test_distributions_that_own_imported_code_are_built(runner: RuleRunner) -> None:
    assert needed(runner, dist("job")) == ["src/base:dist", "src/core:dist", "src/job:dist"]


def test_roots_that_need_each_other_are_listed_once(runner: RuleRunner) -> None:
    assert needed(runner, dist("core"), dist("base")) == ["src/base:dist", "src/core:dist"]


def test_code_without_a_distribution_is_no_error(runner: RuleRunner) -> None:
    assert needed(runner, dist("lone")) == ["src/lone:dist"]


def test_the_closest_distribution_above_the_code_owns_it(runner: RuleRunner) -> None:
    assert needed(runner, dist("digger")) == ["src/digger:dist", "src/tools:dist"]


def test_a_distribution_at_the_top_does_not_own_third_party_code(runner: RuleRunner) -> None:
    assert needed(runner, dist("packer")) == ["src/packer:dist"]


def test_a_parametrized_distribution_needs_those_of_its_parameters(runner: RuleRunner) -> None:
    assert needed(runner, dist("job_by_python", interpreter_constraints="py311")) == [
        "src/core_by_python:dist@interpreter_constraints=py311",
        "src/job_by_python:dist@interpreter_constraints=py311",
    ]


def test_what_a_needed_distribution_needs_is_built(runner: RuleRunner) -> None:
    assert needed(runner, dist("user_of_half")) == [
        "src/base:dist",
        "src/half:dist",
        "src/lone:dist",
        "src/user_of_half:dist",
    ]


def test_a_distribution_among_the_dependencies_is_built(runner: RuleRunner) -> None:
    assert needed(runner, dist("namer")) == ["src/lone:dist", "src/namer:dist"]


def test_two_distributions_that_own_the_same_code_are_refused(runner: RuleRunner) -> None:
    message = refusal(runner, dist("undecided"))
    assert "src/twins:one, src/twins:two" in message
    assert "add its address to `dependencies` of src/undecided:dist" in message


def test_the_one_named_among_the_dependencies_is_taken(runner: RuleRunner) -> None:
    assert needed(runner, dist("decided")) == ["src/decided:dist", "src/twins:two"]


def test_the_manifest_is_beside_the_wheels(runner: RuleRunner) -> None:
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
        "optional": False,
        "wheel": "fast-1.0-py3-none-any.whl",
        "needs": ["src/native:dist"],
        "pythons": ["3.10", "3.11", "3.12"],
    }
    assert native["address"] == "src/native:dist"
    assert native["root"] is False
    assert native["wheel"].startswith("native-1.0-cp311-cp311-")
    assert set(files) == {f"__lakeflow/{fast['wheel']}", f"__lakeflow/{native['wheel']}"}
    assert all(content.startswith(b"PK") for content in files.values())


def test_a_distribution_that_builds_no_wheel_is_refused(runner: RuleRunner) -> None:
    message = refusal(runner, dist("no_wheel"))
    assert "src/no_wheel:dist built 0 wheels" in message
    assert "`wheel=True`" in message


def test_variants_that_build_the_same_wheel_are_one_target(runner: RuleRunner) -> None:
    both = request_for(
        runner,
        dist("core_by_python", interpreter_constraints="py310"),
        dist("core_by_python", interpreter_constraints="py311"),
    )
    (only,) = document_of(runner, both)["distributions"]
    assert only == {
        "address": "src/core_by_python:dist",
        "root": True,
        "optional": False,
        "wheel": "core_by_python-1.0-py3-none-any.whl",
        "needs": [],
        "pythons": ["3.10", "3.11"],
    }


def test_one_variant_keeps_its_address_and_its_python(runner: RuleRunner) -> None:
    request = request_for(runner, dist("core_by_python", interpreter_constraints="py311"))
    (only,) = document_of(runner, request)["distributions"]
    assert only["address"] == "src/core_by_python:dist@interpreter_constraints=py311"
    assert only["pythons"] == ["3.11"]


def test_variants_that_build_the_same_wheel_are_one_dependency(runner: RuleRunner) -> None:
    library, user = document_of(runner, request_for(runner, dist("user_of_variants")))[
        "distributions"
    ]
    assert (library["address"], library["root"]) == ("src/core_by_python:dist", False)
    assert user["needs"] == ["src/core_by_python:dist"]


def test_variants_that_build_different_wheels_are_refused(runner: RuleRunner) -> None:
    message = refusal(
        runner,
        dist("native_by_python", interpreter_constraints="py310"),
        dist("native_by_python", interpreter_constraints="py311"),
    )
    assert (
        "src/native_by_python:dist@interpreter_constraints=py310, "
        "src/native_by_python:dist@interpreter_constraints=py311 build different wheels" in message
    )
    assert "Name the one to deploy" in message


def test_the_manifest_says_whose_code_each_wheel_needs(runner: RuleRunner) -> None:
    document = document_of(runner, request_for(runner, dist("job")))
    assert {entry["address"]: entry["needs"] for entry in document["distributions"]} == {
        "src/base:dist": [],
        "src/core:dist": ["src/base:dist"],
        "src/job:dist": ["src/base:dist", "src/core:dist"],
    }


def test_a_compiled_wheel_does_not_hold_the_path_of_its_sandbox(runner: RuleRunner) -> None:
    """It would be another wheel on each machine, and be uploaded again."""
    manifest = runner.request(Manifest, [request_for(runner, dist("native"))])
    (wheel,) = (
        file.content
        for file in runner.request(DigestContents, [manifest.digest])
        if file.path.endswith(".whl")
    )
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        (library,) = (name for name in archive.namelist() if name.endswith(".so"))
        assert b"_c.c" in archive.read(library)  # there is debug information
        assert b"pants-sandbox" not in archive.read(library)
        assert {info.date_time[0] for info in archive.infolist()} == {1980}
