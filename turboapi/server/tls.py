"""TLS on the listening sockets: a context from the `ssl_*` options, and one line for a file that does not work."""

import ssl

from turboapi.server.config import ServerConfig, ServerError

ALPN = ("http/1.1",)


def open_tls(config: ServerConfig) -> ssl.SSLContext | None:
    """The context that `config` says, None without a certificate. Raises ServerError when its files do not work."""
    if config.ssl_certfile is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(ALPN)
    _load_certificate(context, config)
    if config.ssl_ca_certs is not None:
        _load_authorities(context, "ssl_ca_certs", config.ssl_ca_certs)
    context.verify_mode = ssl.VerifyMode(config.ssl_cert_reqs)
    if config.ssl_ciphers is not None:
        try:
            context.set_ciphers(config.ssl_ciphers)
        except ssl.SSLError:
            raise ServerError(f"ssl_ciphers {config.ssl_ciphers!r} names no cipher that OpenSSL has") from None
    return context


def reload_certificate(context: ssl.SSLContext, config: ServerConfig) -> None:
    """Gives new connections of `context` the certificate that is in the files now.

    Raises ServerError when they do not work; then the old one stays.
    """
    open_tls(config)  # a context would be left with one file of a pair that does not match
    _load_certificate(context, config)


def _load_certificate(context: ssl.SSLContext, config: ServerConfig) -> None:
    certificate = config.ssl_certfile or ""
    key = config.ssl_keyfile or certificate
    _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "ssl_certfile", certificate)
    try:
        # NOTE: without a function OpenSSL would ask for the password on the terminal.
        context.load_cert_chain(certificate, key, lambda: config.ssl_keyfile_password or "")
    except ssl.SSLError as exc:
        name = "ssl_certfile" if config.ssl_keyfile is None else "ssl_keyfile"
        raise ServerError(f"{name} {key!r} {_wrong_key(exc, key, config)}") from None
    except OSError as exc:
        raise ServerError(f"ssl_keyfile {key!r} cannot be read: {exc.strerror}") from None


def _wrong_key(exc: ssl.SSLError, key: str, config: ServerConfig) -> str:
    if exc.reason == "KEY_VALUES_MISMATCH":
        return f"is not the key of {config.ssl_certfile!r}"
    with open(key, "rb") as file:
        text = file.read()
    if b"PRIVATE KEY" not in text:
        return "has no private key in PEM format"
    if b"ENCRYPTED" in text:
        return "needs another ssl_keyfile_password" if config.ssl_keyfile_password else "needs ssl_keyfile_password"
    return f"cannot be used: {exc.reason or exc}"


def _load_authorities(context: ssl.SSLContext, name: str, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise ServerError(f"{name} {path!r} has no certificate in PEM format") from None
    except OSError as exc:
        raise ServerError(f"{name} {path!r} cannot be read: {exc.strerror}") from None
