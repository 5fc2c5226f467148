"""Malformed and ambiguous requests, as bytes, with what the standards say of each.

`REQUESTS` go to an application that echoes; `HANDSHAKES` and `FRAMES` to one that echoes WebSocket messages. Families
are generated: one case for each byte that may not stand in a place, for each way to hide a framing header, and so on.
What test_refusals.py has is not repeated here.

Known and left out: the parser takes GET, POST and OPTIONS with RTSP/1.0 and RTSP/1.1 for HTTP of that version, and does
not tell. They are framed alike, so that no other server can be led to see another request.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tests.wire.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    close,
    frame,
)
from tests.wire.harness import chunked, request


class Case(NamedTuple):
    """A message, and the only answers there may be to it."""

    name: str
    rfc: str  # number and section
    data: bytes
    statuses: tuple[int, ...] = (400,)
    closed: bool = True
    either: tuple[int, ...] = ()  # other statuses that the standard allows for the last answer


CONTROLS = [*range(0x20), 0x7F]
SEPARATORS = b'"(),/:;<=>?@[\\]{}'
SAMPLES_ABOVE_127 = (0x80, 0x85, 0xA0, 0xC0, 0xE9, 0xFF)
CHUNKED = "Transfer-Encoding: chunked"
HELLO = chunked(b"hello")


def byte(value: int) -> str:
    """How a byte is named in the name of a case."""
    return f"0x{value:02x}" if value <= 0x20 or value > 0x7E else repr(chr(value))


def get(*headers: str, target: str = "/") -> bytes:
    return request(f"GET {target} HTTP/1.1", *headers)


def post(*headers: str, body: bytes = b"", version: str = "1.1") -> bytes:
    return request(f"POST / HTTP/{version}", *headers, body=body)


def with_host(value: str) -> bytes:
    return request("GET / HTTP/1.1", f"Host: {value}", host=False)


def refused(rfc: str, family: str, messages: Iterable[tuple[str, bytes]], **options: object) -> Iterator[Case]:
    """Cases that are all answered with 400."""
    for name, data in messages:
        yield Case(f"{family}: {name}", rfc, data, **options)  # type: ignore[arg-type]


def accepted(rfc: str, family: str, messages: Iterable[tuple[str, bytes]]) -> Iterator[Case]:
    """Cases that look odd but have to be understood, or may be; the connection is kept."""
    for name, data in messages:
        yield Case(f"{family}: {name}", rfc, data, (200,), closed=False)


# --- request line (RFC 9112, section 3) -------------------------------------------------------------------------------

LINES = {
    "nothing but a method": "GET",
    "method and blank": "GET ",
    "blank": " ",
    "no version": "GET / ",
    "blank before": " GET / HTTP/1.1",
    "tab before": "\tGET / HTTP/1.1",
    "tab behind the method": "GET\t/ HTTP/1.1",
    "tab before the version": "GET /\tHTTP/1.1",
    "vertical tab before the version": "GET /\x0bHTTP/1.1",
    "form feed before the version": "GET /\x0cHTTP/1.1",
    "no-break space before the version": "GET /\xa0HTTP/1.1",
    "no blank at all": "GET/HTTP/1.1",
    "blank behind the version": "GET / HTTP/1.1 ",
    "tab behind the version": "GET / HTTP/1.1\t",
    "version twice": "GET / HTTP/1.1 HTTP/1.1",
    "blank in the target": "GET /a b HTTP/1.1",
    "two targets": "GET /a /b HTTP/1.1",
    "version first": "HTTP/1.1 GET /",
    "a response": "HTTP/1.1 200 OK",
    "method in mixed case": "Get / HTTP/1.1",
    "method with a digit": "GET1 / HTTP/1.1",
    "method with a letter too many": "GETX / HTTP/1.1",
    "method with a letter too few": "GE / HTTP/1.1",
    "protocol of Icecast": "SOURCE / ICE/1.0",
    "protocol of Icecast with another method": "GET / ICE/1.0",
    "preface of HTTP/2 with a path": "PRI / HTTP/2.0",
    "preface of HTTP/2 in HTTP/1.1": "PRI * HTTP/1.1",
}
VERSIONS = [
    *("HTTP", "HTTP/", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/11", "HTTP/1.10", "HTTP/01.1", "HTTP/1.01", "HTTP/1.1.1"),
    *("HTTP/1,1", "HTTP/-1.1", "HTTP/+1.1", "HTTP/ 1.1", "HTTP /1.1", "HTTP/1 .1", "HTTP/1. 1", "http/1.1", "Http/1.1"),
    *("HTTP/1.a", "HTTP/a.1", "HTTP/0x1.1", "HTTP/1.1a", "HTTP\\1.1", "HTTP//1.1", "HTTPS/1.1", "HTCPCP/1.0", "/1.1"),
    *("HTTP/\xb9.1", "HTTP/1.1;a", "HTTP/1.1,", '"HTTP/1.1"', "HTTP/99999999999.1", "HTTP/1.99999999999", "SIP/2.0"),
]
# RFC 9110, section 15.6.6 has a status of its own for versions that are well-formed, but 400 is no lie either.
OTHER_VERSIONS = ["0.0", "0.1", "1.2", "1.9", "2.1", "3.0", "4.0", "9.9"]

RTSP_METHODS = [
    *(
        "ANNOUNCE",
        "DESCRIBE",
        "FLUSH",
        "GET_PARAMETER",
        "PAUSE",
        "PLAY",
        "RECORD",
        "REDIRECT",
        "SETUP",
        "SET_PARAMETER",
    ),
    "TEARDOWN",
]

OTHER_PROTOCOLS = {
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SMTP": b"EHLO test\r\n",
    "FTP": b"USER anonymous\r\n",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "memcached": b"get key\r\n",
    "SOCKS 4": b"\x04\x01\x00\x50\x01\x02\x03\x04\x00",
    "SOCKS 5": b"\x05\x01\x00",
    "PROXY 1": b"PROXY TCP4 1.2.3.4 5.6.7.8 5 80\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n",
    "PROXY 2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c",
    "FastCGI": b"\x01\x01\x00\x01\x00\x08\x00\x00",
    "uwsgi": b"\x00\x10\x00\x00",
    "RDP": b"\x03\x00\x00\x13\x0e\xe0",
    "PostgreSQL": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    "MQTT": b"\x10\x10\x00\x04MQTT\x04\x02",
    "JSON": b'{"method": "GET"}\r\n',
    "XML": b"<?xml version='1.0'?>\r\n",
    "UTF-8 mark": b"\xef\xbb\xbf" + get(),
    "UTF-16": get().decode().encode("utf-16-le"),
    "frame of a WebSocket": frame(TEXT, b"hello"),
    "frame of HTTP/2": b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "HTTP/0.9 without a path": b"GET\r\n",
    "HTTP/0.9 with LF": b"GET /\n\n",
}


def request_lines() -> Iterator[Case]:
    for value in (*CONTROLS, *SEPARATORS, *SAMPLES_ABOVE_127):
        if value != 0x20:
            yield Case(
                f"method with {byte(value)}", "9110 9.1", b"GE" + bytes([value]) + b"T / HTTP/1.1\r\nHost: test\r\n\r\n"
            )
    for value in (*CONTROLS, *SAMPLES_ABOVE_127):
        if value != 0x0A:
            yield Case(
                f"target with {byte(value)}",
                "9112 3.2",
                b"GET /a" + bytes([value]) + b"b HTTP/1.1\r\nHost: test\r\n\r\n",
            )
            yield Case(
                f"query with {byte(value)}",
                "9112 3.2",
                b"GET /?a=" + bytes([value]) + b"b HTTP/1.1\r\nHost: test\r\n\r\n",
            )
    yield from refused("9112 3", "request line", ((name, request(line)) for name, line in LINES.items()))
    yield from refused("9112 2.3", "version", ((version, request(f"GET / {version}")) for version in VERSIONS))
    for version in OTHER_VERSIONS:
        yield Case(f"version {version}", "9110 15.6.6", request(f"GET / HTTP/{version}"), either=(505,))
        kept = request(f"GET / HTTP/{version}", "Connection: keep-alive")
        yield Case(f"version {version}, kept", "9110 15.6.6", kept, either=(505,))
    for option in ("Connection: keep-alive", "Proxy-Connection: keep-alive", "Connection: Upgrade"):
        for version in ("0.9", "2.0"):
            message = request(f"GET / HTTP/{version}", option)
            yield Case(f"version {version}, {option}", "9110 15.6.6", message, (505,), either=(400,))
    message = request("GET /HTTP/1.1")  # a line of HTTP/0.9
    yield Case("request line: no blank before the version", "9112 3", message, (505,), either=(400,))
    for name, data in OTHER_PROTOCOLS.items():
        yield Case(f"other protocol: {name}", "9112 3", data, either=(505,) if "0.9" in name else ())
    yield from accepted(
        "9112 2.2",
        "empty line before the request",
        [("one", b"\r\n" + get()), ("two", b"\r\n\r\n" + get())],
    )
    for method in RTSP_METHODS:
        for protocol in ("RTSP/1.0", "RTSP/1.1", "HTTP/1.1"):
            yield Case(f"request line: {method} in {protocol}", "9112 3", request(f"{method} / {protocol}"))
    # What the parser lets pass: nothing but these bytes may stand there, and they have no other meaning.
    yield from accepted(
        "9112 2.2",
        "line ends before the request",
        [("CR", b"\r" + get()), ("LF", b"\n" + get()), ("CR CR LF", b"\r\r\n" + get())],
    )


# --- targets (RFC 9112, section 3.2) ----------------------------------------------------------------------------------

TARGETS = {
    "asterisk of a GET (3.2.4)": "GET *",
    "asterisk of a POST (3.2.4)": "POST *",
    "asterisk and a path": "OPTIONS */a",
    "asterisk and a query": "OPTIONS *?a",
    "asterisk twice": "OPTIONS **",
    "a name": "GET test",
    "a name and a path": "GET test/a",
    "address and port": "GET 127.0.0.1:80",
    "query alone": "GET ?a=b",
    "fragment alone": "GET #a",
    "dots": "GET ../a",
    "escaped slash": "GET %2fa",
    "backslash": "GET \\a",
    "tilde": "GET ~a",
    "quoted": 'GET "/"',
    "in angle brackets": "GET </>",
    "scheme alone": "GET http:",
    "scheme and one slash": "GET http:/test/",
    "scheme without slashes": "GET http:test",
    "scheme with a digit": "GET h1://test/",
    "no scheme": "GET ://test/",
    "no host (9110 4.2.1)": "GET http://",
    "no host but a path (9110 4.2.1)": "GET http:///a",
    "no host but a query (9110 4.2.1)": "GET http://?a",
    "no host but a port (9110 4.2.1)": "GET http://:80/",
    "no host in https (9110 4.2.2)": "GET https:///a",
    "user and password (9110 4.2.4)": "GET http://me:secret@test/",
    "user without a name (9110 4.2.4)": "GET http://@test/",
    "two hosts": "GET http://a@b@test/",
    "port that is no number": "GET http://test:http/",
    "negative port": "GET http://test:-80/",
    "two ports": "GET http://test:80:80/",
    "bracket without end": "GET http://[::1/",
    "bracket without begin": "GET http://::1]/",
    "no address in brackets": "GET http://[test]/",
    "IPv6 without brackets": "GET http://::1/",
    "empty brackets": "GET http://[]/",
    "backslash in the host": "GET http://te\\st/",
    "bad escape in the host": "GET http://te%zz/",
    "angle bracket in the host": "GET http://te<st/",
}


def targets() -> Iterator[Case]:
    lines = ((name, request(f"{line} HTTP/1.1")) for name, line in TARGETS.items())
    yield from refused("9112 3.2", "target", lines)
    for target in ("/", "test", "test:", ":80", "test:0x50", "http://test/", "*", "me@test:80"):
        message = request(f"CONNECT {target} HTTP/1.1")
        yield Case(f"CONNECT {target}", "9112 3.2.3", message, (400,), either=(501,))
    fine = {
        "asterisk of OPTIONS": request("OPTIONS * HTTP/1.1"),
        "two slashes": get(target="//test/a"),
        "a URI as the path": get(target="/http://other/"),
        "a URI in the query": get(target="/?http://me@other/"),
        "absolute form": get(target="http://test/a?b"),
        "absolute form of another host (3.2.2)": get(target="http://other/a"),
        "absolute form with a port": get(target="http://test:8080/"),
        "absolute form with IPv6": get(target="http://[2001:db8::1]:80/"),
        "absolute form in capitals": get(target="HTTP://TEST/"),
    }
    yield from accepted("9112 3.2", "target", fine.items())


# --- header section (RFC 9112, section 5) -----------------------------------------------------------------------------

FIELD_LINES = {
    "tab before the colon": b"X-Name\t: 1\r\n",
    "two blanks before the colon": b"X-Name  : 1\r\n",
    "no-break space before the colon": b"X-Name\xa0: 1\r\n",
    "line break before the colon": b"X-Name\r\n: 1\r\n",
    "only a colon": b":\r\n",
    "two colons": b":: 1\r\n",
    "only a blank": b" \r\n",
    "only a tab": b"\t\r\n",
    "quoted name": b'"X-Name": 1\r\n',
    "a request line": b"GET / HTTP/1.1\r\n",
    "CR behind the name": b"X-Name\r: 1\r\n",
    "CR as the line's end": b"X-Name: 1\rX-Other: 2\r\n",
    "two CR": b"X-Name: 1\r\r\n",
    "LF CR": b"X-Name: 1\n\r",
    "LF LF": b"X-Name: 1\n\n",
    "CR at the begin of a value": b"X-Name:\r1\r\n",
    "CR before a blank": b"X-Name: 1\r 2\r\n",
    "empty value ended by LF": b"X-Name:\nX-Other: 1\r\n",
    "folded by a tab": b"X-Name: 1\r\n\t2\r\n",
    "folded by blanks": b"X-Name: 1\r\n    2\r\n",
    "folded before the value": b"X-Name:\r\n 1\r\n",
    "folded into nothing": b"X-Name: 1\r\n \r\n",
    "folded twice": b"X-Name: 1\r\n 2\r\n 3\r\n",
    "folded by LF": b"X-Name: 1\n 2\r\n",
}
FRAMING_NAMES = ["Host", "Content-Length", "Transfer-Encoding"]
VALUES = {"Host": "test", "Content-Length": "5", "Transfer-Encoding": "chunked"}


def headers() -> Iterator[Case]:
    start, end = b"GET / HTTP/1.1\r\nHost: test\r\n", b"\r\n"
    for value in (*CONTROLS, *SEPARATORS, *SAMPLES_ABOVE_127):
        if value not in b":\x20":
            line = b"X" + bytes([value]) + b"Name: 1\r\n"
            yield Case(f"header name with {byte(value)}", "9110 5.1", start + line + end)
    for value in CONTROLS:
        if value not in b"\t\x20":
            for place, line in (("in", b"a%bb"), ("before", b"%ba"), ("behind", b"a%b")):
                if (value, place) not in ((0x00, "in"), (0x0D, "in"), (0x0A, "behind")):
                    line = b"X-Name: " + line % bytes([value]) + b"\r\n"
                    yield Case(f"{byte(value)} {place} a header value", "9110 5.5", start + line + end)
    lines = ((name, start + line + end) for name, line in FIELD_LINES.items())
    yield from refused("9112 5", "header line", lines)
    for name in FRAMING_NAMES:
        value = VALUES[name]
        for kind, line in {
            "blank before the colon": f"{name} : {value}\r\n",
            "tab before the colon": f"{name}\t: {value}\r\n",
            "NUL before the colon": f"{name}\0: {value}\r\n",
            "vertical tab before the name": f"\x0b{name}: {value}\r\n",
            "NUL behind the value": f"{name}: {value}\0\r\n",
            "vertical tab behind the value": f"{name}: {value}\x0b\r\n",
            "form feed before the value": f"{name}:\x0c{value}\r\n",
            "folded before the value": f"{name}:\r\n {value}\r\n",
            "folded behind the value": f"{name}: {value}\r\n ,x\r\n",
            "folded into the line before": f"X: 1\r\n {name}: {value}\r\n",
            "hidden behind a bare CR": f"X: 1\r{name}: {value}\r\n",
            "hidden behind a bare LF": f"X: 1\n{name}: {value}\r\n",
            "ended by a bare LF": f"{name}: {value}\nX: 1\r\n",
            "ended by a bare CR": f"{name}: {value}\rX: 1\r\n",
        }.items():
            head = "POST / HTTP/1.1\r\n" + ("" if name == "Host" else "Host: test\r\n") + line + "\r\n"
            yield Case(f"{name}, {kind}", "9112 5.1", head.encode("latin-1"))
    yield from accepted(
        "9110 5.5",
        "header",
        [
            ("empty value", get("X-Name:")),
            ("blanks for a value", get("X-Name:   ")),
            ("tabs around a value", get("X-Name:\t1\t")),
            ("tab in a value", get("X-Name: a\tb")),
            ("bytes above 127 in a value", get("X-Name: \x80\x85\xa0\xff")),
            ("every sign of a token in a name", get("!#$%&'*+-.^_`|~09azAZ: 1")),
        ],
    )


# --- Host (RFC 9112, section 3.2; RFC 9110, section 7.2) --------------------------------------------------------------

HOSTS = [
    *("a b", "a\tb", "a:80:80", "a:80x", "a:-80", "a:+80", "a: 80", "a :80", ":80:", "http://a", "//a", "a/"),
    *("a#b", "a?b", "a\\b", "me:secret@a", "@a", "a@", "[::1", "::1", "::1]", "[::1]a", "[::1]:a", "a[::1]", "[]"),
    *("[a]", "[:]", "[:::]", "[1::2::3]", "[.]", "[1]", "[1.2.3.4]", "[12345::]", "[::1%25eth0]", "[::1]]", "[[::1]]"),
    *("%", "a%", "a%4", "a%4g", "a\x7f", "a\x01b", "a\xe9b", "\xff", "<a>", '"a"', "{a}", "a|b", "a^b", "a`b"),
]


def hosts() -> Iterator[Case]:
    yield from refused("9112 3.2", "Host", ((repr(value), with_host(value)) for value in HOSTS))
    good = "Host: test"
    several = {
        "four times the same": [good] * 4,
        "in other cases": [good, "HOST: test"],
        "first empty": ["Host:", good],
        "second empty": [good, "Host:"],
        "three": ["Host: a", "Host: b", "Host: c"],
        "far apart": [good, *(f"X-{n}: 1" for n in range(20)), good],
    }
    yield from refused(
        "9112 3.2",
        "Hosts",
        ((name, request("GET / HTTP/1.1", *lines, host=False)) for name, lines in several.items()),
    )
    for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        yield Case(f"no Host: {method}", "9112 3.2", request(f"{method} / HTTP/1.1", host=False))
    for option in ("Connection: keep-alive", "Connection: close", "Proxy-Connection: close", "X-Forwarded-Host: test"):
        yield Case(f"no Host, {option}", "9112 3.2", request("GET / HTTP/1.1", option, host=False))
    yield Case("no Host, another bad one in HTTP/1.0", "9112 3.2", request("GET / HTTP/1.0", "Host: a b", host=False))
    fine = ["[2001:db8::1]", "[::ffff:1.2.3.4]:80", "1.2.3.4", "a..b", "xn--bcher-kva.example", "a" * 255, "a:00080"]
    yield from accepted("9110 7.2", "Host", ((value[:30], with_host(value)) for value in fine))


# --- framing (RFC 9112, section 6) ------------------------------------------------------------------------------------

LENGTHS = [
    *(
        "5 5",
        "5,",
        ",5",
        "5,5,5",
        "5, 6",
        "5;",
        "5;5",
        "5.",
        "5.0",
        ".5",
        "5e0",
        "5_0",
        "5-",
        "5-6",
        "--5",
        "++5",
        "- 5",
    ),
    *(
        "5a",
        "a5",
        "a",
        "0x",
        "0b1",
        "0o5",
        "5h",
        "five",
        "NaN",
        "Infinity",
        "null",
        '"5"',
        "'5'",
        "(5)",
        "5\x005",
        "5%20",
    ),
    *(
        "\x0b5",
        "5\x0c",
        "5\xa0",
        "\xb2",
        "\xef\xbc\x95",
        "\xd9\xa5",
        "5\t5",
        "5 \t,",
        "=5",
        ":5",
        "$5",
        "#5",
        "5 bytes",
    ),
    *("18446744073709551616", "18446744073709551621", "36893488147419103237", "9" * 40, "9" * 5000, "-0", "+0", "-1"),
    *("-18446744073709551611", "chunked", "0,5", "5 0", "\\5", "5\r5"),
]
CODINGS = {  # other than test_refusals.py's
    "x before": "xchunked",
    "x behind": "chunkedx",
    "two words": "chunked x",
    "words the other way": "x chunked",
    "cut off": "chunke",
    "quoted": '"chunked"',
    "single quotes": "'chunked'",
    "in brackets": "(chunked)",
    "comma behind": "chunked,",
    "comma before": ",chunked",
    "only a comma": ",",
    "semicolon behind": "chunked;",
    "parameter": "chunked; q=1",
    "colon before": ": chunked",
    "equals sign": "=chunked",
    "identity behind": "chunked, identity",
    "identity alone in capitals": "IDENTITY",
    "unknown behind": "chunked, x",
    "three times": "chunked, chunked, chunked",
    "blank within": "chun ked",
    "tab within": "chun\tked",
    "hyphen": "chunked-",
    "NUL behind": "chunked\0",
    "NUL before": "\0chunked",
    "vertical tab behind": "chunked\x0b",
    "vertical tab before": "\x0bchunked",
    "form feed behind": "chunked\x0c",
    "backspace behind": "chunked\x08",
    "DEL behind": "chunked\x7f",
    "no-break space behind": "chunked\xa0",
    "no-break space before": "\xa0chunked",
    "next line behind": "chunked\x85",
    "Kelvin sign": "chun\xe2\x84\xaaed",
    "long s": "\xc5\xbfchunked",
    "CR behind": "chunked\rx",
    "escape": "%63hunked",
    "backslash": "\\chunked",
    "null": "null",
    "number": "1",
    "deflate": "deflate",
    "br": "br",
}
CODINGS_TO_COME = {  # 501 is for what ends in chunked and is not understood (section 6.1)
    "identity first": "identity, chunked",
    "gzip first": "gzip,chunked",
    "deflate first": "deflate ,\tchunked",
    "unknown first": "x, chunked",
}


def framing() -> Iterator[Case]:
    for value in LENGTHS:
        name = f"{value[:20]!r}{'...' if len(value) > 20 else ''} of {len(value)}"
        yield Case(f"length {name}", "9110 8.6", post(f"Content-Length: {value}", body=b"hello"))
        yield Case(f"length {name}, 1.0", "9110 8.6", post(f"Content-Length: {value}", body=b"hello", version="1.0"))
    for name, coding in CODINGS.items():
        line = f"Transfer-Encoding: {coding}"
        yield Case(f"coding: {name}", "9112 6.3", post(line, body=HELLO))
        yield Case(f"coding: {name}, length before", "9112 6.3", post("Content-Length: 5", line, body=HELLO))
        yield Case(f"coding: {name}, length behind", "9112 6.3", post(line, "Content-Length: 5", body=HELLO))
        yield Case(f"coding: {name}, chunked before", "9112 6.3", post(CHUNKED, line, body=HELLO), either=(501,))
        yield Case(f"coding: {name}, chunked behind", "9112 6.3", post(line, CHUNKED, body=HELLO), either=(501,))
        if coding != "identity":
            yield Case(f"coding: {name}, 1.0", "9112 6.3", post(line, body=HELLO, version="1.0"))
    for name, coding in CODINGS_TO_COME.items():
        line = f"Transfer-Encoding: {coding}"
        yield Case(f"coding: {name}", "9112 6.1", post(line, body=HELLO), (501,))
        yield Case(
            f"coding: {name}, with length", "9112 6.3", post("Content-Length: 5", line, body=HELLO), either=(501,)
        )
    for method in ("GET", "HEAD", "DELETE", "OPTIONS", "PUT"):
        both = request(f"{method} / HTTP/1.1", "Content-Length: 5", CHUNKED, body=HELLO)
        yield Case(f"both framings: {method}", "9112 6.1", both)
    message = post(f"{CHUNKED}\t", body=HELLO)
    yield Case("framing: tab behind the coding", "9110 5.5", message, (400,), either=(200,))  # too strict, but safe
    several = {
        "length of zero and chunked": ["Content-Length: 0", CHUNKED],
        "chunked and a length of zero": [CHUNKED, "Content-Length: 0"],
        "lengths in other cases": ["content-length: 5", "CONTENT-LENGTH: 6"],
        "lengths with and without zeros": ["Content-Length: 5", "Content-Length: 05"],
        "length and an empty one": ["Content-Length: 5", "Content-Length:"],
        "lengths of zero": ["Content-Length: 0", "Content-Length: 0"],
        "three lengths": ["Content-Length: 5"] * 3,
        "lengths around a header": ["Content-Length: 5", "X: 1", "Content-Length: 0"],
        "both in capitals": ["CONTENT-LENGTH: 5", "TRANSFER-ENCODING: CHUNKED"],
        "both, named by Connection": ["Content-Length: 5", CHUNKED, "Connection: content-length"],
        "both in a handshake": ["Content-Length: 5", CHUNKED, *UPGRADE],
        "chunked and an empty coding": [CHUNKED, "Transfer-Encoding:"],
        "empty coding and chunked": ["Transfer-Encoding:", CHUNKED],
        "empty coding and a length": ["Transfer-Encoding:", "Content-Length: 5"],
    }
    for name, lines in several.items():
        yield Case(f"framing: {name}", "9112 6.3", post(*lines, body=HELLO))
        yield Case(f"framing: {name}, 1.0", "9112 6.3", post(*lines, body=HELLO, version="1.0"))
    yield from accepted(
        "9112 6",
        "framing",
        [
            ("coding in capitals", post("Transfer-Encoding: CHUNKED", body=HELLO)),
            ("coding in mixed case", post("transfer-encoding: ChUnKeD", body=HELLO)),
            ("blanks before the coding", post("Transfer-Encoding: \t chunked", body=HELLO)),
            ("blank behind the coding", post("Transfer-Encoding: chunked ", body=HELLO)),
            ("blanks around the length", post("Content-Length: \t 5 \t", body=b"hello")),
            ("zeros before the length", post("Content-Length: 0005", body=b"hello")),
            ("length of a GET", request("GET / HTTP/1.1", "Content-Length: 5", body=b"hello")),
            ("chunked GET", request("GET / HTTP/1.1", CHUNKED, body=HELLO)),
            ("another header of a similar name", post("X-Transfer-Encoding: x", "Content-Length: 5", body=b"hello")),
            ("TE is no coding of the message", post("TE: chunked", "Content-Length: 5", body=b"hello")),
        ],
    )


# --- chunks (RFC 9112, section 7.1) -----------------------------------------------------------------------------------

SIZES = [  # what comes before CRLF, in place of "5"
    *(
        " 5",
        "\t5",
        "5\t",
        "5  ",
        "+5",
        "5g",
        "g5",
        "5_0",
        "5.0",
        "5,",
        "0x05",
        "0X5",
        "5h",
        "x5",
        "\\x5",
        "5\0",
        "\x005",
    ),
    *(
        "5\x0b",
        "5\x0c",
        "5\r",
        "5\r\r",
        "5\xa0",
        "\xef\xbc\x95",
        "#5",
        "5:",
        "5=",
        "5/",
        '"5"',
        "5 5",
        "5-5",
        "\n5",
        "\r5",
    ),
    *("fffffffffffffffff", "10000000000000000", "-1", "-0", "F" * 40, "1" + "0" * 64),
]
ENDS = {  # behind the data of a chunk of five
    "nothing": b"hello0\r\n\r\n",
    "CR": b"hello\r0\r\n\r\n",
    "CR CR LF": b"hello\r\r\n0\r\n\r\n",
    "CR x": b"hello\rx0\r\n\r\n",
    "LF CR": b"hello\n\r0\r\n\r\n",
    "blank": b"hello \r\n0\r\n\r\n",
    "NUL": b"hello\0\n0\r\n\r\n",
    "two bytes": b"helloxx0\r\n\r\n",
    "semicolon": b"hello;\r\n0\r\n\r\n",
    "empty line": b"hello\r\n\r\n0\r\n\r\n",
    "CR behind the last size": b"hello\r\n0\r\r\n\r\n",
    "LF behind the last size": b"hello\r\n0\n\r\n",
    "LF for the last line": b"hello\r\n0\r\n\n",
    "CR x for the last line": b"hello\r\n0\r\n\rx",
    "blank behind the last size": b"hello\r\n0 \r\n\r\n",
    "negative last size": b"hello\r\n-0\r\n\r\n",
    "last size in hex": b"hello\r\n0x0\r\n\r\n",
}
TRAILERS = {
    "blank before the colon": b"X : 1\r\n",
    "tab before the colon": b"X\t: 1\r\n",
    "no name": b": 1\r\n",
    "folded": b"X: 1\r\n 2\r\n",
    "folded at once": b" X: 1\r\n",
    "NUL in the value": b"X: a\0b\r\n",
    "CR in the value": b"X: a\rb\r\n",
    "LF in the value": b"X: a\nb\r\n",
    "NUL in the name": b"X\0: 1\r\n",
    "blank in the name": b"X Y: 1\r\n",
    "byte above 127 in the name": b"X\xe9: 1\r\n",
    "two CR": b"X: 1\r\r\n",
    "a request": b"GET /smuggled HTTP/1.1\r\n",
}
HARMLESS_TRAILERS = {  # never to be merged (RFC 9110, section 6.5.1), so that none has an effect
    "empty value": b"X:\r\n",
    "Host": b"Host: other\r\n",
    "bad Host": b"Host: a b\r\n",
    "Upgrade": b"Upgrade: websocket\r\n",
    "Expect": b"Expect: 100-continue\r\n",
    "Cookie": b"Cookie: a=b\r\n",
}
CLOSING_TRAILERS = {  # a server may close at any time
    "Connection: close": b"Connection: close\r\n",
    "Connection: keep-alive": b"Connection: keep-alive\r\n",
    "Connection: Upgrade": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "Proxy-Connection: close": b"Proxy-Connection: close\r\n",
}
FRAMING_TRAILERS = {  # refused or ignored, but never followed
    "Content-Length": b"Content-Length: 50\r\n",
    "bad Content-Length": b"Content-Length: x\r\n",
    "Transfer-Encoding": b"Transfer-Encoding: chunked\r\n",
    "bad Transfer-Encoding": b"Transfer-Encoding: gzip\r\n",
}


def in_chunks(body: bytes) -> bytes:
    return post(CHUNKED, body=body)


def chunks() -> Iterator[Case]:
    for size in SIZES:
        body = size.encode("latin-1") + b"\r\nhello\r\n0\r\n\r\n"
        yield Case(f"chunk size {size[:20]!r} of {len(size)}", "9112 7.1", in_chunks(body), either=(413,))
    for name, end in ENDS.items():
        yield Case(f"end of a chunk: {name}", "9112 7.1", in_chunks(b"5\r\n" + end))
    for value in CONTROLS:
        if value not in b"\t\x20":
            extension = b"5;a=" + bytes([value]) + b"b\r\nhello\r\n0\r\n\r\n"
            yield Case(f"chunk extension with {byte(value)}", "9112 7.1.1", in_chunks(extension))
            quoted = b'5;a="' + bytes([value]) + b'"\r\nhello\r\n0\r\n\r\n'
            yield Case(f"quoted chunk extension with {byte(value)}", "9112 7.1.1", in_chunks(quoted))
    for name, extension in {
        "ended by LF": b"5;a\nhello\r\n0\r\n\r\n",
        "ended by CR": b"5;a\rhello\r\n0\r\n\r\n",
        "ended by two CR": b"5;a\r\r\nhello\r\n0\r\n\r\n",
        "value ended by LF": b"5;a=b\nhello\r\n0\r\n\r\n",
        "value ended by CR": b"5;a=b\rhello\r\n0\r\n\r\n",
        "quote without end": b'5;a="b\r\nhello\r\n0\r\n\r\n',
        "of the last chunk, ended by LF": b"5\r\nhello\r\n0;a\n\r\n",
        "hides a request": b"5;\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n\r\nhello\r\n0\r\n\r\n",
        "of no size": b";a=b\r\nhello\r\n0\r\n\r\n",
    }.items():
        yield Case(f"chunk extension {name}", "9112 7.1.1", in_chunks(extension))
    for name, trailer in TRAILERS.items():
        yield Case(f"trailer: {name}", "9112 7.1.2", in_chunks(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"))
    for name, trailer in HARMLESS_TRAILERS.items():
        message = in_chunks(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n")
        yield Case(f"trailer: {name}", "9110 6.5.1", message, (200,), closed=False)
    for name, trailer in CLOSING_TRAILERS.items():
        message = in_chunks(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n") + get()
        yield Case(f"trailer: {name}", "9110 6.5.1", message, (200,))
    for name, trailer in FRAMING_TRAILERS.items():
        message = in_chunks(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n")
        yield Case(f"trailer: {name}", "9110 6.5.1", message, (400,), either=(200,))
    yield from accepted(
        "9112 7.1",
        "chunks",
        [
            ("zeros before the size", in_chunks(b"0005\r\nhello\r\n000\r\n\r\n")),
            ("size in capitals", in_chunks(b"A\r\nhellohello\r\n0\r\n\r\n")),
            ("extension", in_chunks(b"5;a\r\nhello\r\n0\r\n\r\n")),
            ("extension with a value", in_chunks(b"5;a=b;c=d\r\nhello\r\n0;e\r\n\r\n")),
            ("extension with a quoted value", in_chunks(b'5;a="b c"\r\nhello\r\n0\r\n\r\n')),
            ("extension with a quoted quote", in_chunks(b'5;a="\\""\r\nhello\r\n0\r\n\r\n')),
        ],
    )


# --- connections (RFC 9112, section 9) --------------------------------------------------------------------------------


def connections() -> Iterator[Case]:
    good = get(target="/behind")
    closing = {
        "close": get("Connection: close"),
        "close in capitals": get("Connection: CLOSE"),
        "close in a list": get("Connection: keep-alive, close"),
        "close first in a list": get("Connection: close, keep-alive"),
        "close in a second header": get("Connection: keep-alive", "Connection: close"),
        "close behind a name": get("Connection: x-name,close"),
        "HTTP/1.0": request("GET / HTTP/1.0"),
        "HTTP/1.0 and a body": request("POST / HTTP/1.0", "Content-Length: 5", body=b"hello"),
        "HTTP/1.0 and chunks": request("POST / HTTP/1.0", CHUNKED, "Connection: keep-alive", body=HELLO),
        "HTTP/1.0 and chunks of a proxy": request(
            "POST / HTTP/1.0", CHUNKED, "Proxy-Connection: keep-alive", body=HELLO
        ),
        "HTTP/1.0 of a proxy and 100-continue": request(
            "POST / HTTP/1.0", "Content-Length: 5", "Proxy-Connection: close", "Expect: 100-continue", body=b"hello"
        ),
        "HTTP/1.0 and a body, behind it a bad request": request(
            "POST / HTTP/1.0", "Content-Length: 5", body=b"hello\0"
        ),
    }
    for name, message in closing.items():
        yield Case(f"nothing behind it is answered: {name}", "9112 9.3", message + good, (200,))
    for name, lines in {
        "empty": ["Connection:"],
        "commas": ["Connection: , ,"],
        "closed": ["Connection: closed"],
        "upgrade without Upgrade": ["Connection: upgrade"],
        "unknown Upgrade": ["Connection: upgrade", "Upgrade: TLS/1.0"],
        "settings of HTTP/2": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"],
        "of a proxy": ["Proxy-Connection: keep-alive"],
        "unknown expectation": ["Expect: 200-ok"],
    }.items():
        yield Case(f"connection: {name}", "9110 7.6.1", get(*lines), (200,), closed=False, either=(417,))
    kept = request("GET / HTTP/1.0", "Connection: keep-alive")
    yield Case("HTTP/1.0 that is kept", "9112 9.3", kept, (200,), closed=False)
    kept = request("GET / HTTP/1.0", "Proxy-Connection: keep-alive")
    yield Case("HTTP/1.0 that is kept for a proxy", "9112 C.2.2", kept, (200,), closed=False)
    for name, data in {
        "a byte": b"hello!",
        "a line": b"hello\r\nx\r\n",
        "another body": b"hellohello",
        "chunks": b"hello" + HELLO,
        "NUL": b"hello\0",
    }.items():
        message = post("Content-Length: 5", body=data) + b"\r\n\r\n"
        yield Case(f"longer than its length: {name}", "9112 6.3", message, (200, 400))
    behind = HELLO + b"0\r\n\r\n"
    yield Case("longer than its chunks", "9112 7.1", post(CHUNKED, body=behind), (200, 400))
    yield Case("a body that is not announced", "9112 6.3", post(body=b"hello\r\n\r\n"), (200, 400))
    yield Case("a request in a body", "9112 6.3", post(f"Content-Length: {len(good)}", body=good), (200,), closed=False)
    yield Case("a request in chunks", "9112 6.3", in_chunks(chunked(good)), (200,), closed=False)


REQUESTS: list[Case] = [
    *request_lines(),
    *targets(),
    *headers(),
    *hosts(),
    *framing(),
    *chunks(),
    *connections(),
]


# --- handshakes of WebSockets (RFC 6455, sections 4.1 and 4.2) --------------------------------------------------------


def handshake(*more: str, line: str = "GET /ws HTTP/1.1", **changed: str) -> bytes:
    """A handshake with some of its headers changed: `key`, `version`, `upgrade`, `connection`."""
    values = {"connection": "Upgrade", "upgrade": "websocket", "key": KEY, "version": "13", **changed}
    return request(
        line,
        f"Connection: {values['connection']}",
        f"Upgrade: {values['upgrade']}",
        f"Sec-WebSocket-Key: {values['key']}",
        f"Sec-WebSocket-Version: {values['version']}",
        *more,
    )


KEYS = {
    "empty": "",
    "one letter": "a",
    "15 bytes": "AAAAAAAAAAAAAAAAAAAA",
    "17 bytes": "AAAAAAAAAAAAAAAAAAAAAAA=",
    "18 bytes": "A" * 24,
    "no padding": KEY[:-2],
    "half a padding": KEY[:-1],
    "too much padding": KEY + "=",
    "padding first": "==" + KEY[:-2],
    "blank within": KEY[:5] + " " + KEY[6:],
    "tab within": KEY[:5] + "\t" + KEY[6:],
    "two keys": f"{KEY}, {KEY}",
    "of a URL": "_" * 22 + "==",
    "quoted": f'"{KEY}"',
    "above 127": "\xe9" * 24,
    "hexadecimal": "0123456789abcdef0123456789abcdef",
    "long": "A" * 4000,
}
WS_VERSIONS = [
    "",
    "0",
    "1",
    "7",
    "12",
    "12, 13",
    "13, 8",
    "13.0",
    "013",
    "+13",
    "-13",
    "0x0d",
    "255",
    "1e1",
    "\xb9\xb3",
]
PROTOCOLS = ["a\tb c", '"a"', "a/b", "a;b", "a=b", "(a)", "a@b", "[a]", "{a}", "a:b", "<a>", "a?b", "\xe9", "a\\b"]
EXTENSIONS = [
    *("a b", "a;", ";a", "a;b c", "a;=", "a;b=", "a;b=,", '"a"', "a;b=\x22c", "a/b", "a;b=c d", "(a)", "@"),
    *("permessage-deflate;", "permessage-deflate; server_max_window_bits=", "permessage-deflate;;", "\xe9"),
]


def handshakes() -> Iterator[Case]:
    yield from refused("6455 4.2.1", "key", ((name, handshake(key=key)) for name, key in KEYS.items()))
    for version in WS_VERSIONS:
        yield Case(f"version of WebSockets: {version!r}", "6455 4.4", handshake(version=version), (426,), either=(400,))
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        yield Case(f"handshake by {method}", "6455 4.1", handshake(line=f"{method} /ws HTTP/1.1"))
    for value in PROTOCOLS:
        yield Case(f"subprotocol {value!r}", "6455 4.1", handshake(f"Sec-WebSocket-Protocol: {value}"))
    for value in EXTENSIONS:
        yield Case(f"extension {value!r}", "6455 9.1", handshake(f"Sec-WebSocket-Extensions: {value}"))
    for name, data in {
        "with a body": handshake("Content-Length: 5") + b"hello",
        "with a long body": handshake("Content-Length: 5000") + b"hello",
        "with chunks": handshake(CHUNKED) + HELLO,
        "in HTTP/1.0": handshake(line="GET /ws HTTP/1.0"),
        "with both framings": handshake("Content-Length: 5", CHUNKED) + HELLO,
        "with a bad length": handshake("Content-Length: x"),
        "with two Hosts": handshake("Host: test"),
        "with a control character": handshake("X-Name: a\x01b"),
        "folded": handshake("X-Name: a", " b"),
    }.items():
        yield Case(f"handshake {name}", "6455 4.2.1", data)
    of_proxy = request("GET / HTTP/1.1", "Proxy-Connection: Upgrade", *UPGRADE[1:])
    yield Case("handshake of a proxy's Connection", "9110 7.8", of_proxy, (426,), either=(400,))
    for name, data in {
        "without Connection": request("GET / HTTP/1.1", *UPGRADE[1:]),
        "without Upgrade": request("GET / HTTP/1.1", UPGRADE[0], *UPGRADE[2:]),
        "that is half named": handshake(upgrade="websock"),
        "of another protocol": handshake(upgrade="websocket2"),
        "that is kept": handshake(connection="keep-alive"),
    }.items():
        yield Case(f"no handshake: {name}", "9110 7.8", data, (200,), closed=False)


HANDSHAKES: list[Case] = list(handshakes())


# --- frames of WebSockets (RFC 6455, section 5) -----------------------------------------------------------------------


class FrameCase(NamedTuple):
    """What is sent behind a handshake, and the code of the close frame that answers it, None for no close."""

    name: str
    rfc: str
    data: bytes
    code: int | None


OPCODES = {CONTINUATION: "continuation", TEXT: "text", BINARY: "bytes", CLOSE: "close", PING: "ping", PONG: "pong"}
LIMIT = 1000  # bytes of a message that the server of these cases takes
BEGUN = frame(TEXT, b"begun", fin=False)
NO_UTF8 = {
    "continuation byte alone": b"\x80",
    "continuation bytes": b"\xbf\xbf",
    "two bytes cut off": b"\xc3",
    "three bytes cut off": b"\xe2\x82",
    "four bytes cut off": b"\xf0\x9f\x98",
    "no continuation": b"\xc3a",
    "overlong slash": b"\xc0\xaf",
    "overlong NUL": b"\xc0\x80",
    "overlong in three": b"\xe0\x80\xaf",
    "overlong in four": b"\xf0\x80\x80\xaf",
    "overlong in five": b"\xf8\x80\x80\x80\xaf",
    "overlong in six": b"\xfc\x80\x80\x80\x80\xaf",
    "largest overlong in two": b"\xc1\xbf",
    "largest overlong in three": b"\xe0\x9f\xbf",
    "largest overlong in four": b"\xf0\x8f\xbf\xbf",
    "first surrogate": b"\xed\xa0\x80",
    "last surrogate": b"\xed\xbf\xbf",
    "pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "above the last letter": b"\xf4\x90\x80\x80",
    "0xf5": b"\xf5\x80\x80\x80",
    "0xfe": b"\xfe",
    "UTF-16": b"\xff\xfeh\x00",
    "Latin-1": b"caf\xe9",
}


def frames() -> Iterator[FrameCase]:
    for opcode, kind in OPCODES.items():
        for reserved in range(1, 8):
            yield FrameCase(f"{kind}, reserved bits {reserved}", "6455 5.2", frame(opcode, reserved=reserved), 1002)
        yield FrameCase(f"{kind} that is not masked", "6455 5.1", frame(opcode, b"hi", mask=None), 1002)
        within = BEGUN + frame(opcode, b"hi", mask=None)
        yield FrameCase(f"{kind} within a message, not masked", "6455 5.1", within, 1002)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        for name, data in {
            "with data": frame(opcode, b"hi"),
            "in a fragment": frame(opcode, b"hi", fin=False),
            "within a message": BEGUN + frame(opcode),
            "of 16 bits": frame(opcode, bytes(200)),
            "with a reserved bit": frame(opcode, reserved=4),
        }.items():
            yield FrameCase(f"reserved opcode {opcode} {name}", "6455 5.2", data, 1002)
    for opcode in (CLOSE, PING, PONG):
        kind = OPCODES[opcode]
        for size in (126, 127, 65535, 65536):
            yield FrameCase(f"{kind} of {size} bytes", "6455 5.5", frame(opcode, b"\x03\xe8" + bytes(size - 2)), 1002)
        yield FrameCase(f"{kind} in a fragment", "6455 5.5", frame(opcode, b"\x03\xe8", fin=False), 1002)
        yield FrameCase(f"{kind} in a fragment, within", "6455 5.5", BEGUN + frame(opcode, fin=False), 1002)
    for name, text in NO_UTF8.items():
        yield FrameCase(f"text: {name}", "6455 8.1", frame(TEXT, text), 1007)
        yield FrameCase(f"text behind letters: {name}", "6455 8.1", frame(TEXT, "ü".encode() * 20 + text), 1007)
        last = BEGUN + frame(CONTINUATION, text)
        yield FrameCase(f"last fragment: {name}", "6455 8.1", last, 1007)
        cut = frame(TEXT, text[:1], fin=False) + frame(CONTINUATION, text[1:])
        yield FrameCase(f"cut by fragments: {name}", "6455 8.1", cut, 1007)
        yield FrameCase(f"reason: {name}", "6455 5.5.1", close(1000, text), 1007)
    for code in (1, 500, 998, 1004, 1005, 1006, 1015, 1017, 1999, 2001, 65534):
        yield FrameCase(f"close code {code} with a reason", "6455 7.4.1", close(code, b"reason"), 1002)
    for name, data, code in (
        ("continuation of nothing, in a fragment", frame(CONTINUATION, b"hi", fin=False), 1002),
        ("continuation behind a message", frame(TEXT, b"hi") + frame(CONTINUATION, b"hi"), 1002),
        ("continuation behind a ping", frame(PING) + frame(CONTINUATION, b"hi"), 1002),
        ("text within bytes", frame(BINARY, b"a", fin=False) + frame(TEXT, b"b"), 1002),
        ("bytes within text", BEGUN + frame(BINARY, b"b"), 1002),
        ("HTTP instead of frames", get(), 1002),
        ("zeros", bytes(10), 1002),
        ("ones", b"\xff" * 10, 1002),
        ("masked length of the highest bit", b"\x82\xff\x80" + bytes(7) + b"\0\0\0\0", 1009),
        ("largest length", b"\x82\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0", 1009),
        ("one byte over the limit", frame(BINARY, bytes(LIMIT + 1)), 1009),
        ("head of a text over the limit", frame(TEXT, b"x" * (LIMIT + 1))[:8], 1009),
        ("over the limit in two", frame(BINARY, bytes(LIMIT), fin=False) + frame(CONTINUATION, b"x"), 1009),
        ("nothing behind a close", close(1000) + frame(TEXT, b"hi") + frame(3), 1000),
        ("as large as the limit", frame(BINARY, bytes(LIMIT)), None),
        ("largest letter", frame(TEXT, b"\xf4\x8f\xbf\xbf"), None),
        ("letter next to the surrogates", frame(TEXT, b"\xed\x9f\xbf\xee\x80\x80"), None),
        ("letter cut by fragments", frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"\xbc"), None),
        ("pong that nobody asked for", frame(PONG, b"hi"), None),
        ("ping of 125 bytes", frame(PING, bytes(125)), None),
        ("mask of zeros", frame(TEXT, b"hi", mask=bytes(4)), None),
    ):
        yield FrameCase(name, "6455 5", data, code)


FRAMES: list[FrameCase] = list(frames())
