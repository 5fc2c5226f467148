def plain_json(obj: object) -> bytes | None:
    """Encode a plain tree as JSON (RFC 8259), or return None when `obj` is not one.

    A plain tree consists of exactly dict (keys exactly str, none starting with "_sa"), list, tuple, str, int, bool,
    None and finite float, with at most 64 containers inside each other. Never plain are subclasses, cycles, lone
    surrogates and integers with more digits than `sys.get_int_max_str_digits()`.

    The bytes are those of `json.dumps(obj, ensure_ascii=False, separators=(",", ":"))`, except for the spelling of
    floats that have an exponent there: 1e16 is `1e16` instead of `1e+16`, 1e-7 is `1e-7` instead of `1e-07`, 1e-5 is
    `0.00001`. The value read back is the same, bit for bit.
    """
