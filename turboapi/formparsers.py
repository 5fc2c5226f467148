"""Form bodies to `FormData`: `application/x-www-form-urlencoded` and `multipart/form-data` (RFC 7578).

Both parsers take the headers and the body stream and have one coroutine, `parse()`. They raise `MultiPartException`
for a malformed body and as soon as a limit is passed. The syntax is read by `python-multipart`, which calls the `on_…`
methods with slices of the chunk being fed; it is optional, and making a parser without it is an AssertionError.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby
from operator import itemgetter
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import unquote_plus

from typing_extensions import deprecated

from turboapi.datastructures import FormData, Headers, StarletteUploadFile
from turboapi.exceptions import MultiPartException, StarletteDeprecationWarning

if TYPE_CHECKING:
    import python_multipart as multipart
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import parse_options_header
else:
    try:
        import python_multipart as multipart
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import parse_options_header
    except ModuleNotFoundError:
        multipart = parse_options_header = None

__all__ = [
    "FormMessage",
    "FormParser",
    "MultiPartException",
    "MultiPartParser",
    "MultipartPart",
    "parse_options_header",
]

_WRITE_SIZE = (
    1024 * 1024
)  # of file contents held back: a file on disk is written by a thread, and the way there is not free

MISSING_MULTIPART = (
    "The `python-multipart` library must be installed to use form parsing. "
    'It comes with `pip install "turboapi[forms]"`.'
)


@deprecated(
    "`FormMessage` is deprecated and will be removed in a future version.",
    category=StarletteDeprecationWarning,
    stacklevel=2,
)
class FormMessage(Enum):
    """Kinds of parser events; nothing uses them any more."""

    FIELD_START = 1
    FIELD_NAME = 2
    FIELD_DATA = 3
    FIELD_END = 4
    END = 5


@dataclass
class MultipartPart:
    """The part being read: a field collects its bytes in `data`, an upload writes them to `file`."""

    content_disposition: bytes | None = None
    field_name: str = ""
    data: bytearray = field(default_factory=bytearray)
    file: StarletteUploadFile | None = None
    item_headers: list[tuple[bytes, bytes]] = field(default_factory=list)


def _user_safe_decode(src: bytes | bytearray, codec: str) -> str:
    """Decode what a client sent; bytes that do not suit its charset are read as latin-1, which never fails."""
    try:
        return src.decode(codec)
    except (UnicodeError, LookupError):
        return src.decode("latin-1")


def _codec_name(charset: str | bytes) -> str:
    try:
        return codecs.lookup(charset if isinstance(charset, str) else charset.decode("latin-1")).name
    except (LookupError, ValueError):
        return "latin-1"


def _in_kilobytes(size: int) -> str:
    return f"{int(size / 1024)}KB"


class FormParser:
    """Reads an urlencoded body. `max_part_size` bounds name and value of one field together, in encoded bytes."""

    def __init__(
        self,
        headers: Headers,
        stream: AsyncGenerator[bytes, None],
        *,
        max_fields: int | float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> None:
        assert multipart is not None, MISSING_MULTIPART
        self.headers = headers
        self.stream = stream
        self.max_fields = max_fields
        self.max_part_size = max_part_size
        self._current_field_size = 0
        self._current_fields = 0
        self._field_name = bytearray()
        self._field_value = bytearray()
        self._items: list[tuple[str, str | StarletteUploadFile]] = []

    def on_field_start(self) -> None:
        self._current_field_size = 0
        self._field_name = bytearray()
        self._field_value = bytearray()

    def on_field_name(self, data: bytes, start: int, end: int) -> None:
        self._count_bytes(end - start)
        self._field_name += data[start:end]

    def on_field_data(self, data: bytes, start: int, end: int) -> None:
        self._count_bytes(end - start)
        self._field_value += data[start:end]

    def _count_bytes(self, count: int) -> None:
        self._current_field_size += count
        if self._current_field_size > self.max_part_size:
            raise MultiPartException(f"Field exceeded maximum size of {_in_kilobytes(self.max_part_size)}.")

    def on_field_end(self) -> None:
        self._current_fields += 1
        if self._current_fields > self.max_fields:
            raise MultiPartException(f"Too many fields. Maximum number of fields is {self.max_fields}.")
        name = unquote_plus(self._field_name.decode("latin-1"))
        value = unquote_plus(self._field_value.decode("latin-1"))
        self._items.append((name, value))

    async def parse(self) -> FormData:
        """Read the stream to its end and return the fields."""
        parser = multipart.QuerystringParser(
            {
                "on_field_start": self.on_field_start,
                "on_field_name": self.on_field_name,
                "on_field_data": self.on_field_data,
                "on_field_end": self.on_field_end,
            }
        )
        async for chunk in self.stream:
            parser.write(chunk)
        parser.finalize()
        return FormData(self._items)


class MultiPartParser:
    """Reads a multipart body. Fields are kept as text, files go to temporary files that leave memory when they grow.

    `max_files` and `max_fields` bound the number of parts with and without a file name, `max_part_size` the bytes of a
    field. Files have no size limit of their own: that is what a limit on the whole body is for.
    """

    spool_max_size = 1024 * 1024
    """Size in bytes from which a file is kept on disk."""
    max_part_size = 1024 * 1024
    """Largest accepted field, in bytes."""

    def __init__(
        self,
        headers: Headers,
        stream: AsyncGenerator[bytes, None],
        *,
        max_files: int | float = 1000,
        max_fields: int | float = 1000,
        max_part_size: int = 1024 * 1024,
    ) -> None:
        assert multipart is not None, MISSING_MULTIPART
        self.headers = headers
        self.stream = stream
        self.max_files = max_files
        self.max_fields = max_fields
        self.max_part_size = max_part_size
        self.items: list[tuple[str, str | StarletteUploadFile]] = []
        self._current_files = 0
        self._current_fields = 0
        self._current_partial_header_name = b""
        self._current_partial_header_value = b""
        self._current_part = MultipartPart()
        self._charset = ""
        # The parser's callbacks cannot await, so what they have for the files waits here until the chunk is parsed.
        self._file_parts_to_write: list[tuple[StarletteUploadFile, memoryview]] = []
        self._unwritten = 0
        self._file_parts_to_finish: list[StarletteUploadFile] = []
        self._files_to_close_on_error: list[SpooledTemporaryFile[bytes]] = []

    def on_part_begin(self) -> None:
        self._current_part = MultipartPart()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._current_part
        if part.file is not None:
            self._file_parts_to_write.append((part.file, memoryview(data)[start:end]))
            self._unwritten += end - start
            return
        if len(part.data) + end - start > self.max_part_size:
            raise MultiPartException(f"Part exceeded maximum size of {_in_kilobytes(self.max_part_size)}.")
        part.data.extend(data[start:end])

    def on_part_end(self) -> None:
        part = self._current_part
        if part.file is None:
            self.items.append((part.field_name, _user_safe_decode(part.data, self._charset)))
        else:
            self._file_parts_to_finish.append(part.file)
            self.items.append((part.field_name, part.file))
        self._current_part = MultipartPart()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._current_partial_header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._current_partial_header_value += data[start:end]

    def on_header_end(self) -> None:
        name, value = self._current_partial_header_name.lower(), self._current_partial_header_value
        if name == b"content-disposition":
            self._current_part.content_disposition = value
        self._current_part.item_headers.append((name, value))
        self._current_partial_header_name = self._current_partial_header_value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._current_part.content_disposition)
        if b"name" not in options:
            raise MultiPartException('The Content-Disposition header field "name" must be provided.')
        self._current_part.field_name = _user_safe_decode(options[b"name"], self._charset)
        if b"filename" in options:
            self._begin_file(_user_safe_decode(options[b"filename"], self._charset))
            return
        self._current_fields += 1
        if self._current_fields > self.max_fields:
            raise MultiPartException(f"Too many fields. Maximum number of fields is {self.max_fields}.")

    def _begin_file(self, filename: str) -> None:
        self._current_files += 1
        if self._current_files > self.max_files:
            raise MultiPartException(f"Too many files. Maximum number of files is {self.max_files}.")
        tempfile = SpooledTemporaryFile(max_size=self.spool_max_size)  # noqa: SIM115 (the form owns it)
        self._files_to_close_on_error.append(tempfile)
        self._current_part.file = StarletteUploadFile(
            file=cast(BinaryIO, tempfile),
            size=0,
            filename=filename,
            headers=Headers(raw=self._current_part.item_headers),
        )

    def on_end(self) -> None:
        pass

    def _boundary(self) -> bytes | str:
        """The boundary of the Content-Type header; its charset is noted on the way."""
        _, params = parse_options_header(self.headers["Content-Type"])
        self._charset = _codec_name(params.get(b"charset", "utf-8"))
        if b"boundary" not in params:
            raise MultiPartException("Missing boundary in multipart.")
        return params[b"boundary"]

    async def parse(self) -> FormData:
        """Read the stream to its end and return fields and files, the files rewound. On any error they are closed."""
        boundary = self._boundary()
        try:
            await self._feed(boundary)
        except BaseException as exc:
            for file in self._files_to_close_on_error:
                file.close()
            if isinstance(exc, FormParserError):
                raise MultiPartException("Invalid multipart data.") from exc
            raise
        # A body that breaks off inside a file is no error, but nobody gets that file.
        if self._current_part.file is not None:
            await self._current_part.file.close()
        return FormData(self.items)

    async def _feed(self, boundary: bytes | str) -> None:
        parser = multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self.on_part_begin,
                "on_part_data": self.on_part_data,
                "on_part_end": self.on_part_end,
                "on_header_field": self.on_header_field,
                "on_header_value": self.on_header_value,
                "on_header_end": self.on_header_end,
                "on_headers_finished": self.on_headers_finished,
                "on_end": self.on_end,
            },
        )
        async for chunk in self.stream:
            parser.write(chunk)
            if self._unwritten >= _WRITE_SIZE or self._file_parts_to_finish:
                await self._write_files()
        parser.finalize()

    async def _write_files(self) -> None:
        for file, parts in groupby(self._file_parts_to_write, key=itemgetter(0)):
            await file._write_parts([data for _, data in parts])
        for file in self._file_parts_to_finish:
            await file.seek(0)
        self._file_parts_to_write.clear()
        self._file_parts_to_finish.clear()
        self._unwritten = 0
