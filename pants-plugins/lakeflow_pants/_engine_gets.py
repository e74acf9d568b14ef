"""Pants 2.17 to 2.28: the rules that `_engine` names, as the `Get`s these versions know.

Their rule parser follows a call into any function whose annotation is `-> Get`, bare: a type
argument, a coroutine, or an annotation that CPython 3.9 cannot evaluate would hide the `Get`.
"""

# mypy: disable-error-code="type-arg"

from __future__ import annotations

from typing import Any

from packaging.version import Version
from pants.backend.python.util_rules.pex import VenvPex, VenvPexRequest
from pants.base.specs import RawSpecs
from pants.core.goals.package import BuiltPackage, PackageFieldSet
from pants.core.goals.run import RunFieldSet, RunRequest
from pants.engine.addresses import UnparsedAddressInputs
from pants.engine.env_vars import EnvironmentVars, EnvironmentVarsRequest
from pants.engine.environment import EnvironmentName
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestContents,
    DigestSubset,
    MergeDigests,
)
from pants.engine.process import InteractiveProcess, InteractiveProcessResult
from pants.engine.rules import Effect, Get
from pants.engine.rules import MultiGet as concurrently
from pants.engine.target import (
    FieldSetsPerTarget,
    FieldSetsPerTargetRequest,
    TargetRootsToFieldSets,
    TargetRootsToFieldSetsRequest,
    TransitiveTargets,
    TransitiveTargetsRequest,
    UnexpandedTargets,
)
from pants.version import PANTS_SEMVER

if Version("2.28.0a0") <= PANTS_SEMVER:
    from pants.core.environments.rules import (  # type: ignore[import-not-found]
        EnvironmentNameRequest,
    )
    from pants.core.environments.target_types import (  # type: ignore[import-not-found]
        EnvironmentField,
    )
else:
    from pants.core.util_rules.environments import EnvironmentField, EnvironmentNameRequest

__all__ = [
    "EnvironmentField",
    "EnvironmentNameRequest",
    "concurrently",
    "run_interactive_process",
]


def implicitly(*args: Any) -> dict[str, Any]:
    return {"params": args} if args else {}


def create_venv_pex(request: VenvPexRequest) -> Get:
    return Get(VenvPex, VenvPexRequest, request)


def resolve_environment_name(request: EnvironmentNameRequest) -> Get:
    return Get(EnvironmentName, EnvironmentNameRequest, request)


def build_package(params: tuple[dict[Any, type]]) -> Get:
    field_set, environment = params[0]
    return Get(BuiltPackage, {field_set: PackageFieldSet, environment: EnvironmentName})


def generate_run_request(params: tuple[dict[Any, type]]) -> Get:
    (field_set,) = params[0]
    return Get(RunRequest, RunFieldSet, field_set)


def environment_vars_subset(request: EnvironmentVarsRequest) -> Get:
    return Get(EnvironmentVars, EnvironmentVarsRequest, request)


def find_valid_field_sets(request: FieldSetsPerTargetRequest) -> Get:
    return Get(FieldSetsPerTarget, FieldSetsPerTargetRequest, request)


def resolve_unexpanded_targets(params: tuple[Any]) -> Get:
    (specs,) = params
    if isinstance(specs, RawSpecs):
        return Get(UnexpandedTargets, RawSpecs, specs)
    return Get(UnexpandedTargets, UnparsedAddressInputs, specs)


def transitive_targets(request: TransitiveTargetsRequest) -> Get:
    return Get(TransitiveTargets, TransitiveTargetsRequest, request)


def find_valid_field_sets_for_target_roots(request: TargetRootsToFieldSetsRequest) -> Get:
    return Get(TargetRootsToFieldSets, TargetRootsToFieldSetsRequest, request)


def add_prefix(request: AddPrefix) -> Get:
    return Get(Digest, AddPrefix, request)


def create_digest(request: CreateDigest) -> Get:
    return Get(Digest, CreateDigest, request)


def digest_subset_to_digest(request: DigestSubset) -> Get:
    return Get(Digest, DigestSubset, request)


def get_digest_contents(digest: Digest) -> Get:
    return Get(DigestContents, Digest, digest)


def merge_digests(request: MergeDigests) -> Get:
    return Get(Digest, MergeDigests, request)


if Version("2.22.0") <= PANTS_SEMVER:
    # In these versions an `Effect` does not stop Pants from restarting the process when a file it
    # was built from changes while it runs.
    from pants.engine.intrinsics import (  # type: ignore[import-not-found]
        run_interactive_process,
    )
else:

    def run_interactive_process(process: InteractiveProcess) -> Effect:
        return Effect(InteractiveProcessResult, InteractiveProcess, process)
