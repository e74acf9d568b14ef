from __future__ import annotations

import io

from lakeflow.operations.console import Console, Labelled, labels_of
from lakeflow.resources.run_output import Ending
from lakeflow.resources.runs import Run, State


def ended(outcome: str) -> Run:
    return Run(5, 1, "http://h/5", State("TERMINATED", outcome, ""), (), 1_000, 3_500)


def test_labels_number_the_runs_and_show_their_arguments() -> None:
    assert labels_of([["knn", "--k", "1"], [], ["a b"]]) == [
        "[1/3 knn --k 1] ",
        "[2/3] ",
        "[3/3 'a b'] ",
    ]
    labels = labels_of([["x" * 100]] * 100)
    assert labels[0].startswith("[  1/100 xxx")
    assert {len(label) for label in labels} == {len("[100/100 ] ") + 28}
    assert labels_of([["\x1b[31m\n"]]) == ["[1/1 '·[31m·'] "]


def test_lines_of_several_runs_stay_whole() -> None:
    out = io.StringIO()
    screen = Labelled(Console(out, io.StringIO()), ["[1] ", "[2] "])
    for index, text in [(0, "be"), (1, "one\ntw"), (0, "gun\n\n"), (1, "o")]:
        screen.output(index, text)
    assert out.getvalue() == "[2] one\n[1] begun\n[1] \n"
    screen.ended(1, ended("succeeded"), Ending(exit_code=0))
    assert out.getvalue().endswith("[2] two\n")


def test_a_failed_run_says_why() -> None:
    progress = io.StringIO()
    screen = Labelled(Console(io.StringIO(), progress), ["[1] "])
    screen.ended(0, ended("failed"), Ending(3, "E: no", "Traceback\nE: no"))
    assert progress.getvalue() == (
        "[1] Traceback\n[1] E: no\n[1] run 5 failed with exit code 3 after 2.5 s: http://h/5\n"
    )


def test_nothing_is_written_after_the_end() -> None:
    out = io.StringIO()
    console = Console(out, out)
    console.close()
    console.show("late")
    assert out.getvalue() == ""
