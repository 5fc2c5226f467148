"""Frames of WebSockets: the oracle is the sans-I/O protocol of the `websockets` library."""

import codecs
import struct
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Opcode
from websockets.frames import Frame as LibraryFrame
from websockets.protocol import State
from websockets.server import ServerProtocol

from tests.wire.frames import BINARY, CLOSE, CONTINUATION, MASK, PING, PONG, TEXT, close, frame
from turboapi._speedups.frames import BrokenFrame, FrameReader
from turboapi._speedups.frames import frame as written
from turboapi.server.websocket import Compression

MAX_SIZE = 300

Read = tuple[list[tuple[int, str | bytes]], int | None]
"""Messages and control frames, and the close code with which the connection ends; None: it does not."""


def read(parts: list[bytes], max_size: int = MAX_SIZE) -> Read:
    """What comes out of the reader, up to the client's close."""
    reader, found = FrameReader(max_size), []
    for part in parts:
        reader.feed(part)
        try:
            while (event := reader.next()) is not None:
                if event[0] == CLOSE:
                    return found, code_of(event[1])
                found.append(event)
        except BrokenFrame as exc:
            return found, exc.code
    return found, None


def code_of(payload: Any) -> int:
    """The code with which the payload of a close frame is answered."""
    try:
        return int(Close.parse(payload).code)
    except ProtocolError:
        return 1002
    except UnicodeDecodeError:
        return 1007


class Sent(NamedTuple):
    """A frame as a client may send it, right or wrong."""

    opcode: int
    payload: bytes
    fin: bool
    mask: bytes | None
    reserved: int

    @property
    def data(self) -> bytes:
        return frame(self.opcode, self.payload, self.fin, self.mask, self.reserved)


def opcode_at(data: bytes, number: int) -> int:
    """The opcode of the frame behind `number` whole ones."""
    for _ in range(number):
        size, start = data[1] & 127, 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        data = data[start + 4 + size :]
    return data[0] & 15


def expected(data: bytes) -> Read | None:
    """The same by the library, and by Python's incremental decoder of UTF-8, which the library leaves to its users.

    None where the library is wrong: it counts a control frame within a message for its size. It may stand there (RFC
    6455, section 5.5).
    """
    library = ServerProtocol(state=State.OPEN, max_size=MAX_SIZE)
    library.receive_data(data)
    events: list[Any] = library.events_received()
    found: list[tuple[int, str | bytes]] = []
    message: Any = None  # fragments: str or bytes
    for event in events:
        if event.opcode == CLOSE:
            return found, code_of(event.data)
        if event.opcode in (PING, PONG):
            found.append((int(event.opcode), bytes(event.data)))
            continue
        if event.opcode != CONTINUATION:
            opcode, decoder, message = int(event.opcode), codecs.getincrementaldecoder("utf-8")(), []
        try:
            message.append(decoder.decode(bytes(event.data), event.fin) if opcode == TEXT else bytes(event.data))
        except UnicodeDecodeError:
            return found, 1007
        if event.fin:
            found.append((opcode, ("" if opcode == TEXT else b"").join(message)))
            message = None
    if library.close_sent is None:
        return found, None
    broken = opcode_at(data, len(events))
    if broken >= CLOSE and library.close_sent.code == 1009:
        return None
    if broken == CLOSE and message is not None:
        return found, 1002  # whatever its payload is
    return found, int(library.close_sent.code)


def rarely(usual: Any, other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 19).flatmap(lambda number: other if number == 7 else st.just(usual))


TEXTS = st.text(max_size=20).map(str.encode)
PIECES = st.sampled_from(["ü".encode()[:1], "ü".encode()[1:], "\U0001f600".encode()[:3], b"\x80", b"\xed\xa0", b"\xff"])
SIZES = st.sampled_from([0, 1, 7, 8, 9, 125, 126, 127, 149, 150, 151, MAX_SIZE, MAX_SIZE + 1]).map(lambda n: b"x" * n)
CLOSES = st.one_of(
    st.just(b""), st.builds(lambda code, reason: struct.pack("!H", code) + reason, st.integers(995, 1020), TEXTS)
)
PAYLOADS = st.one_of(TEXTS, TEXTS, PIECES, SIZES, st.binary(max_size=20))
MASKS = rarely(MASK, st.none() | st.binary(min_size=4, max_size=4))
DATA = st.builds(
    Sent,
    st.sampled_from([CONTINUATION, CONTINUATION, TEXT, BINARY]),
    PAYLOADS,
    st.booleans(),
    MASKS,
    rarely(0, st.integers(0, 7)),
)
CONTROL = st.builds(
    Sent,
    st.sampled_from([PING, PONG]),
    TEXTS | SIZES,
    rarely(True, st.just(False)),
    MASKS,
    rarely(0, st.integers(0, 7)),
)
ENDING = st.builds(
    Sent, rarely(CLOSE, st.integers(0, 15)), CLOSES | st.binary(max_size=3), st.just(True), MASKS, st.just(0)
)
MESSAGES = st.lists(PAYLOADS, min_size=1, max_size=4).flatmap(
    lambda payloads: st.sampled_from([TEXT, BINARY]).map(
        lambda opcode: [
            Sent(CONTINUATION if at else opcode, payload, at == len(payloads) - 1, MASK, 0)
            for at, payload in enumerate(payloads)
        ]
    )
)
STREAMS = st.lists(st.one_of(MESSAGES, CONTROL.map(lambda each: [each]), DATA.map(lambda each: [each])), max_size=6)


@settings(max_examples=1500, deadline=None)
@given(STREAMS, st.lists(ENDING, max_size=2), st.data())
def test_what_is_read_is_what_the_library_reads(
    stream: list[list[Sent]], ending: list[Sent], data: st.DataObject
) -> None:
    sent = [each for part in stream for each in part] + ending
    whole = b"".join(each.data for each in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    parts = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    wanted = expected(whole)
    assume(wanted is not None)
    assert read(parts) == wanted


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(1, 400))
@example(b"\x82\xff\xff" + bytes(7), 1)
def test_any_bytes_are_read_alike_in_any_pieces(data: bytes, size: int) -> None:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert read(pieces) == read([data])


@pytest.mark.parametrize("at", range(1, 40))
def test_a_frame_is_unmasked_wherever_it_is_cut(at: int) -> None:
    text = "0123456789abcdefghijklmnopqrstuvwxyz"
    data = frame(TEXT, text.encode(), mask=b"\x01\x82\x43\xc4")
    assert read([data[:at], data[at:]]) == ([(TEXT, text)], None)


@pytest.mark.parametrize("length", ["!BBH", "!BBQ"])
def test_a_length_may_be_longer_than_it_needs_to_be(length: str) -> None:
    """As with the library; RFC 6455, section 5.2 obliges the sender only."""
    head = struct.pack(length, 0x81, 0xFE if length == "!BBH" else 0xFF, 2)
    assert read([head + bytes(4) + b"hi"]) == ([(TEXT, "hi")], None)


@pytest.mark.parametrize(
    ("fragment", "code"),
    [
        (b"ab\xff", 1007),
        (b"ab\xc0", 1007),
        (b"\xf4\x90", 1007),
        ("ü".encode()[:1], None),
        ("\U0001f600".encode()[:3], None),
    ],
)
def test_text_is_refused_at_the_fragment_that_shows_it(fragment: bytes, code: int | None) -> None:
    assert read([frame(TEXT, b"so far ", fin=False) + frame(CONTINUATION, fragment, fin=False)]) == ([], code)


def test_a_control_frame_within_a_message_does_not_count_for_its_size() -> None:
    stream = frame(BINARY, bytes(MAX_SIZE), fin=False) + frame(PING, bytes(125)) + frame(CONTINUATION)
    assert read([stream]) == ([(PING, bytes(125)), (BINARY, bytes(MAX_SIZE))], None)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_a_control_frame_is_refused_by_its_head(opcode: int) -> None:
    assert read([frame(opcode, bytes(126))[:4]])[1] == 1002
    assert read([frame(opcode, b"hi", fin=False)[:2]])[1] == 1002


def test_what_a_frame_announces_takes_no_memory() -> None:
    reader = FrameReader(1 << 40)
    reader.feed(struct.pack("!BBQ", 0x82, 0xFF, 1 << 40) + MASK + bytes(1000))
    assert reader.next() is None
    assert reader.held == 14 + 1000


def test_an_unfinished_message_is_all_that_is_held() -> None:
    reader = FrameReader(1000)
    reader.feed(frame(BINARY, bytes(10), fin=False) + frame(CONTINUATION, bytes(20))[:16])
    assert reader.next() is None
    assert reader.held == 10 + 6 + 10
    reader.feed(bytes(10) + frame(TEXT, b"next"))
    event = reader.next()
    assert event is not None and event[0] == BINARY
    assert (reader.held, reader.has_unread) == (0, True)
    reader.clear()
    assert (reader.held, reader.has_unread, reader.next()) == (0, False, None)


def test_close_frames_are_passed_on_unread() -> None:
    reader = FrameReader(10)
    reader.feed(close(999, b"\xff"))
    assert reader.next() == (CLOSE, b"\x03\xe7\xff")


# --- written ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_frames_are_written_as_the_library_writes_them(opcode: int, size: int) -> None:
    payload = b"x" * size
    assert written(opcode, payload) == LibraryFrame(Opcode(opcode), payload).serialize(mask=False)
    assert written(opcode, payload, True) == bytes([0x80 | 0x40 | opcode]) + written(opcode, payload)[1:]


@given(st.text(max_size=200))
@example("ü" * 63)
def test_text_is_written_as_utf8(text: str) -> None:
    assert written(TEXT, text) == LibraryFrame(Opcode.TEXT, text.encode()).serialize(mask=False)


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda data: memoryview(data)[::1]])
def test_any_bytes_can_be_written(make: Any) -> None:
    assert written(BINARY, make(b"abc")) == b"\x82\x03abc"


def test_text_that_is_no_utf8_is_not_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        written(TEXT, "\ud800")
    with pytest.raises(TypeError):
        written(BINARY, 5)  # type: ignore[arg-type]


# --- compressed -------------------------------------------------------------------------------------------------------


def compression() -> PerMessageDeflate:
    return PerMessageDeflate(False, False, 12, 12)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=300) | st.binary(max_size=300), st.booleans(), st.integers(1, 100)), max_size=5)
)
def test_compressed_messages_are_read_whole(messages: list[tuple[str | bytes, bool, int]]) -> None:
    """Packed or not, in one frame or in fragments, with control frames between these."""
    client, server = compression(), Compression(compression())
    reader = FrameReader(2000, server.unpack)
    for message, is_packed, size in messages:
        content = message.encode() if isinstance(message, str) else message
        pieces = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
        for at, piece in enumerate(pieces):
            opcode = Opcode.CONT if at else Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
            sent = LibraryFrame(opcode, piece, fin=at == len(pieces) - 1)
            extensions = [client] if is_packed else []
            reader.feed(sent.serialize(mask=True, extensions=extensions) + frame(PING, b"between"))
        events = []
        while (event := reader.next()) is not None:
            events.append(event)
        assert [event for event in events if event[0] != PING] == [
            (TEXT if isinstance(message, str) else BINARY, message)
        ]
    assert reader.held == 0


@pytest.mark.parametrize("first", [0, 1, 499, 500])
def test_what_is_unpacked_counts_for_the_size(first: int) -> None:
    """None of it may be unpacked where nothing more is allowed: the library would take 0 for no limit."""
    client, server = compression(), Compression(compression())
    reader = FrameReader(500, server.unpack)
    for sent in (LibraryFrame(Opcode.BINARY, bytes(first), fin=False), LibraryFrame(Opcode.CONT, bytes(501 - first))):
        reader.feed(sent.serialize(mask=True, extensions=[client]))
    with pytest.raises(BrokenFrame) as caught:
        reader.next()
    assert caught.value.code == 1009


@pytest.mark.parametrize("content", ["text", b"bytes", "", "x" * 5000])
def test_packed_messages_are_unpacked_by_a_client(content: str | bytes) -> None:
    client, server = compression(), Compression(compression())
    for _ in range(2):
        opcode = TEXT if isinstance(content, str) else BINARY
        found = client.decode(LibraryFrame(Opcode(opcode), server.pack(opcode, content), rsv1=True))
        assert bytes(found.data) == (content.encode() if isinstance(content, str) else content)
