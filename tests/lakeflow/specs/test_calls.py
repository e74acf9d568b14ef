from __future__ import annotations

import pytest

from lakeflow.errors import UsageError
from lakeflow.specs.calls import encode_calls
from lakeflow_task.protocol import decode_call


def test_calls_that_cannot_be_sent_are_named() -> None:
    (call,) = encode_calls([["{{job.id}}", "ü"]], {"K": "V"})
    assert decode_call(call).argv == ("{{job.id}}", "ü")
    with pytest.raises(UsageError, match=r"run 2 of 2: .*10000"):
        encode_calls([["small"], ["x" * 10_000]], {})
