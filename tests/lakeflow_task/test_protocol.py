from __future__ import annotations

import random

import pytest

from lakeflow_task.protocol import CALL_LIMIT, Call, decode_call, encode_call

AWKWARD = [
    "",
    "-x",
    "--",
    "{{job.id}}",
    "}}}{{{",
    "\\{\\\\}",
    "\\u007b",
    "\"quoted\" and 'single'",
    "two words",
    "line\nbreak\ttab\x7f\x01",
    "Größe 値 🧱 \u2028",
]


@pytest.mark.parametrize("text", AWKWARD)
def test_any_text_arrives_as_it_was(text: str) -> None:
    encoded = encode_call([text], {"K": text}, None)

    assert decode_call(encoded) == Call((text,), (("K", text),), None)


def test_random_text_arrives_and_nothing_in_it_can_be_substituted() -> None:
    rng = random.Random(20240229)
    alphabet = "{}\\\"'u07bd[], \néß🧱$%="
    for _ in range(2000):
        argv = tuple(
            "".join(rng.choices(alphabet, k=rng.randrange(12))) for _ in range(rng.randrange(5))
        )
        encoded = encode_call(argv, {"A": "".join(rng.choices(alphabet, k=5))}, "{scope}")

        assert decode_call(encoded).argv == argv
        assert encoded.isascii()
        assert encoded.count("{") == encoded.count("}") == 1


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "tail\udfff"])
def test_what_no_process_can_receive_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="argument 2 has"):
        encode_call(["fine", text], {}, None)
    with pytest.raises(ValueError, match="variable K has"):
        encode_call([], {"K": text}, None)


@pytest.mark.parametrize("name", ["", "A=B"])
def test_a_malformed_variable_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a valid name of an environment variable"):
        encode_call([], {name: "value"}, None)


def test_a_call_over_the_limit_names_the_limit() -> None:
    encode_call(["x" * (CALL_LIMIT - 100)], {}, None)
    with pytest.raises(ValueError, match="10000"):
        encode_call(["x" * CALL_LIMIT], {}, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{{job.parameters.lakeflow_call}}",
        "[]",
        '{"argv": "a", "env": [], "scope": null}',
        '{"argv": [1], "env": [], "scope": null}',
        '{"argv": [], "env": [["A"]], "scope": null}',
        '{"argv": [], "env": [], "scope": 5}',
        '{"argv": []}',
        '{"argv": ["\\ud800"], "env": [], "scope": null}',
    ],
)
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"lakeflow_call|surrogate"):
        decode_call(text)
