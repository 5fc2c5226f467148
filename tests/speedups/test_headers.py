import pytest
from hypothesis import given
from hypothesis import strategies as st

from turboapi._speedups.headers import check_headers

SEPARATORS = b" \t:"


def is_token(name: bytes) -> bool:
    return bool(name) and all(0x20 < c < 0x7F and c not in SEPARATORS for c in name)


def is_value(value: bytes) -> bool:
    return all(c == 9 or (c >= 0x20 and c != 0x7F) for c in value)


@given(st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5)), max_size=3))
def test_good_headers_pass_and_others_raise(headers):
    if all(is_token(name) and is_value(value) for name, value in headers):
        assert check_headers(headers) == 0
    else:
        with pytest.raises(ValueError, match="Invalid"):
            check_headers(headers)


@pytest.mark.parametrize("byte", range(256))
def test_every_byte(byte):
    one = bytes([byte])
    for headers, good in (([(b"x" + one, b"1")], is_token(one)), ([(b"x", b"a" + one + b"b")], is_value(one))):
        if good:
            check_headers(headers)
        else:
            with pytest.raises(ValueError, match="Invalid"):
                check_headers(headers)


@pytest.mark.parametrize("header", [("x", b"1"), (b"x", "1"), (b"x", None), (bytearray(b"x"), b"1"), None, 1])
def test_only_pairs_of_bytes(header):
    with pytest.raises(TypeError):
        check_headers([header])


@pytest.mark.parametrize("headers", [[(b"x",)], [(b"x", b"1", b"2")]])
def test_only_pairs(headers):
    with pytest.raises(ValueError, match="unpack"):
        check_headers(headers)
