"""The calls into Pants' engine, one spelling for Pants 2.17 to 2.33.

Since 2.29 every rule can be called by its name, and `Get` is gone in 2.32. On older versions
`_engine_gets` provides functions of the same names. `_engine.pyi` declares their types.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from packaging.version import Version
from pants.version import PANTS_SEMVER

CALLS_BY_NAME = Version("2.29.0a0") <= PANTS_SEMVER

if CALLS_BY_NAME:
    from pants.backend.python.util_rules.pex import create_venv_pex
    from pants.core.environments.rules import EnvironmentNameRequest, resolve_environment_name
    from pants.core.environments.target_types import EnvironmentField
    from pants.core.goals.package import build_package
    from pants.core.goals.run import generate_run_request
    from pants.core.util_rules.env_vars import environment_vars_subset
    from pants.engine.internals.graph import (
        find_valid_field_sets,
        resolve_unexpanded_targets,
        transitive_targets,
    )
    from pants.engine.internals.specs_rules import find_valid_field_sets_for_target_roots
    from pants.engine.intrinsics import (
        add_prefix,
        create_digest,
        digest_subset_to_digest,
        get_digest_contents,
        merge_digests,
        run_interactive_process,
    )
    from pants.engine.rules import concurrently, implicitly
else:
    from lakeflow_pants._engine_gets import (
        EnvironmentField,
        EnvironmentNameRequest,
        add_prefix,
        build_package,
        concurrently,
        create_digest,
        create_venv_pex,
        digest_subset_to_digest,
        environment_vars_subset,
        find_valid_field_sets,
        find_valid_field_sets_for_target_roots,
        generate_run_request,
        get_digest_contents,
        implicitly,
        merge_digests,
        resolve_environment_name,
        resolve_unexpanded_targets,
        run_interactive_process,
        transitive_targets,
    )


def pex_environment_variables(complete_pex_env: Any) -> Mapping[str, str]:
    """Return the variables that a pex needs to start; the call takes an argument since 2.30.1."""
    variables = complete_pex_env.environment_dict
    if "python_configured" in inspect.signature(variables).parameters:
        return dict(variables(python_configured=False))
    return dict(variables())


__all__ = [
    "CALLS_BY_NAME",
    "EnvironmentField",
    "EnvironmentNameRequest",
    "add_prefix",
    "build_package",
    "concurrently",
    "create_digest",
    "create_venv_pex",
    "digest_subset_to_digest",
    "environment_vars_subset",
    "find_valid_field_sets",
    "find_valid_field_sets_for_target_roots",
    "generate_run_request",
    "get_digest_contents",
    "implicitly",
    "merge_digests",
    "pex_environment_variables",
    "resolve_environment_name",
    "resolve_unexpanded_targets",
    "run_interactive_process",
    "transitive_targets",
]
