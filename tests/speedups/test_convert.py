import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from turboapi._speedups.convert import KIND_BOOL, KIND_EXACT, KIND_FLOAT, KIND_INT, KIND_STR, REFUSED, convert

ADAPTERS = {
    kind: TypeAdapter(type_)
    for kind, type_ in [(KIND_STR, str), (KIND_INT, int), (KIND_FLOAT, float), (KIND_BOOL, bool)]
}

TRUE_WORDS = ["1", "t", "y", "on", "yes", "true"]
FALSE_WORDS = ["0", "f", "n", "no", "off", "false"]

number_like = st.text("0123456789" * 3 + "-+.eE_ \n\u0661\xb2", max_size=24)
word_like = st.sampled_from(TRUE_WORDS + FALSE_WORDS).flatmap(
    lambda word: st.sampled_from([word, word.upper(), word.title(), word + " ", " " + word, word[1:], word + word])
)


def assert_never_differs_from_pydantic(kind, text):
    value = convert(kind, text)
    if value is REFUSED:
        return
    expected = ADAPTERS[kind].validate_python(text)  # raises if pydantic refuses what was accepted
    assert type(value) is type(expected)
    assert value == expected
    if kind == KIND_FLOAT:
        assert struct.pack("<d", value) == struct.pack("<d", expected)


@settings(max_examples=500)
@given(st.sampled_from(sorted(ADAPTERS)), number_like | word_like | st.text(max_size=8))
def test_accepted_values_are_those_of_pydantic(kind, text):
    assert_never_differs_from_pydantic(kind, text)


@given(st.integers(-(10**18) + 1, 10**18 - 1), st.integers(0, 3))
@example(10**18 - 1, 0)
@example(-(10**18) + 1, 0)
def test_usual_integers_are_accepted(number, zeros):
    text = f"{'-' * (number < 0)}{'0' * zeros}{abs(number)}"
    expected = number if len(text.lstrip("-")) <= 18 else REFUSED
    assert convert(KIND_INT, text) == expected
    assert_never_differs_from_pydantic(KIND_INT, text)


@settings(max_examples=500)
@given(st.integers(0, 10**15 - 1), st.integers(0, 22), st.booleans())
@example(0, 0, True)
@example(10**15 - 1, 22, False)
@example(9007199254740993 // 10, 22, True)
def test_plain_decimals_are_accepted_bit_for_bit(digits, fraction, negative):
    padded = f"{digits:0{fraction + 1}d}"
    text = "-" * negative + (f"{padded[:-fraction]}.{padded[-fraction:]}" if fraction else padded)
    assert convert(KIND_FLOAT, text) is not REFUSED
    assert_never_differs_from_pydantic(KIND_FLOAT, text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (KIND_STR, "", ""),
        (KIND_STR, "é\ud800\U0001f600", "é\ud800\U0001f600"),
        (KIND_INT, "0", 0),
        (KIND_INT, "-0", 0),
        (KIND_INT, "-007", -7),
        (KIND_FLOAT, "3", 3.0),
        (KIND_FLOAT, "-0.5", -0.5),
        (KIND_FLOAT, "0.1", 0.1),
        (KIND_FLOAT, "0" * 5000 + "1", 1.0),
        *[(KIND_BOOL, word, True) for word in TRUE_WORDS],
        *[(KIND_BOOL, word, False) for word in FALSE_WORDS],
    ],
)
def test_common_texts_are_accepted(kind, text, value):
    converted = convert(kind, text)
    assert type(converted) is type(value)
    assert converted == value
    assert_never_differs_from_pydantic(kind, text)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (KIND_EXACT, ["", "1", "true"]),
        (KIND_INT, ["", "-", "+1", "--1", "1-", " 1", "1 ", "1_0", "1.0", "1e3", "0x1", "\u0661", "\xb2", "1" * 19]),
        (
            KIND_FLOAT,
            ["", "-", ".", ".5", "1.", "1.2.3", "-.5", "1e3", "nan", "inf", "+1", "1_0", "1" * 16, "0." + "0" * 23],
        ),
        (KIND_BOOL, ["", "True", "TRUE", "2", "00", "ye", "nope", "tru", "trues", "ok", "of", "\u0100"]),
        (99, ["", "1"]),
    ],
)
def test_unusual_texts_are_refused(kind, texts):
    assert [text for text in texts if convert(kind, text) is not REFUSED] == []


def test_str_is_the_same_object():
    text = "some text"
    assert convert(KIND_STR, text) is text


@pytest.mark.parametrize("text", ["", "-", "1.2.3", "nan?", "two"])
def test_pydantic_also_rejects_what_is_no_number(text):
    for kind in (KIND_INT, KIND_FLOAT):
        assert convert(kind, text) is REFUSED
        with pytest.raises(ValidationError):
            ADAPTERS[kind].validate_python(text)


@pytest.mark.parametrize("text", [1, b"1", type("Sub", (str,), {})("1")])
def test_only_an_exact_str_is_taken(text):
    with pytest.raises(TypeError):
        convert(KIND_INT, text)


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_none_is_refused(kind):
    assert convert(kind, None) is REFUSED
