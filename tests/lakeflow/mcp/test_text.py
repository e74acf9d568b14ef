"""Text on its way to a client."""

from __future__ import annotations

import io
import json
import unicodedata
from typing import TextIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeflow.client.redaction import RedactedStream, Redactor
from lakeflow.mcp.explain import remedy
from lakeflow.mcp.sanitize import clean, fence, sanitize_json, short, tail

ANY = st.text(st.characters() | st.characters(categories=["Cc", "Cf", "Cs", "Mn", "Zl", "Zp"]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("ünïcödé 日本語 🎲", "ünïcödé 日本語 🎲"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mred\x1b[m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$r\x1b\\text", "text"),
        ("\x1b(Btext\x1b7\x1b", "text"),
        ("over\rwritten", "over\nwritten"),
        ("a\r\nb\x0bc\x0cd\x85e\u2028f\u2029g", "a\nb\nc\nd\ne\nf\ng"),
        ("back\b\b\bspace\x00\x7f", "backspace"),
        ("\u202eright to left\u202c\u2066\u2069", "right to left"),
        ("zero\u200bwidth\u200d\ufeff\u2060\u00ad", "zerowidth"),
        ("".join(chr(0xE0000 + ord(c)) for c in "hidden tags") + "text", "text"),
        ("v\ufe0f\U000e0100\U000e01ef", "v"),
        ("\u3164\u115f\u1160\uffa0\u2800\u034f", ""),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("private \ue000 unassigned \u0378", "private  unassigned "),
    ],
)
def test_what_cannot_be_seen_is_left_out(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(ANY)
def test_whatever_is_cleaned_can_be_seen_and_sent(text: str) -> None:
    cleaned = clean(text)
    json.dumps(cleaned).encode()
    cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned
    for char in cleaned:
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")


@given(ANY, ANY)
def test_what_is_fenced_cannot_leave_its_fence(text: str, what: str) -> None:
    first, *inside, last = fence(what, text).split("\n")
    assert "\n".join(inside) == clean(text)
    mark = first[3:11]
    assert first.startswith(f"<<<{mark} ")
    assert last == f"{mark}>>> end of data"
    assert mark not in clean(text)


@given(st.text("ab\n", max_size=300), st.integers(1, 20), st.integers(1, 50))
def test_the_tail_of_a_text_is_bounded_and_whole_lines(
    text: str, lines: int, characters: int
) -> None:
    shown, count = tail(text, lines, characters, width=10)
    assert count <= lines
    assert shown.count("\n") == max(0, count - 1)
    whole = [line for line in shown.split("\n") if "more characters]" not in line]
    assert set(whole) <= {*text.split("\n"), ""}
    assert (count == 0) == (text == "")


def test_a_long_line_is_cut() -> None:
    assert tail("x" * 3000, 5, 10_000) == ("x" * 2000 + "… [1000 more characters]", 1)
    assert short("a\nb" + "c" * 100, 10) == "a bcccccc…"


def test_what_is_secret_is_hidden_wherever_it_stands() -> None:
    redact = Redactor()
    assert redact("nothing is known yet") == "nothing is known yet"
    redact.hide(["to/ken+1", "first line\nsecond line", "abc"])
    redact.hide_host("https://adb-1.example.net/")
    assert redact("Bearer to/ken+1.") == "Bearer <redacted>."
    assert redact("to%2Fken%2B1") == "<redacted>"
    assert redact("only second line of it") == "only <redacted> of it"
    assert redact("abc is too short to hide") == "abc is too short to hide"
    assert redact("https://adb-1.example.net/jobs/1") == "<workspace>/jobs/1"
    assert redact("connect adb-1.example.net:443") == "connect <workspace>:443"
    redact.hide_host("http://proxy.example.org:8080")
    assert redact("host='proxy.example.org', port=8080") == "host='<workspace>', port=8080"
    redact.hide_host("http://127.0.0.1:8453")
    assert redact("127.0.0.1:8453 on 127.0.0.1") == "<workspace> on 127.0.0.1"
    assert sanitize_json({"to/ken+1": ["to\u200b/ken+1", 1, None, True]}, redact) == {
        "<redacted>": ["<redacted>", 1, None, True]
    }


@pytest.mark.parametrize(
    "host",
    [
        "https://bob:s3cret-pass@adb-2.example.net:8443/?o=7",
        "bob:s3cret-pass@adb-2.example.net",
        "https://bob:s3cret-pass@ADB-2.example.net:no-port/x",
    ],
)
def test_a_host_is_hidden_whatever_surrounds_its_name(host: str) -> None:
    redact = Redactor()
    redact.hide_host(host)
    for text in (host, "resolve 'adb-2.example.net'", "HTTPS://ADB-2.EXAMPLE.NET:443/"):
        assert "adb-2" not in redact(text).lower()
    assert redact("user bob, password s3cret-pass") == "user bob, password <redacted>"


def test_a_stream_hides_what_comes_in_pieces() -> None:
    redact, written = Redactor(), io.StringIO()
    redact.hide(["secret-value"])
    stream = RedactedStream(cast(TextIO, written), redact)
    for piece in ("a sec", "ret-", "value b\nsecret-", "value", " at the end"):
        print(piece, end="", file=cast(TextIO, stream), flush=True)
    assert written.getvalue() == "a <redacted> b\n"
    stream.finish()
    assert written.getvalue() == "a <redacted> b\n<redacted> at the end\n"


@pytest.mark.parametrize(
    ("said", "helps"),
    [
        ("ModuleNotFoundError: No module named 'numpy.linalg'", "the module numpy is not"),
        ("KeyError: 'API_KEY'", "the variable API_KEY is not set"),
        ("MemoryError", "not enough memory"),
        ("exit code -9", "not enough memory"),
        ("exit code 137", "not enough memory"),
        ("error: unrecognized arguments: --x", "the program does not accept these arguments"),
        ("RuntimeError: as asked", "see the error and the last lines"),
    ],
)
def test_remedies(said: str, helps: str) -> None:
    assert helps in remedy(said)
