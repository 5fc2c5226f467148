"""Reading the `Authorization` header."""


def get_authorization_scheme_param(authorization_header_value: str | None) -> tuple[str, str]:
    """Split credentials (RFC 9110, section 11.4) into scheme and parameter; absent parts are empty strings."""
    if not authorization_header_value:
        return "", ""
    scheme, _, param = authorization_header_value.partition(" ")
    return scheme, param.strip()
