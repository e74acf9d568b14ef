"""Format values for pages. The functions are filters of the templates."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
"""Control sequences of terminals (ECMA-48): colours, cursor movements and titles."""

CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
CONTROLS |= {0x7F: 0x2421} | dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
"""Replacements for characters that could make a text look like another: control characters become
visible symbols, marks that change the direction of writing become �."""

TONES = {
    "success": "good",
    "success_with_failures": "good",
    "failed": "bad",
    "timedout": "bad",
    "upstream_failed": "bad",
    "internal_error": "bad",
    "error": "bad",
    "running": "busy",
    "terminating": "busy",
    "pending": "wait",
    "queued": "wait",
    "blocked": "wait",
    "waiting_for_retry": "wait",
    "restarting": "wait",
    "resizing": "busy",
}
"""The colour of a state; others are grey."""

WORDS = {
    "success": "succeeded",
    "timedout": "timed out",
    "terminating": "stopping",
    "pending": "waiting",
    "maximum_concurrent_runs_reached": "skipped",
}


def state_of(state: Mapping[str, Any]) -> str:
    """Return a run's result, or its life cycle state while it has none, in lower case."""
    return str(state.get("result_state") or state["life_cycle_state"]).lower()


def tone(state: str) -> str:
    """Return the colour class of a state."""
    return TONES.get(state.lower(), "rest")


def words(state: str) -> str:
    """Return a state in words: `UPSTREAM_FAILED` as `upstream failed`."""
    lower = state.lower()
    return WORDS.get(lower, lower.replace("_", " "))


def plain(text: str) -> str:
    """Return output without terminal sequences and with visible control characters."""
    text = ESCAPES.sub("", text.replace("\r\n", "\n")).replace("\r", "\n")
    return text.translate(CONTROLS)


def duration(milliseconds: int) -> str:
    """Format a duration: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`, `3 d 4 h`."""
    seconds = max(0, milliseconds) / 1000
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = whole // 60
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def moment(milliseconds: int) -> str:
    """Format a time in the local zone: `21 Nov 13:05:09`, with the year if it is not this one."""
    time = datetime.fromtimestamp(milliseconds / 1000)
    year = "" if time.year == datetime.now().year else f" {time.year}"
    return f"{time.day} {time:%b}{year} {time:%H:%M:%S}"


def iso(milliseconds: int) -> str:
    """Format a time as ISO 8601, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).isoformat(timespec="seconds")


def size(count: int) -> str:
    """Format a size: `17 B`, `1.2 kB`, `340 MB`."""
    amount, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 999.5 or unit == "TB":
            break
        amount /= 1000
    return f"{count} B" if unit == "B" else f"{amount:.3g} {unit}"


def pretty(value: object) -> str:
    """Format a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def parameters_of(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a run's parameters as names and values; positional ones have an empty name."""
    given = run.get("overriding_parameters", {})
    found = [("", str(value)) for value in given.get("python_params", ())]
    found += [(name, str(value)) for name, value in given.get("python_named_params", {}).items()]
    found += [(str(p["name"]), str(p["value"])) for p in run.get("job_parameters", ())]
    return found
