from __future__ import annotations

import pytest
from pants.testutil.rule_runner import RuleRunner

from tests.lakeflow_pants.support import make_runner


@pytest.fixture(scope="session")
def runner() -> RuleRunner:
    return make_runner()
