def plain_json(obj: object, as_python: bool = True) -> bytes | None:
    """Encode a plain tree as JSON (RFC 8259), or return None when `obj` is not one.

    A plain tree consists of exactly dict (keys exactly str, none starting with "_sa"), list, tuple, str, int, bool,
    None and finite float, with at most 64 containers inside each other. Never plain are subclasses, cycles, lone
    surrogates and integers with more digits than `sys.get_int_max_str_digits()`.

    The bytes are those of `json.dumps(obj, ensure_ascii=False, separators=(",", ":"))`. Where a float has an exponent
    there (1e+16, 1e-05), pydantic spells it otherwise: with `as_python` false, the answer to such a tree is None.
    """

class Shape:
    """The exact type of a value that is written as JSON by what it holds, and the shapes of what is in it."""

    def __init__(self, kind: type, *, items: Shape | None = None, fields: dict[str, Shape] | None = None) -> None:
        """A shape.

        kind: str, int, float, bool, NoneType, list or dict (with `items`), or a pydantic model (with `fields`).
        """

    def or_none(self) -> Shape:
        """The same shape, or None."""

def models_json(shape: Shape, value: object) -> bytes | None:
    """Encode a value as JSON (RFC 8259), or return None when it has not the shape, or cannot be written so.

    The bytes are those of pydantic's serializer. Never of the shape are subclasses, models with other attributes than
    their fields, and floats that are not finite or would have an exponent.
    """
