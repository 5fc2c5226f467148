import asyncio
import codecs
import importlib.util
import inspect
import sys
import threading
import warnings
from collections.abc import AsyncGenerator, Sequence
from tempfile import SpooledTemporaryFile
from typing import Any

import pytest
import starlette.formparsers
from hypothesis import given, settings
from hypothesis import strategies as st

from turboapi import formparsers
from turboapi.datastructures import Headers, StarletteUploadFile
from turboapi.exceptions import MultiPartException, StarletteDeprecationWarning
from turboapi.formparsers import FormParser, MultiPartParser

reference = starlette.formparsers
MULTIPART = "multipart/form-data; boundary=b"


async def chunks(body: bytes, size: int) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def described(form: Any) -> list[Any]:
    """A form as plain values: (name, text) or (name, (file name, size, content, headers, position after parsing))."""
    items: list[Any] = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            items.append((name, value))
            continue
        position = value.file.tell()
        items.append((name, (value.filename, value.size, await value.read(), value.headers.raw, position)))
    await form.close()
    return items


def parse(
    parser_class: Any, body: bytes, content_type: str = MULTIPART, chunk_size: int = 1 << 16, **limits: Any
) -> list[Any]:
    async def run() -> list[Any]:
        headers = Headers({"Content-Type": content_type})
        parser = parser_class(headers, chunks(body, chunk_size), **limits)
        return await described(await parser.parse())

    return asyncio.run(run())


def outcome(parser_class: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return parse(parser_class, *args, **kwargs)
    except Exception as error:
        return type(error).__name__, str(error)


def same_as_reference(name: str, *args: Any, **kwargs: Any) -> Any:
    ours = outcome(getattr(formparsers, name), *args, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it forgets a file in which the body breaks off
        assert ours == outcome(getattr(reference, name), *args, **kwargs)
    return ours


def part(name: str, content: bytes, *, filename: str | None = None, headers: bytes = b"") -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
    return b"--b\r\nContent-Disposition: " + disposition.encode() + b"\r\n" + headers + b"\r\n" + content + b"\r\n"


END = b"--b--\r\n"
CHUNK_SIZES = st.sampled_from([1, 2, 7, 1000])

# --- urlencoded ---


@given(st.text("ab=&;+%C3A9é", max_size=24).map(str.encode), CHUNK_SIZES)
@settings(max_examples=200)
def test_urlencoded_body_gives_the_references_pairs(body: bytes, chunk_size: int) -> None:
    same_as_reference("FormParser", body, chunk_size=chunk_size)


def test_urlencoded_fields_are_decoded_and_kept_in_order() -> None:
    assert parse(FormParser, b"a=1&b=x+y%26&a=%C3%A9&c") == [("a", "1"), ("b", "x y&"), ("a", "é"), ("c", "")]


@pytest.mark.parametrize(
    ("body", "limits", "message"),
    [
        (b"a=1&b=2&c=3", {"max_fields": 2}, "Too many fields. Maximum number of fields is 2."),
        (b"a=" + b"x" * 2048, {"max_part_size": 2048}, "Field exceeded maximum size of 2KB."),
        (b"x" * 2049 + b"=a", {"max_part_size": 2048}, "Field exceeded maximum size of 2KB."),
    ],
)
@pytest.mark.parametrize("chunk_size", [100, 1 << 16])
def test_urlencoded_limits_stop_the_parser(body: bytes, limits: dict[str, int], message: str, chunk_size: int) -> None:
    assert same_as_reference("FormParser", body, chunk_size=chunk_size, **limits) == ("MultiPartException", message)


@pytest.mark.parametrize("limits", [{"max_fields": 3}, {"max_fields": float("inf")}, {"max_part_size": 2}])
def test_urlencoded_body_at_its_limit_is_accepted(limits: dict[str, Any]) -> None:
    assert parse(FormParser, b"a=1&b=2&c=3", **limits) == [("a", "1"), ("b", "2"), ("c", "3")]


def test_urlencoded_field_is_not_collected_beyond_its_limit() -> None:
    parser = FormParser(Headers(), chunks(b"a=" + b"x" * 100_000, 50), max_part_size=1024)
    with pytest.raises(MultiPartException):
        asyncio.run(parser.parse())
    assert len(parser._field_value) <= 1024


# --- multipart ---

PARTS = st.lists(
    st.builds(
        part,
        st.text("ab é", min_size=1, max_size=3),
        st.binary(max_size=8) | st.sampled_from([b"\r\n", b"--b", b"\r\n--", b"\xff\xfe"]),
        filename=st.none() | st.text("a.é", max_size=4),
        headers=st.sampled_from([b"", b"Content-Type: text/plain\r\n", b"X-Custom: 1\r\nx-custom: 2\r\n"]),
    ),
    max_size=4,
)


@given(PARTS, CHUNK_SIZES)
@settings(max_examples=200)
def test_multipart_body_gives_the_references_form(parts: list[bytes], chunk_size: int) -> None:
    same_as_reference("MultiPartParser", b"".join(parts) + END, chunk_size=chunk_size)


@given(PARTS, st.integers(0, 400), st.binary(max_size=2), CHUNK_SIZES)
@settings(max_examples=200)
def test_damaged_multipart_body_fails_like_the_reference(
    parts: list[bytes], place: int, damage: bytes, chunk_size: int
) -> None:
    body = b"".join(parts) + END
    place %= len(body)
    same_as_reference("MultiPartParser", body[:place] + damage + body[place + 1 :], chunk_size=chunk_size)


def test_fields_and_files_keep_their_order_and_headers() -> None:
    body = (
        part("a", b"1")
        + part("f", b"\x00\xff", filename="f.bin", headers=b"Content-Type: x/y\r\nX-Twice: 1\r\nX-Twice: 2\r\n")
        + part("a", "é".encode())
        + END
    )
    [first, file, last] = parse(MultiPartParser, body, chunk_size=3)
    assert (first, last) == (("a", "1"), ("a", "é"))
    name, (filename, size, content, headers, position) = file
    assert (name, filename, size, content, position) == ("f", "f.bin", 2, b"\x00\xff", 0)
    assert headers[1:] == [(b"content-type", b"x/y"), (b"x-twice", b"1"), (b"x-twice", b"2")]


@pytest.mark.parametrize(
    ("body", "limits", "message"),
    [
        (part("a", b"") * 3, {"max_fields": 2}, "Too many fields. Maximum number of fields is 2."),
        (part("a", b"", filename="f") * 3, {"max_files": 2}, "Too many files. Maximum number of files is 2."),
        (part("a", b"x" * 2049), {"max_part_size": 2048}, "Part exceeded maximum size of 2KB."),
        (
            part("a", b"x").replace(b"name=", b"nome="),
            {},
            'The Content-Disposition header field "name" must be provided.',
        ),
        (b"--b\r\n\r\nx\r\n", {}, 'The Content-Disposition header field "name" must be provided.'),
        (b"no boundary in here", {}, "Invalid multipart data."),
        (part("a", b"", headers=b"X: 1\r\n" * 50), {}, "Invalid multipart data."),
    ],
)
@pytest.mark.parametrize("chunk_size", [100, 1 << 16])
def test_multipart_errors_say_what_is_wrong(body: bytes, limits: dict[str, int], message: str, chunk_size: int) -> None:
    ours = same_as_reference("MultiPartParser", body + END, chunk_size=chunk_size, **limits)
    assert ours == ("MultiPartException", message)


def test_files_and_fields_have_separate_limits_and_files_no_size_limit() -> None:
    body = part("a", b"x") + part("f", b"y" * 5000, filename="f") + END
    assert len(parse(MultiPartParser, body, max_files=1, max_fields=1, max_part_size=1)) == 2


@pytest.mark.parametrize(
    ("content_type", "message"),
    [
        ("multipart/form-data", "Missing boundary in multipart."),
        ("multipart/form-data; boundary=" + "x" * 300, "Invalid multipart data."),
    ],
)
def test_unusable_boundary_is_refused(content_type: str, message: str) -> None:
    assert same_as_reference("MultiPartParser", END, content_type) == ("MultiPartException", message)


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "utf-16", "cp1252", "nonsense", "", "base64", "é"])
@pytest.mark.parametrize("content", [b"plain", "é€".encode(), b"\xe9", b"\x81"])
def test_fields_are_decoded_by_the_given_charset_or_as_latin_1(charset: str, content: bytes) -> None:
    body = part("a", content) + part("f", b"", filename="é") + END
    same_as_reference("MultiPartParser", body, f"{MULTIPART}; charset={charset}")


@pytest.mark.parametrize("charset", ["idna", "undefined", "punycode"])
def test_codec_that_only_raises_is_replaced_by_latin_1(charset: str) -> None:
    assert parse(MultiPartParser, part("a", b"xn--\xff") + END, f"{MULTIPART}; charset={charset}")[0][1] == "xn--ÿ"


def test_unknown_charset_is_looked_up_once() -> None:
    searches: list[str] = []

    def search(name: str) -> codecs.CodecInfo | None:
        searches.append(name)
        return None

    codecs.register(search)
    try:
        parse(MultiPartParser, part("a", b"1") * 3 + END, f"{MULTIPART}; charset=unheard-of")
    finally:
        codecs.unregister(search)
    assert len(searches) == 1


class NotingFile(SpooledTemporaryFile[bytes]):
    """A temporary file that notes the threads in which it left memory, and can be made to fail."""

    made: list["NotingFile"] = []
    fail = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rolled_in: list[int] = []
        self.made.append(self)

    def write(self, data: Any) -> int:
        if self.fail:
            raise OSError("disk full")
        return super().write(data)

    def rollover(self) -> None:
        self.rolled_in.append(threading.get_ident())
        super().rollover()


@pytest.fixture
def noting_files(monkeypatch: pytest.MonkeyPatch) -> list[NotingFile]:
    monkeypatch.setattr(NotingFile, "made", [])
    monkeypatch.setattr(formparsers, "SpooledTemporaryFile", NotingFile)
    return NotingFile.made


def test_large_file_leaves_memory_in_a_worker_thread(
    noting_files: list[NotingFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MultiPartParser, "spool_max_size", 1000)
    body = part("small", b"x" * 1000, filename="s") + part("large", b"x" * 1001, filename="l") + END
    parse(MultiPartParser, body)
    small, large = noting_files
    assert small.rolled_in == []
    assert len(large.rolled_in) == 1 and large.rolled_in != [threading.get_ident()]


@pytest.mark.parametrize(
    "body", [part("f", b"x", filename="f") + b"--b garbage", part("f", b"", filename="f") * 3 + END]
)
def test_files_are_closed_when_the_body_is_refused(noting_files: list[NotingFile], body: bytes) -> None:
    with pytest.raises(MultiPartException):
        parse(MultiPartParser, body, max_files=2)
    assert noting_files and all(file.closed for file in noting_files)


def test_file_in_which_the_body_breaks_off_is_closed_and_left_out(noting_files: list[NotingFile]) -> None:
    body = part("a", b"1") + part("f", b"x", filename="f")
    assert same_as_reference("MultiPartParser", body) == [("a", "1")]
    assert [file.closed for file in noting_files] == [True]


def test_files_are_closed_when_they_cannot_be_written(
    noting_files: list[NotingFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotingFile, "fail", True)
    with pytest.raises(OSError, match="disk full"):
        parse(MultiPartParser, part("f", b"x", filename="f") + END)
    assert [file.closed for file in noting_files] == [True]


def test_files_are_closed_when_the_stream_breaks(noting_files: list[NotingFile]) -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield part("f", b"x", filename="f")
        raise KeyboardInterrupt

    async def run() -> None:
        with pytest.raises(KeyboardInterrupt):
            await MultiPartParser(Headers({"content-type": MULTIPART}), broken()).parse()

    asyncio.run(run())
    assert [file.closed for file in noting_files] == [True]


def test_large_files_are_written_in_large_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(range(256)) * 8192
    body = part("first", content, filename="a") + part("second", b"small", filename="b") + END
    sizes: list[int] = []
    write_parts = StarletteUploadFile._write_parts

    async def noted(self: StarletteUploadFile, parts: Sequence[bytes | memoryview]) -> None:
        sizes.append(sum(map(len, parts)))
        await write_parts(self, parts)

    monkeypatch.setattr(StarletteUploadFile, "_write_parts", noted)
    assert [values[2] for _, values in parse(MultiPartParser, body)] == [content, b"small"]
    assert sum(sizes) == len(content) + 5
    assert len(sizes) == 3  # two of 1 MiB or a little more or less, and the small one


def test_uploads_are_of_the_parsers_own_class() -> None:
    async def run() -> Any:
        body = chunks(part("f", b"x", filename="f") + END, 1000)
        form = await MultiPartParser(Headers({"content-type": MULTIPART}), body).parse()
        await form.close()
        return form["f"]

    assert type(asyncio.run(run())) is StarletteUploadFile


# --- the module ---


@pytest.mark.parametrize("name", ["FormParser", "MultiPartParser", "MultipartPart"])
def test_signatures_and_defaults_are_the_references(name: str) -> None:
    ours, expected = getattr(formparsers, name), getattr(reference, name)
    assert [
        (p.name, p.kind, p.default) for p in inspect.signature(ours).parameters.values() if name != "MultipartPart"
    ] == [
        (p.name, p.kind, p.default) for p in inspect.signature(expected).parameters.values() if name != "MultipartPart"
    ]
    public = [member for member in dir(expected) if not member.startswith("_")]
    assert [member for member in public if not hasattr(ours, member)] == []
    assert {member: getattr(ours, member) for member in public if isinstance(getattr(expected, member), int)} == {
        member: getattr(expected, member) for member in public if isinstance(getattr(expected, member), int)
    }


def test_form_message_is_deprecated() -> None:
    with pytest.warns(StarletteDeprecationWarning, match="`FormMessage` is deprecated") as caught:
        assert formparsers.FormMessage(1).name == "FIELD_START"
    assert caught[0].filename == __file__


def test_without_python_multipart_the_module_loads_and_parsers_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    spec = importlib.util.spec_from_file_location("formparsers_alone", formparsers.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    for parser_class in (module.FormParser, module.MultiPartParser):
        with pytest.raises(AssertionError, match=r"`python-multipart` library must be installed.*turboapi\[forms\]"):
            parser_class(Headers(), chunks(b"", 1))
