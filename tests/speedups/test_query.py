from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams
from starlette.requests import cookie_parser

from turboapi._speedups.query import parse_cookies, parse_query, query_get, query_getlist, unquote_path


def wire_bytes(*pieces: bytes) -> st.SearchStrategy[bytes]:
    """Bytes made mostly of the given significant pieces."""
    return st.lists(st.one_of(st.sampled_from(pieces), st.binary(max_size=4)), max_size=24).map(b"".join)


escaped = wire_bytes(
    b"&",
    b"=",
    b"+",
    b"%",
    b";",
    b"a",
    b"%C3",
    b"%a9",
    b"%e2%82%AC",
    b"%F0%9F",
    b"%00",
    b"%2B",
    b"%g0",
    b"\xc3\xa9",
    b"\xff",
)
cookie_header = wire_bytes(
    b";", b"=", b'"', b"\\", b"\\\\", b'\\"', b"\\054", b"\\400", b"\\377", b"\\08", b"a", b" ", b"\n", b"\xa0", b"\x85"
)


@settings(max_examples=400)
@given(escaped)
def test_parse_query_equals_parse_qsl(raw):
    assert parse_query(raw) == parse_qsl(raw.decode("latin-1"), keep_blank_values=True)


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        (b"", []),
        (b"&&", []),
        (b"a", [("a", "")]),
        (b"=", [("", "")]),
        (b"a=1&b=two", [("a", "1"), ("b", "two")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a;b=1", [("a;b", "1")]),
        (b"a+b=c+%2B", [("a b", "c +")]),
        (b"%61=%C3%A9", [("a", "é")]),
        (b"a=%C3\xa9", [("a", "\ufffd©")]),
        (b"a=\xc3\xa9", [("a", "Ã©")]),
        (b"a=%&b=%4&c=%zz", [("a", "%"), ("b", "%4"), ("c", "%zz")]),
    ],
)
def test_parse_query_examples(raw, pairs):
    assert parse_query(raw) == pairs
    assert QueryParams(raw).multi_items() == pairs


@pytest.mark.parametrize("size", [255, 256, 257, 10_000])
@pytest.mark.parametrize("unit", [b"x", b"%41", b"%ff", b"+", b"\xe9", b"\xe9%41"])
def test_parse_query_of_long_pieces(unit, size):
    raw = unit * size + b"=%20" + unit * size
    assert parse_query(raw) == parse_qsl(raw.decode("latin-1"), keep_blank_values=True)


@settings(max_examples=300)
@given(escaped)
def test_unquote_path_equals_unquote(raw):
    assert unquote_path(raw) == unquote(raw.decode("latin-1"))


def test_unquote_path_keeps_plus_and_encoded_slash_is_decoded():
    assert unquote_path(b"/a+b%2Fc%20d") == "/a+b/c d"


def merged(headers):
    cookies = {}
    for header in headers:
        cookies.update(cookie_parser(header.decode("latin-1")))
    return cookies


@settings(max_examples=400)
@given(st.lists(cookie_header, max_size=3))
@example([b'a="\\\n\\054\\'])
@example([b'"', b'a="', b'b=""'])
def test_parse_cookies_equals_the_merged_reference(headers):
    parsed = parse_cookies(headers)
    assert list(parsed.items()) == list(merged(headers).items())


@settings(max_examples=300)
@given(cookie_header.map(lambda raw: b'"' + raw.replace(b";", b"") + b'"'))
def test_quoted_cookie_values_equal_the_reference(value):
    assert parse_cookies([b"a=" + value]) == merged([b"a=" + value])


@pytest.mark.parametrize(
    ("headers", "cookies"),
    [
        ([], {}),
        ([b""], {}),
        ([b"a=1; b=2"], {"a": "1", "b": "2"}),
        ([b"a=1", b"b=2; a=3"], {"a": "3", "b": "2"}),
        ([b"  lonely "], {"": "lonely"}),
        ([b"a = x=y ; =z"], {"a": "x=y", "": "z"}),
        ([b'a="x\\054\\"y\\\\"'], {"a": 'x,"y\\'}),
    ],
)
def test_parse_cookies_examples(headers, cookies):
    assert parse_cookies(headers) == cookies


@pytest.mark.parametrize(
    ("unit", "text"),
    [(b"\\\\", "\\"), (b"\\a", "a"), (b"\\054", ","), (b'"', '"'), (b"\\400", "400"), (b"\\\n", "\\\n")],
)
def test_a_large_quoted_cookie_is_unquoted_whole(unit, text):
    # With a quadratic scan, as the standard library's was, this does not come to an end.
    count = 2_000_000 // len(unit)
    assert parse_cookies([b'a="' + unit * count + b'"']) == {"a": text * count}


pairs = st.lists(st.tuples(st.sampled_from(["", "a", "b", "é", "ab"]), st.text(max_size=3)), max_size=6)


@given(pairs, st.sampled_from(["", "a", "b", "é", "ab", "zz"]))
def test_lookups_equal_query_params(items, key):
    params = QueryParams(items)
    assert query_get(items, key) == params.get(key)
    assert query_getlist(items, key) == params.getlist(key)


@pytest.mark.parametrize("pairs", [[()], [("a",)], [("a", "b", "c")]])
def test_lookups_refuse_what_is_not_a_pair(pairs):
    with pytest.raises(ValueError, match="unpack"):
        query_get(pairs, "a")
    with pytest.raises(ValueError, match="unpack"):
        query_getlist(pairs, "a")


@pytest.mark.parametrize("call", [lambda: parse_query(None), lambda: unquote_path(None), lambda: parse_cookies([None])])
def test_none_is_a_type_error(call):
    with pytest.raises(TypeError):
        call()
