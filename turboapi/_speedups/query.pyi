def parse_query(raw: bytes) -> list[tuple[str, str]]:
    """Split a query string (or an urlencoded form, WHATWG URL §5.1) into decoded pairs.

    The pairs are those of `urllib.parse.parse_qsl(raw.decode("latin-1"), keep_blank_values=True)`: "&" separates, "+"
    is a space, a name without "=" has the value "", empty pieces are dropped. Accepts any bytes: escapes that are not
    UTF-8 become U+FFFD, a raw byte above 127 is the latin-1 character of that number.
    """

def unquote_path(raw: bytes) -> str:
    """Percent-decode the path of a request target (RFC 3986 §2.1); "+" stays.

    The same as `urllib.parse.unquote(raw.decode("latin-1"))`. The HTTP parser refuses a target with a byte above 127,
    so this choice of encoding shows only to callers without that parser; it keeps every byte, as in `parse_query`.
    """

def parse_cookies(values: list[bytes]) -> dict[str, str]:
    """Merge the values of all Cookie headers (RFC 6265 §4.2); the last one of a name wins.

    Read as leniently as browsers write: a piece without "=" is the value of the empty name. Quoted values are unquoted
    as by the standard library's `http.cookies` (`\\"` is a quote, `\\054` an octal escape), in linear time.
    """

def query_get(pairs: list[tuple[str, str]], key: str) -> str | None:
    """The last value of `key`, or None. ValueError if an item is not a pair."""

def query_getlist(pairs: list[tuple[str, str]], key: str) -> list[str]:
    """All values of `key`, in order. ValueError if an item is not a pair."""
