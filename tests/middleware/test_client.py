"""Who the client is, whatever it says itself."""

import pytest

from tests.middleware.exchanges import http_scope
from turboapi.middleware._client import ClientAddresses, group_address

PROXIES = ["10.0.0.0/8", "2001:db8:1::/48"]


def find(headers=(), client=("10.0.0.1", 1), proxies=PROXIES, **options):
    return ClientAddresses(proxies, **options).find(http_scope(headers, client=client))


def forwarded_for(*values):
    return [("X-Forwarded-For", value) for value in values]


def forwarded(*values):
    return [("Forwarded", value) for value in values]


@pytest.mark.parametrize("proxies", [[], ["192.0.2.1"]])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_headers_of_strangers_are_not_read(proxies, header):
    headers = [*forwarded_for("203.0.113.9"), *forwarded("for=203.0.113.9"), ("X-Real-IP", "203.0.113.9")]
    assert find(headers, ("198.51.100.7", 5), proxies, proxy_header=header) == "198.51.100.7"


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:DB8:0::7", 5), "2001:db8::7"),
        (("::ffff:192.0.2.1", 5), "192.0.2.1"),
        (("fe80::1%eth0", 5), "fe80::1"),
        (("testclient", 5), "testclient"),
        (("", None), "unknown"),
        (None, "unknown"),
    ],
)
@pytest.mark.parametrize("proxies", [[], PROXIES])
def test_peer(client, expected, proxies):
    assert find(client=client, proxies=proxies) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["203.0.113.9"], "203.0.113.9"),
        (["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # the client has sent 1.1.1.1
        (["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        (["1.1.1.1,203.0.113.9 ,\t10.9.9.9, 2001:db8:1::5"], "203.0.113.9"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # only proxies: the one that is the furthest away
        (["203.0.113.9:5678"], "203.0.113.9"),
        (["[2001:db8:2::9]:5678"], "2001:db8:2::9"),
        (["[2001:db8:2::9]"], "2001:db8:2::9"),
        (["2001:db8:2::9"], "2001:db8:2::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["::ffff:10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        (["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),  # nobody trusted has named 203.0.113.9
        (["203.0.113.9, , 10.0.0.2"], "10.0.0.2"),
        (["203.0.113.999"], "10.0.0.1"),
        (["[203.0.113.9"], "10.0.0.1"),
        (["203.0.113.9\x00"], "10.0.0.1"),
        (["\xb2.1.1.1"], "10.0.0.1"),
        (["," * 60000], "10.0.0.1"),
    ],
)
def test_forwarded_for(values, expected):
    assert find([*forwarded("for=8.8.8.8"), *forwarded_for(*values)]) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["for=203.0.113.9"], "203.0.113.9"),
        (["For=203.0.113.9;proto=https;by=10.0.0.1"], "203.0.113.9"),
        (["proto=https; for=203.0.113.9 ; host=a"], "203.0.113.9"),
        (["for=1.1.1.1, for=203.0.113.9"], "203.0.113.9"),
        (["for=1.1.1.1", "for=203.0.113.9, for=10.0.0.2"], "203.0.113.9"),
        (['for="[2001:db8:2::9]:47011"'], "2001:db8:2::9"),
        (['for="203\\.0.113.9"'], "203.0.113.9"),
        (["for=203.0.113.9:80"], "203.0.113.9"),
        (['for="a,b;c", for=203.0.113.9'], "203.0.113.9"),
        (["for=203.0.113.9, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
        (["for=203.0.113.9, for=unknown"], "10.0.0.1"),
        (["for=203.0.113.9, proto=https"], "10.0.0.1"),
        (["for=203.0.113.9, "], "10.0.0.1"),
        # What a client has left open must not swallow what the proxy has appended.
        (['for="1.1.1.1, for=203.0.113.9'], "10.0.0.1"),
        (['for=1.1.1.1;x=", for="[2001:db8:2::9]"'], "10.0.0.1"),
        (['for="\\'], "10.0.0.1"),
        (["for = 203.0.113.9"], "10.0.0.1"),
        (["for=203.0.113.9 for=1.1.1.1"], "10.0.0.1"),
        (['for="' + '\\"' * 30000], "10.0.0.1"),
        (["for=1.1.1.1;for=203.0.113.9"], "10.0.0.1"),
        (["for=203.0.113.9:_port"], "203.0.113.9"),
    ],
)
def test_forwarded(values, expected):
    headers = [*forwarded_for("8.8.8.8"), *forwarded(*values)]
    assert find(headers, proxy_header="Forwarded") == expected


@pytest.mark.parametrize("client", [None, ("", 0)])
def test_unix_sockets_can_be_trusted(client):
    headers = forwarded_for("1.1.1.1, 203.0.113.9")
    assert find(headers, client, ["unix"]) == "203.0.113.9"
    assert find(headers, client, PROXIES) == "unknown"
    assert find(headers, ("10.0.0.1", 1), ["unix"]) == "10.0.0.1"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("10.0.0.1",), "must be a list"),
        ((["10.0.0.1/8"],), "has host bits set"),
        ((["proxy"],), "does not appear to be"),
        (([], "X-Real-IP"), "must be 'X-Forwarded-For' or 'Forwarded'"),
    ],
)
def test_wrong_arguments(arguments, error):
    with pytest.raises(ValueError, match=error):
        ClientAddresses(*arguments)


@pytest.mark.parametrize(
    ("address", "prefix", "expected"),
    [
        ("192.0.2.1", 64, "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::"),
        ("2001:db8:1:2:3:4:5:6", 56, "2001:db8:1::"),
        ("2001:db8::6", 128, "2001:db8::6"),
        ("testclient", 64, "testclient"),
        ("what:is:this", 64, "what:is:this"),
    ],
)
def test_ipv6_addresses_are_grouped(address, prefix, expected):
    assert group_address(address, prefix) == expected
