"""Cluster policies: what they allow, and which settings they decide (Cluster Policies API)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lakeflow.client.http_errors import ApiError
from lakeflow.client.workspace import Workspace
from lakeflow.errors import Refused


@dataclass(frozen=True)
class ClusterPolicy:
    """The rules of a policy by the path of their setting, such as `aws_attributes.availability`.

    `is_known` is false for a policy whose rules the user may not read.
    """

    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_known: bool = True

    def decides(self, setting: str) -> bool:
        """Return whether the policy has a value for a setting or one of its members."""
        return not self.is_known or any(
            rule.get("type") in ("fixed", "forbidden") or "defaultValue" in rule
            for path, rule in self.rules.items()
            if path == setting or path.startswith(f"{setting}.")
        )

    def restricts(self, setting: str) -> bool:
        """Return whether the policy has a rule for a setting or one of its members."""
        return not self.is_known or any(
            path == setting or path.startswith(f"{setting}.") for path in self.rules
        )

    def value(self, setting: str) -> Any:
        """Return the fixed or default value of a setting; None without one."""
        rule = self.rules.get(setting, {})
        return rule.get("value") if rule.get("type") == "fixed" else rule.get("defaultValue")

    def allows(self, setting: str, value: str) -> bool:
        """Return whether a setting may have this value. Only texts are compared."""
        rule = self.rules.get(setting, {})
        kind, values = rule.get("type"), rule.get("values", [])
        if kind == "fixed":
            return str(rule.get("value")) == value or str(rule.get("value")).startswith("auto:")
        if kind == "allowlist":
            return value in values or any(str(each).startswith("auto:") for each in values)
        if kind == "blocklist":
            return value not in values
        if kind == "regex":
            return re.fullmatch(str(rule.get("pattern", "")), value) is not None
        return True


def get(workspace: Workspace, policy_id: str) -> ClusterPolicy:
    """Return the policy with this id. Raises Refused if not found."""
    try:
        raw = workspace.get("/api/2.0/policies/clusters/get", policy_id=policy_id)
    except ApiError as error:
        if error.missing:
            raise Refused(
                f"--policy {policy_id}: not found in {workspace.host}\n"
                "hint: --policy takes the id of a policy, which its page shows."
            ) from error
        if error.code == "PERMISSION_DENIED":
            return ClusterPolicy(is_known=False)
        raise
    try:
        rules = json.loads(raw.get("definition") or "{}")
    except ValueError:
        return ClusterPolicy(is_known=False)
    return ClusterPolicy({path: dict(rule) for path, rule in rules.items()})
