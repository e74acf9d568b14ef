"""A process that begins an invocation, records some triggers, and holds on until it is killed.

Arguments: the folder of invocations, the request as JSON, and how many triggers to record.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lakeflow.state.invocations import begin

if __name__ == "__main__":
    invocation = begin(Path(sys.argv[1]), json.loads(sys.argv[2]))
    for ordinal in range(int(sys.argv[3])):
        invocation.record(7, ordinal, 100 + ordinal)
    print(json.dumps([invocation.id, invocation.resumed]), flush=True)
    sys.stdin.read()
