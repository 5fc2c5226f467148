"""Responses as bytes. All but `last_response` is for other extensions, by `cimport`: Python sees nothing of it."""

def last_response(status: int, headers: list[tuple[bytes, bytes]], content: bytes, flags: int) -> bytes:
    """A whole response after which there is no other; the head alone where the status allows no content, such as 101.

    `headers` are checked pairs with names in lower case, without content-length: that is added here, as well as
    `connection: close`, Date and Server, unless they are there or `flags` (`Settings.write_flags`) switch them off.
    """
