"""Rules of cluster policies."""

from __future__ import annotations

import pytest

from lakeflow.resources.cluster_policies import ClusterPolicy

POLICY = ClusterPolicy(
    {
        "autotermination_minutes": {"type": "fixed", "value": 20, "hidden": True},
        "node_type_id": {"type": "allowlist", "values": ["a", "b"], "defaultValue": "b"},
        "spark_version": {"type": "regex", "pattern": "1[67]\\..*"},
        "aws_attributes.availability": {"type": "fixed", "value": "SPOT"},
        "driver_node_type_id": {"type": "blocklist", "values": ["c"]},
        "num_workers": {"type": "range", "maxValue": 4},
    }
)


@pytest.mark.parametrize(
    ("setting", "decided", "value"),
    [
        ("autotermination_minutes", True, 20),
        ("node_type_id", True, "b"),
        ("spark_version", False, None),
        ("aws_attributes", True, None),
        ("num_workers", False, None),
        ("spark_conf", False, None),
    ],
)
def test_what_a_policy_decides(setting: str, decided: bool, value: object) -> None:
    assert (POLICY.decides(setting), POLICY.value(setting)) == (decided, value)


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("node_type_id", "a", True),
        ("node_type_id", "c", False),
        ("spark_version", "17.3.x-scala2.13", True),
        ("spark_version", "15.4.x-scala2.12", False),
        ("driver_node_type_id", "c", False),
        ("cluster_name", "x", True),
    ],
)
def test_what_a_policy_allows(setting: str, value: str, allowed: bool) -> None:
    assert POLICY.allows(setting, value) is allowed


def test_a_policy_that_cannot_be_read_decides_everything() -> None:
    assert ClusterPolicy(is_known=False).decides("autotermination_minutes")
    assert not ClusterPolicy().decides("autotermination_minutes")
