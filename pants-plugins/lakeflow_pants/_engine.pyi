from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, TypeVar

from pants.backend.python.util_rules.pex import VenvPex, VenvPexRequest
from pants.backend.python.util_rules.pex_environment import CompletePexEnvironment
from pants.core.goals.package import BuiltPackage
from pants.core.goals.run import RunRequest
from pants.core.util_rules.environments import EnvironmentField as EnvironmentField
from pants.core.util_rules.environments import EnvironmentNameRequest as EnvironmentNameRequest
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
from pants.engine.target import (
    FieldSetsPerTarget,
    FieldSetsPerTargetRequest,
    TargetRootsToFieldSets,
    TargetRootsToFieldSetsRequest,
    TransitiveTargets,
    TransitiveTargetsRequest,
    UnexpandedTargets,
)

_T = TypeVar("_T")

CALLS_BY_NAME: bool

def implicitly(*args: Any) -> dict[str, Any]: ...
async def concurrently(calls: Iterable[Awaitable[_T]], /) -> tuple[_T, ...]: ...
async def create_venv_pex(request: VenvPexRequest, **params: Any) -> VenvPex: ...
async def resolve_environment_name(
    request: EnvironmentNameRequest, **params: Any
) -> EnvironmentName: ...
async def build_package(**params: Any) -> BuiltPackage: ...
async def generate_run_request(**params: Any) -> RunRequest: ...
async def environment_vars_subset(
    request: EnvironmentVarsRequest, **params: Any
) -> EnvironmentVars: ...
async def find_valid_field_sets(
    request: FieldSetsPerTargetRequest[Any], **params: Any
) -> FieldSetsPerTarget[Any]: ...
async def resolve_unexpanded_targets(**params: Any) -> UnexpandedTargets: ...
async def transitive_targets(
    request: TransitiveTargetsRequest, **params: Any
) -> TransitiveTargets: ...
async def find_valid_field_sets_for_target_roots(
    request: TargetRootsToFieldSetsRequest[Any], **params: Any
) -> TargetRootsToFieldSets[Any]: ...
async def add_prefix(request: AddPrefix) -> Digest: ...
async def create_digest(request: CreateDigest) -> Digest: ...
async def digest_subset_to_digest(request: DigestSubset) -> Digest: ...
async def get_digest_contents(digest: Digest) -> DigestContents: ...
async def merge_digests(request: MergeDigests) -> Digest: ...
async def run_interactive_process(process: InteractiveProcess) -> InteractiveProcessResult: ...
def pex_environment_variables(complete_pex_env: CompletePexEnvironment) -> Mapping[str, str]: ...
