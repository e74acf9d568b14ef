from __future__ import annotations

import pytest

from lakeflow_pants.launcher import ENVIRONMENT_VARIABLES, secret_variables


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--secret-env-var", "KEY", "--run", "x"], ["KEY"]),
        (["--secret-env-var=KEY", "--secret-env-var", "OTHER_1"], ["KEY", "OTHER_1"]),
        (["--run", "--secret-env-varnish"], []),
        (["--", "--secret-env-var", "KEY"], []),
        (["--secret-env-var"], []),
        (["--secret-env-var", "KEY=value", "--secret-env-var="], []),
    ],
)
def test_secrets_are_found_among_the_arguments(args: list[str], names: list[str]) -> None:
    assert list(secret_variables(args)) == names


def test_each_variable_is_named_once() -> None:
    assert len(set(ENVIRONMENT_VARIABLES)) == len(ENVIRONMENT_VARIABLES)
