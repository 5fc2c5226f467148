"""Strategies for what clients send: texts of parameters, query strings, headers, cookies, bodies.

Most of it is nearly right, because that is where two implementations part.
"""

import json
from typing import Any
from urllib.parse import quote, quote_plus

from hypothesis import strategies as st

from tests.compat.client import Request

__all__ = ["documents", "encoded_bodies", "header_texts", "query_pairs", "query_strings", "request_with", "texts_like"]

# Nearly right for some kind of parameter. Everything is tried on every kind.
TEXTS = """\
0|1|-1|+1|01|007|-0|00|1.0|1.5|.5|5.|1e3|1E3|1e400|-1e400|1_000|1__0|_1| 1|1 |\t1|1,5|0x10|0b1|nan|NaN|inf|-Infinity|infinity
9223372036854775807|9223372036854775808|-9223372036854775809|999999999999999999|123456789012345678901234567890|0.1|0.30000000000000004
1.7976931348623157e308|5e-324|0.1234567890123456|1234567890.12345678|100|101|10|11|3|4|5|6|true|True|TRUE|tRue|false|False|on|off|ON|yes
no|y|n|t|f|Y|N|T|2|null|None|none||a|b|A| a |ab|abc|abcdef|red|RED|Color.RED|blue|ann|Name.ANN|created_at|é|ß|日本|\U0001f600|\x00|a\x00b
00000000-0000-0000-0000-000000000005|00000000000000000000000000000005|{00000000-0000-0000-0000-000000000005}
urn:uuid:00000000-0000-0000-0000-000000000005|00000000-0000-0000-0000-00000000000|00000000-0000-0000-0000-00000000000G
2020-01-02|2020-1-2|2020-13-01|2020-02-30|0001-01-01|20200102|2020-01-02T00:00:00|2020-01-02T03:04:05|2020-01-02 03:04:05
2020-01-02T03:04:05Z|2020-01-02T03:04:05.678901+02:00|2020-01-02T03:04|2020-01-02T24:00:00|1577934245|1577934245.5|-1577934245|99999999999999
03:04|03:04:05|03:04:05.678|25:00|03:04:05Z|PT90S|P1D|P1DT2H|1:30|90|-PT5M|1 day, 0:00:01|P|1 day
1.10|1.100|1E+2|-0.00|sNaN|[1,2]|[1, 2]|{"a": 1}|"a"|[]|{}|a,b|1,2|a b|a+b|a%20b|a&b|a=b|a;b|/|a/b|..|http://a.b/c|127.0.0.1|bytes\xff\
""".replace("\n", "|").split("|")

short_texts = st.text(st.characters(codec="utf-8"), max_size=6)
numbers = st.one_of(st.integers().map(str), st.floats().map(repr), st.decimals().map(str), st.integers(-3, 12).map(str))


def texts_like(*examples: str) -> st.SearchStrategy[str]:
    """Return texts for a parameter: its own examples mostly, other texts as well."""
    return st.one_of(st.sampled_from(examples or TEXTS), st.sampled_from(TEXTS), numbers, short_texts)


ODD_ENCODINGS = [
    b"%", b"%4", b"%zz", b"%ff", b"%C3%A9", b"%c3", b"+", b"%2B", b"%00", b"%20", b"%26", b"%3D", b"a%2Fb", b"%41", b"%u0041", b";",
]  # fmt: skip


@st.composite
def encoded(draw: st.DrawFn, text: st.SearchStrategy[str], *, in_path: bool = False) -> bytes:
    """Return a text, percent-encoded: mostly in the usual way."""
    value = draw(text)
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(ODD_ENCODINGS))
    if in_path:
        return quote(value, safe="~!$&'()*+,;=:@").encode()
    return (quote_plus if draw(st.booleans()) else quote)(value).encode()


@st.composite
def query_pairs(draw: st.DrawFn, key: str, text: st.SearchStrategy[str]) -> list[bytes]:
    """Return the pairs of one query parameter: one mostly, none, several, or one in an odd spelling."""
    name = quote(key, safe="[]").encode()
    shape = draw(
        st.sampled_from(["one", "one", "one", "one", "none", "two", "many", "bare", "empty", "encoded", "case"])
    )
    if shape == "none":
        return []
    if shape == "bare":
        return [name]
    if shape == "empty":
        return [name + b"="]
    if shape == "encoded":
        name = b"".join(b"%%%02x" % byte for byte in key.encode())
    elif shape == "case":
        name = name.upper()
    count = {"two": 2, "many": draw(st.integers(3, 5)) if shape == "many" else 0}.get(shape, 1)
    return [name + b"=" + draw(encoded(text)) for _ in range(count)]


@st.composite
def query_strings(draw: st.DrawFn, pairs: list[bytes]) -> bytes:
    """Return a query string of `pairs`, in some order, with other things between at times."""
    noise = draw(st.lists(st.sampled_from([b"", b"=", b"=x", b"other=1", b"other", b"a=b=c", b"&"]), max_size=1))
    return b"&".join(draw(st.permutations(pairs + noise)))


def header_texts(text: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Return header values: `text` as far as HTTP can carry it (RFC 9110, section 5.5)."""
    return text.map(lambda value: value.encode("latin-1", "ignore")).map(
        lambda value: bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F).strip()
    )


@st.composite
def cookie_headers(draw: st.DrawFn, values: dict[str, bytes]) -> bytes:
    """Return a Cookie header with these values, in one of the forms that are met."""
    parts = [name.encode() + b"=" + value for name, value in values.items()]
    parts += draw(st.lists(st.sampled_from([b"", b"x", b"=x", b"other=1", b" $Path=/", b'q="a b"']), max_size=1))
    return draw(st.sampled_from([b"; ", b";", b" ; "])).join(draw(st.permutations(parts)))


# --- bodies ----------------------------------------------------------------------------------------------------------

NAMES = ["name", "price", "tags", "note", "id", "item", "others", "x", "y", "a", "b", "left", "right", "title", "year", "firstName",
         "first_name", "age", "AGE", "even", "content", "count", "when", "key", "data", "limit", ""]  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.integers(),
    st.sampled_from([1.0, 1.5, -0.0, 1e30, 2**53, 2**63, 2**64, 10**40, 1e308]),
    st.sampled_from(TEXTS),
    short_texts,
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)

JSON_TYPES = [b"application/json"] * 8 + [
    b"application/json; charset=utf-8", b"application/json;charset=UTF-8", b"APPLICATION/JSON", b"application/vnd.api+json",
    b"application/json; charset=latin-1", b"application/geo+json", b"application/problem+json; a=b", b"application/jsonx", b"text/json",
    b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data", b"application/octet-stream", b"application", b"",
    b"application/json, text/plain", b" application/json", b"application/;json", b"*/*", b"application/+json", b"application/x+JSON",
]  # fmt: skip
NOT_JSON = [
    b"", b" ", b"{", b"}", b"[1,", b"[1,]", b'{"a":1,}', b"{'a':1}", b"nul", b"NaN", b"[NaN]", b"Infinity", b'{"x": NaN}', b'{"x": 1e400}',
    b"01", b"1.", b"+1", b"--1", b'"', b'"\n"', b'"\\x"', b'"\\ud800"', b'{"name": "\\ud800"}', b'{"x":1}{"x":2}', b'{"x":1} x', b"// a\n1",
    b'\xef\xbb\xbf{"x": 1}', b"\xff", b'{"x": "\xff"}', b"\x00", b'{"x": "a\x00"}', b'{1: 2}', b"[" * 60 + b"]" * 60, b'{"a":' * 60 + b"1" + b"}" * 60,
    b'{"x": 1, "x": 2}', b'{"name": "a", "name": 1}', b"null", b" null ", b"\t{}\r\n", b'\xc2\xa0{}', b"a=1&b=2", b"True", b"undefined",
    b'{"x": 123456789012345678901234567890}', b'{"x": 1.0}', b'{"x": "1"}', b'{"x": true}', b'{"price": -Infinity, "name": "a"}',
]  # fmt: skip


@st.composite
def encoded_bodies(draw: st.DrawFn, document: st.SearchStrategy[Any]) -> bytes:
    """Return a JSON document as bytes, at times in an odd encoding, or no JSON at all."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(NOT_JSON))
    value = draw(document)
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    codec = draw(st.sampled_from(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"]))
    return text.encode(codec, "replace")


@st.composite
def request_with(draw: st.DrawFn, target: bytes, document: st.SearchStrategy[Any], method: str = "POST") -> Request:
    """Return a request with a body, or at times without one."""
    body = draw(encoded_bodies(document))
    kind = draw(st.sampled_from(JSON_TYPES))
    headers = ((b"content-type", kind),) if kind or draw(st.booleans()) else ()
    return Request(method, target, headers, body)
