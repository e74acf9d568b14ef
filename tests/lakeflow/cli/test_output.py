from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from lakeflow.cli.output import Output
from lakeflow.operations.observer import Gate, OutputSource, RunPrinter, labels_of
from lakeflow.resources.run_output import TaskExit
from lakeflow.resources.runs import Run, State

ONE, TWO = OutputSource(5, "1"), OutputSource(6, "2")


@pytest.fixture
def streams() -> Iterator[tuple[Output, io.StringIO, io.StringIO]]:
    out, progress = io.StringIO(), io.StringIO()
    output = Output(out, progress)
    yield output, out, progress
    output.close()


def finished(outcome: str) -> Run:
    return Run(5, 1, "http://h/5", State("TERMINATED", outcome, ""), (), 1_000, 3_500)


def test_labels_number_the_runs_and_show_their_arguments() -> None:
    assert labels_of([["knn", "--k", "1"], [], ["a b"]]) == ["1/3 knn --k 1", "2/3", "3/3 'a b'"]
    labels = labels_of([["x" * 100]] * 100)
    assert labels[0].startswith("  1/100 xxx")
    assert {len(label) for label in labels} == {len("100/100 ") + 28}
    assert labels_of([["\x1b[31m\n"]]) == ["1/1 '·[31m·'"]


def test_lines_of_several_runs_stay_whole(
    streams: tuple[Output, io.StringIO, io.StringIO],
) -> None:
    output, out, _ = streams
    for source, text in [(ONE, "fo"), (TWO, "one\ntw"), (ONE, "ur\n\n"), (TWO, "o")]:
        output.observer.output(source, text)
    assert out.getvalue() == "[2] one\n[1] four\n[1] \n"
    output.observer.finished(TWO, finished("succeeded"), TaskExit(exit_code=0))
    assert out.getvalue().endswith("[2] two\n")


def test_a_failed_run_says_why(streams: tuple[Output, io.StringIO, io.StringIO]) -> None:
    output, _, progress = streams
    output.observer.finished(ONE, finished("failed"), TaskExit(3, "E: no", "Traceback\nE: no"))
    assert progress.getvalue() == (
        "[1] Traceback\n[1] E: no\n[1] run 5 failed with exit code 3 after 2.5 s: http://h/5\n"
    )


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (logging.DEBUG, ["GET /path", "uploading", "a run failed"]),
        (logging.INFO, ["uploading", "a run failed"]),
        (logging.WARNING, ["a run failed"]),
    ],
)
def test_the_level_decides_on_progress_and_requests(level: int, shown: list[str]) -> None:
    progress = io.StringIO()
    output = Output(io.StringIO(), progress, level)
    logger = logging.getLogger("lakeflow.client")
    logger.debug("GET /path")
    logger.info("uploading")
    logger.warning("a run failed")
    output.close()
    lines = progress.getvalue().splitlines()
    assert [line.endswith(text) for line, text in zip(lines, shown, strict=True)] == [True] * len(
        shown
    )
    assert lines[-1] == "a run failed"


def test_nothing_is_written_after_the_end() -> None:
    out, progress = io.StringIO(), io.StringIO()
    logger = logging.getLogger("lakeflow")
    level = logger.level
    output = Output(out, progress)
    (handler,) = logger.handlers[-1:]
    gate = Gate(output.observer)
    output.close()
    gate.close()
    gate.output(ONE, "late\n")
    handler.handle(logging.LogRecord("lakeflow", logging.INFO, "", 0, "late", None, None))
    assert (out.getvalue(), progress.getvalue()) == ("", "")
    assert handler not in logger.handlers
    assert logger.level == level


def test_a_program_sees_output_on_its_own_stream_and_progress_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "lakeflow")
    out = io.StringIO()
    printer = RunPrinter(out)
    printer.started(OutputSource(5, url="http://h/5"))
    printer.output(OutputSource(5, url="http://h/5"), "hello\n")
    printer.finished(OutputSource(5, url="http://h/5"), finished("succeeded"), TaskExit(0))
    assert out.getvalue() == "hello\n"
    assert caplog.messages == ["run 5 started: http://h/5", "run 5 succeeded after 2.5 s"]
