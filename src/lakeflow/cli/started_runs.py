"""A command that starts runs is done when their ids are printed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lakeflow.cli.error_messages import discard_output
from lakeflow.errors import LakeflowError


@contextmanager
def until_printed() -> Iterator[list[int]]:
    """Keep a command's invocation pending until the block has printed the result.

    The block adds the ids of the runs to the list before it prints. Raises LakeflowError with these
    ids if that fails: the same command then prints them instead of starting the runs again.
    """
    from lakeflow.state import invocations

    run_ids: list[int] = []
    try:
        with invocations.finished_afterwards():
            yield run_ids
            if run_ids and sys.stdout is None:
                raise OSError("it is closed")
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if not run_ids:
            raise
        discard_output()
        raise LakeflowError(
            f"cannot write to standard output: {error.strerror or error}. Runs of this command: "
            f"{', '.join(map(str, run_ids))}\n"
            "hint: the same command prints their ids, and starts none of them again"
        ) from None
