def plain_json(obj: object, as_python: bool = True) -> bytes | None:
    """Encode a plain tree as JSON (RFC 8259), or return None when `obj` is not one.

    A plain tree consists of exactly dict (keys exactly str, none starting with "_sa"), list, tuple, str, int, bool,
    None and finite float, with at most 64 containers inside each other. Never plain are subclasses, cycles, lone
    surrogates and integers with more digits than `sys.get_int_max_str_digits()`.

    The bytes are those of `json.dumps(obj, ensure_ascii=False, separators=(",", ":"))`. Where a float has an exponent
    there (1e+16, 1e-05), pydantic spells it otherwise: with `as_python` false, the answer to such a tree is None.
    """
