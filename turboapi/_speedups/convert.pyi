from typing import Final

KIND_EXACT: Final = 0
"""No plain scalar: always refused."""
KIND_STR: Final = 1
KIND_INT: Final = 2
KIND_FLOAT: Final = 3
KIND_BOOL: Final = 4

REFUSED: Final[object]
"""The answer for a text that only pydantic can judge; compare by identity."""

def convert(kind: int, text: str | None) -> object:
    """Convert `text` to the plain type of `kind` (a `KIND_*`), or answer `REFUSED`.

    A value that comes out is, type and sign of zero included, what pydantic's lax validation of the text gives.
    Refused are all texts that pydantic refuses and all unusual ones (spaces, "+", "_", exponents, upper-case words,
    long numbers). Raises TypeError if `text` is neither exactly a str nor None (which is refused).
    """
