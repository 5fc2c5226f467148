def check_headers(headers: list[tuple[bytes, bytes]]) -> int:
    """Refuse response headers that would break the message's framing (RFC 9110, section 5.5); 0 when all are good.

    Raises ValueError for a name with a character that no token has (control characters, space, colon, bytes above 126)
    or a value with a control character other than tab; TypeError for anything but bytes; ValueError or TypeError for
    an item that is not a pair.
    """
