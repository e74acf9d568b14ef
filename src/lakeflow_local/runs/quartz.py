"""Quartz cron expressions: when a schedule is due in a time zone.

Six or seven fields: second, minute, hour, day of the month, month, day of the week, year. One of
the two days is `?`. Source: the CronTrigger tutorial of quartz-scheduler.org, which Databricks'
reference points to; where that is silent, what Quartz 2.3.2 does.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from itertools import product
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
LAST_YEAR = 2099

DayRule = Callable[[date], bool]


class CronInvalid(ValueError):
    """An expression or a time zone is invalid; the text says why."""


class Field(NamedTuple):
    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()


SECOND, MINUTE, HOUR = Field("seconds", 0, 59), Field("minutes", 0, 59), Field("hours", 0, 23)
DAY, MONTH = Field("days of the month", 1, 31), Field("months", 1, 12, MONTHS)
WEEKDAY, YEAR = Field("days of the week", 1, 7, WEEKDAYS), Field("years", 1970, LAST_YEAR)


@dataclass(frozen=True)
class Cron:
    """A parsed expression."""

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    is_due_on: DayRule

    def next_after(self, moment: int, zone: tzinfo) -> int | None:
        """Return the first time after `moment`, both in ms since 1970; None without one.

        Like Quartz, it follows the local clock: a time in an hour that daylight saving skips is not
        due that day, and in an hour that it repeats only the second one is.
        """
        wall = datetime.fromtimestamp(moment // 1000, zone).replace(tzinfo=None)
        for time in self._times_from(wall):
            due = time.replace(tzinfo=zone, fold=1).astimezone(timezone.utc)
            if time > wall and due.astimezone(zone).replace(tzinfo=None) == time:
                return int(due.timestamp()) * 1000
        return None

    def _times_from(self, wall: datetime) -> Iterator[datetime]:
        """Yield all times of the local clock from an hour on, in order."""
        day = wall.date()
        while day.year <= LAST_YEAR:
            if day.year not in self.years:
                day = date(day.year + 1, 1, 1)
            elif day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            else:
                if self.is_due_on(day):
                    first = wall.hour if day == wall.date() else 0
                    hours = [hour for hour in self.hours if hour >= first]
                    for hour, minute, second in product(hours, self.minutes, self.seconds):
                        yield datetime(day.year, day.month, day.day, hour, minute, second)
                day += timedelta(days=1)


def parse(text: str) -> Cron:
    """Read a Quartz cron expression.

    Raises:
        CronInvalid: says what is wrong with which field.
    """
    fields = text.upper().split()
    if len(fields) not in (6, 7):
        raise CronInvalid(f"it has {len(fields)} fields instead of 6 or 7")
    second, minute, hour, day, month, weekday = fields[:6]
    if (day == "?") == (weekday == "?"):
        raise CronInvalid("exactly one of day of the month and day of the week must be '?'")
    return Cron(
        hours=_values(hour, HOUR),
        minutes=_values(minute, MINUTE),
        seconds=_values(second, SECOND),
        months=frozenset(_values(month, MONTH)),
        years=frozenset(_values(fields[6] if len(fields) == 7 else "*", YEAR)),
        is_due_on=_day_of_month(day) if weekday == "?" else _day_of_week(weekday),
    )


def time_zone(name: str) -> tzinfo:
    """Return a time zone of the IANA database.

    Raises:
        CronInvalid: this machine has no zone of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CronInvalid(f"there is no time zone '{name}' on this machine") from None


def _values(text: str, field: Field) -> tuple[int, ...]:
    """Return the values of a field of numbers, ranges and steps, in order."""
    return tuple(sorted({value for item in text.split(",") for value in _item(item, field)}))


def _item(text: str, field: Field) -> Iterator[int]:
    """Yield the values of `*`, `a` or `a-b` (wrapping if b is less), each with `/step`."""
    match = re.fullmatch(r"(\*|\w+)?(?:-(\w+))?(?:/(\d+))?", text)
    if match is None or (match[1] is None and match[3] is None) or (match[2] and not match[1]):
        raise CronInvalid(f"'{text}' makes no sense for {field.name}")
    low, high, step = match[1], match[2], int(match[3] or 1)
    size = field.last - field.first + 1
    if not 1 <= step <= field.last and not high:
        raise CronInvalid(f"the step in '{text}' is not one of {field.name}")
    if low in (None, "*"):
        if high is not None:
            raise CronInvalid(f"'{text}' makes no sense for {field.name}")
        first, last = field.first, field.last
    else:
        first = _number(low, field)
        last = _number(high, field) if high else field.last if match[3] else first
    if last < first:
        if field is YEAR:
            raise CronInvalid(f"'{text}' ends before it begins")
        last += size
    for value in range(first, last + 1, step):
        yield (value - field.first) % size + field.first


def _number(text: str, field: Field) -> int:
    if text in field.names:
        return field.names.index(text) + 1
    if not text.isascii() or not text.isdigit() or not field.first <= int(text) <= field.last:
        raise CronInvalid(f"'{text}' is not one of {field.name}")
    return int(text)


def _day_of_month(text: str) -> DayRule:
    """Parse numbers, or one of `L`, `L-3`, `LW`, `L-3W`, `15W`."""
    match = re.fullmatch(r"L(?:-(\d+))?(W)?|(\d+)W", text)
    if match is None:
        days = frozenset(_values(text, DAY))
        return lambda day: day.day in days
    before = int(match[1] or 0)
    if before > 30:
        raise CronInvalid(f"the offset in '{text}' must be at most 30")
    fixed = _number(match[3], DAY) if match[3] else None

    def is_due(day: date) -> bool:
        end = calendar.monthrange(day.year, day.month)[1]
        number = end - before if fixed is None else fixed
        if not 1 <= number <= end:
            return False
        target = day.replace(day=number)
        return day == (_nearest_weekday(target, end) if match[2] or match[3] else target)

    return is_due


def _nearest_weekday(day: date, end: int) -> date:
    """Move a Saturday to the Friday before, a Sunday to the Monday after, within the month."""
    if day.weekday() == calendar.SATURDAY:
        return day + timedelta(days=2 if day.day == 1 else -1)
    if day.weekday() == calendar.SUNDAY:
        return day + timedelta(days=-2 if day.day == end else 1)
    return day


def _day_of_week(text: str) -> DayRule:
    """Parse numbers (1 is Sunday) and names, or one of `L` (Saturday), `6L` and `6#3`."""
    match = re.fullmatch(r"(\w+?)(L|#([1-5]))", text)
    if match is None:
        days = frozenset([7] if text == "L" else _values(text, WEEKDAY))
        return lambda day: _quartz_weekday(day) in days
    weekday, nth = _number(match[1], WEEKDAY), match[3]

    def is_due(day: date) -> bool:
        if _quartz_weekday(day) != weekday:
            return False
        if nth is None:
            return day.day + 7 > calendar.monthrange(day.year, day.month)[1]
        return (day.day - 1) // 7 + 1 == int(nth)

    return is_due


def _quartz_weekday(day: date) -> int:
    return day.isoweekday() % 7 + 1
