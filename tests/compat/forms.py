"""Strategies for handlers with form fields and files, and for forms in both encodings, in order and not."""

from urllib.parse import quote

from hypothesis import strategies as st

from tests.compat.client import Request
from tests.compat.requests import query_pairs, query_strings, texts_like

__all__ = ["form_handlers", "form_requests"]

NAMES = ("a", "b", "f")
FIELDS = ("int", "str", "bool", "float", "list[int]", "list[str]", "int | None", "Color", "set[int]", "Json[int]", "datetime", "bytes", "list[int] | None",
          "tuple[int, str]", "Decimal", "Any", "Item")  # fmt: skip
MODELS = (
    "Closed",
    "Open",
    "Filter",
    "ClosedFilter",
    "AliasedFilter",
    "ByName",
    "Required",
    "Aliased",
    "Item",
    "Checked",
    "Closed | None",
)
FILES = (
    "UploadFile",
    "bytes",
    "list[UploadFile]",
    "list[bytes]",
    "UploadFile | None",
    "bytes | None",
    "list[UploadFile] | None",
    "str",
)
KEYS = (
    "a",
    "b",
    "f",
    "x",
    "y",
    "z",
    "limit",
    "tags",
    "ids",
    "item_id",
    "Page-Size",
    "page_size",
    "x_tag",
    "name",
    "price",
    "firstName",
    "even",
    "é",
    "a b",
)
LIMITS = ("max_files=1", "max_fields=1", "max_part_size=3", "max_files=0, max_fields=2")
TEXTS = texts_like("1", "2", "a", "abcdef", "true", "red", "")

PREAMBLE = """\
async def describe(value):
    if isinstance(value, (list, tuple)):
        return [await describe(item) for item in value]
    if isinstance(value, BaseModel):
        return [show(value), show(value.model_extra), show(sorted(value.model_fields_set))]
    if not hasattr(value, "filename"):
        return show(value)
    return [type(value).__name__, value.filename, value.content_type, value.size, list(value.headers.items()), show(await value.read())]
"""


@st.composite
def _parameter(draw: st.DrawFn, name: str) -> tuple[str, bool]:
    """Return the text of a parameter, and whether it has a default."""
    marker = draw(st.sampled_from(["Form", "Form", "File"]))
    annotation = draw(st.sampled_from(FIELDS if marker == "Form" else FILES))
    if annotation == "UploadFile" and draw(st.booleans()):
        return f"{name}: UploadFile", False
    arguments = draw(
        st.sampled_from(["", "", "", 'alias="x"', "min_length=2", 'validation_alias="y"', 'media_type="text/x"'])
    )
    if "length" in arguments and annotation not in ("str", "bytes", "list[int]", "list[str]", "list[bytes]"):
        arguments = ""
    default = draw(st.sampled_from(["", "", "", " = None", " = 'd'", " = 3"]))
    return f"{name}: Annotated[{annotation}, {marker}({arguments})]{default}", bool(default)


@st.composite
def form_handlers(draw: st.DrawFn) -> str:
    """Return an application with one handler that shows its form."""
    if draw(st.integers(0, 2)) == 0:
        parameters = [(f"a: Annotated[{draw(st.sampled_from(MODELS))}, Form()]", False)]
        if draw(st.integers(0, 3)) == 0:
            parameters.append((draw(st.sampled_from(["b: int = Form(1)", "b: UploadFile = File(None)"])), True))
    else:
        names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
        parameters = [draw(_parameter(name)) for name in names]
    if draw(st.integers(0, 5)) == 0:
        parameters.append(("request: Request", False))
    names = [text.partition(":")[0] for text, _ in parameters if not text.startswith("request")]
    signature = ", ".join(text for text, _ in sorted(parameters, key=lambda pair: pair[1]))
    shown = ", ".join(f"{name!r}: await describe({name})" for name in names)
    also = (
        ", 'form': [[k, await describe(v)] for k, v in (await request.form()).multi_items()]"
        if "request:" in signature
        else ""
    )
    limits = draw(st.sampled_from([""] * 8 + [f", form_limits=dict({limit})" for limit in LIMITS]))
    on_app = draw(st.sampled_from([""] * 8 + [f"form_limits=dict({limit})" for limit in LIMITS]))
    inner = f"{PREAMBLE}app = App({on_app})\n"
    if draw(st.integers(0, 3)) == 0:
        inner += f"def dependency({signature}): return {'{'}{', '.join(f'{name!r}: show({name})' for name in names if 'UploadFile' not in signature)}{'}'}\n"
        return inner + f"@app.post('/'{limits})\ndef handler(shown: Any = Depends(dependency)): return shown"
    return inner + f"@app.post('/'{limits})\nasync def handler({signature}): return {{{shown}{also}}}"


URLENCODED = (b"application/x-www-form-urlencoded",) * 8 + (
    b"application/x-www-form-urlencoded; charset=utf-8", b"APPLICATION/X-WWW-FORM-URLENCODED", b"application/x-www-form-urlencoded;charset=latin-1", b"text/plain", b"",
)  # fmt: skip
MULTIPART = (b"multipart/form-data; boundary=B",) * 16 + (
    b'multipart/form-data; boundary="B"', b"multipart/form-data", b"multipart/form-data; boundary=X", b"Multipart/Form-Data; BOUNDARY=B", b"multipart/form-data; charset=latin-1; boundary=B",
    b"multipart/form-data;boundary=B", b"multipart/mixed; boundary=B", b"multipart/form-data; boundary=", b"multipart/form-data; boundary=B; charset=nonsense",
)  # fmt: skip
DISPOSITIONS = (b'form-data; name="%b"',) * 14 + (
    b'form-data; name="%b"; filename="n.txt"', b'form-data; name="%b"; filename="n.txt"', b'form-data; name="%b"; filename="n.txt"', b'form-data; name="%b"; filename=""', b"form-data; name=%b",
    b'form-data; name="%b"; filename="a\\"b.txt"', b"form-data; name=\"%b\"; filename*=UTF-8''%%c3%%a9.txt", b'form-data; filename="n.txt"; name="%b"', b'FORM-DATA; NAME="%b"', b'form-data; x="%b"',
    b'attachment; name="%b"', b'form-data; name="%b"; filename="\xc3\xa9.txt"', b'form-data; name="%b"; filename="../up"', b"form-data",
)  # fmt: skip
EXTRA_LINES = (b"",) * 20 + (b"Content-Type: text/plain\r\n", b"Content-Type: image/png\r\nX-Own: 1\r\n", b"Content-Type: text/plain; charset=latin-1\r\n",
                            b"content-type:application/json\r\n", b"Content-Transfer-Encoding: base64\r\n", b"broken\r\n", b" folded\r\n")  # fmt: skip
CONTENTS = (
    b"1",
    b"a",
    b"",
    b"abcdef",
    b"\xff\x00",
    b"\xc3\xa9",
    b"x\r\ny",
    b"--B",
    b"\r\n",
    b"1.5",
    b"true",
    b"y" * 5000,
)


@st.composite
def _multipart(draw: st.DrawFn) -> bytes:
    parts = []
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=4)):
        disposition = draw(st.sampled_from(DISPOSITIONS))
        name = quote(key).encode() if draw(st.integers(0, 9)) == 0 else key.encode()
        line = disposition % name if b"%b" in disposition else disposition
        content = draw(st.sampled_from(CONTENTS))
        parts.append(
            b"--B\r\nContent-Disposition: %b\r\n%b\r\n%b\r\n" % (line, draw(st.sampled_from(EXTRA_LINES)), content)
        )
    end = draw(st.sampled_from([b"--B--\r\n"] * 20 + [b"--B--", b"", b"--B\r\n", b"--B--\r\nepilogue", b"--B--\n"]))
    start = draw(st.sampled_from([b""] * 20 + [b"\r\n", b"preamble\r\n", b"--X\r\n"]))
    return start + b"".join(parts) + end


@st.composite
def form_requests(draw: st.DrawFn) -> Request:
    """Return a request with a form, or nearly one."""
    if draw(st.booleans()):
        body, kind = draw(_multipart()), draw(st.sampled_from(MULTIPART))
    else:
        keys = draw(st.lists(st.sampled_from(KEYS), max_size=4))
        body = draw(query_strings([pair for key in keys for pair in draw(query_pairs(key, TEXTS))]))
        kind = draw(st.sampled_from(URLENCODED))
    headers = ((b"content-type", kind),) if kind else ()
    return Request("POST", b"/", headers, body, draw(st.sampled_from([1, 1, 2, 3, 50])))
