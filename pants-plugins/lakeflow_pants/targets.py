"""Which targets can be deployed: the union `LakeflowDeployFieldSet` and its members."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pants.backend.python.target_types import PythonDistribution, PythonProvidesField
from pants.base.specs import RawSpecs, Specs
from pants.engine.addresses import Address
from pants.engine.rules import collect_rules, rule
from pants.engine.target import FieldSet, Target
from pants.engine.unions import UnionMembership, UnionRule, union

from lakeflow_pants._engine import (
    CALLS_BY_NAME,
    EnvironmentField,
    implicitly,
    resolve_unexpanded_targets,
)


@union
@dataclass(frozen=True)
class LakeflowDeployFieldSet(FieldSet):
    """A target that packages one wheel, which can become a job.

    A backend with its own wheel targets joins with
    `UnionRule(LakeflowDeployFieldSet, ItsFieldSet)`; the target's `PackageFieldSet` builds the
    wheel.
    """


@dataclass(frozen=True)
class PythonDistributionDeployFieldSet(LakeflowDeployFieldSet):
    """`python_distribution`, the target from which Pants itself builds wheels."""

    required_fields = (PythonProvidesField,)


def is_deployable(target: Target, union_membership: UnionMembership) -> bool:
    """Return whether a field set of the union applies to this target."""
    return any(
        field_set_type.is_applicable(target)
        for field_set_type in union_membership.get(LakeflowDeployFieldSet)
    )


@dataclass(frozen=True)
class Selection:
    """The result of checking the targets on the command line, before any is built.

    `refused` are those named one by one that cannot be deployed, with their types (`::` and the
    like only filter). `may_be_empty`: the user passed globs or a change filter, which may match
    nothing. `named` are the addresses of those named one by one.
    """

    refused: tuple[str, ...]
    may_be_empty: bool
    named: frozenset[Address]


@rule
async def check_selection(specs: Specs, union_membership: UnionMembership) -> Selection:
    """Check what the user named, without filters and without building anything."""
    includes = specs.includes
    if includes.from_change_detection:
        return Selection(refused=(), may_be_empty=True, named=frozenset())
    named = await resolve_unexpanded_targets(
        **implicitly(
            RawSpecs(
                address_literals=includes.address_literals,
                file_literals=includes.file_literals,
                description_of_origin="CLI arguments",
            )
        )
    )
    return Selection(
        refused=tuple(
            f"{target.address} (a {target.alias})"
            for target in named
            if not is_deployable(target, union_membership)
        ),
        may_be_empty=bool(includes.recursive_globs or includes.dir_globs),
        named=frozenset(target.address for target in named),
    )


if TYPE_CHECKING or CALLS_BY_NAME:
    selection_of = check_selection
else:
    from pants.engine.rules import Get

    def selection_of() -> Get:
        """`check_selection` as older versions call a rule that has injected parameters."""
        return Get(Selection)


def rules() -> Iterable[Any]:
    """Return the rule, the union's member, and the field `environment` of distributions.

    With that field a wheel can be built in a container, which Pants alone does not offer.
    """
    return [
        *collect_rules(),
        UnionRule(LakeflowDeployFieldSet, PythonDistributionDeployFieldSet),
        PythonDistribution.register_plugin_field(EnvironmentField),
    ]
