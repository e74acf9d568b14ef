"""Cron expressions mean what Quartz takes them for: its own answers are in quartz/answered.tsv."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeflow_local.runs.quartz import CronInvalid, parse, time_zone

ANSWERED = Path(__file__).with_name("quartz") / "answered.tsv"


def test_times_are_those_of_quartz() -> None:
    for line in ANSWERED.read_text().splitlines():
        expression, zone, after, answer = line.split("\t")
        if answer == "refused":
            with pytest.raises(CronInvalid):
                parse(expression)
            continue
        time: int | None = int(after)
        times: list[str] = []
        while time is not None and len(times) < 5:
            time = parse(expression).next_after(time, time_zone(zone))
            times.append("none" if time is None else str(time))
        assert " ".join(times) == answer, line


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("0 6 * * ?", "it has 5 fields instead of 6 or 7"),
        ("0 0 6 * * *", "exactly one of day of the month and day of the week must be '?'"),
        ("0 0 24 * * ?", "'24' is not one of hours"),
        ("0 0 6 ? * FOO", "'FOO' is not one of days of the week"),
        ("0 0 6 ? * 1-2-3", "'1-2-3' makes no sense for days of the week"),
        ("0 0/61 6 * * ?", "the step in '0/61' is not one of minutes"),
        ("0 0 6 * * ? 2030-2020", "'2030-2020' ends before it begins"),
        ("0 0 6 L-31 * ?", "the offset in 'L-31' must be at most 30"),
        ("0 0 6 \u0663 * ?", "'\u0663' is not one of days of the month"),
    ],
)
def test_what_is_wrong_is_said(expression: str, problem: str) -> None:
    with pytest.raises(CronInvalid) as caught:
        parse(expression)
    assert str(caught.value) == problem


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "a\0b"])
def test_no_zone_of_this_name(name: str) -> None:
    with pytest.raises(CronInvalid, match="there is no time zone"):
        time_zone(name)
