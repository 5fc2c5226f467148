# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""The open WebSocket: frames that come in become ASGI messages, and those of the application become frames.

What else there is to a connection, from its handshake to its end, is left to the class derived from `Channel`.
"""

from collections import deque

from cpython.bytes cimport PyBytes_GET_SIZE

from turboapi._speedups.arrivals cimport Arrivals
from turboapi._speedups.frames cimport BINARY, CLOSE, TEXT, FrameReader, frame
from turboapi._speedups.frames import BrokenFrame
from turboapi._speedups.outlet cimport new_outlet


cdef enum:
    HIGH_WATER = 65536      # bytes held for the application before reading is paused

cdef object _new_deque = deque


cdef class Channel:
    """One WebSocket: the protocol of its transport, and ASGI's receive and send."""

    def __init__(self, loop, transport, FrameReader reader, max_queue, deflate=None):
        self.loop = loop
        self.transport = transport
        self.outlet = new_outlet(transport)
        self.reader = reader
        self.deflate = deflate
        self.limit = max_queue
        self.inbox = _new_deque()
        self.arrivals = Arrivals(loop)
        self.writable = []

    # --- what comes in ------------------------------------------------------------------------------------------------

    def data_received(self, bytes data):
        if self.is_deaf:
            return
        self.reader.add(data)
        self._read_on()
        if self.inbox:
            self.arrivals.wake_now()

    def read_on(self):
        self._read_on()
        if self.inbox:
            self.wake()

    cdef int _read_on(self) except -1:
        """Read what is there, unless the application has enough to do; the client waits as long as it has."""
        if self.is_early:
            return self._pause_reading(PyBytes_GET_SIZE(self.reader.data) > HIGH_WATER)
        while not self.is_deaf and not self._is_full() and self._read_one():
            pass
        if self.is_deaf:
            self.reader.clear()
        self._pause_reading(self._is_full())
        if self.is_lost and not self.reader.has_more():
            self.all_read()
        return 0

    cdef int _read_one(self) except -1:
        """Read one message or control frame; 0 when there is none."""
        cdef int opcode
        cdef object value
        try:
            opcode = self.reader.read()
        except BrokenFrame as exc:
            self.fail(exc.code, exc.reason)
            return 0
        if opcode < 0:
            return 0
        value, self.reader.value = self.reader.value, None
        if opcode & CLOSE:
            self.control(opcode, value)
        elif self.is_open:
            self.inbox.append({"type": "websocket.receive", ("text" if opcode == TEXT else "bytes"): value})
            self.waiting += self.reader.length
        return 1

    cdef bint _is_full(self) except -1:
        return self.is_open and (self.waiting > HIGH_WATER or len(self.inbox) >= self.limit)

    def pause_reading(self, bint pause):
        self._pause_reading(pause)

    cdef int _pause_reading(self, bint pause) except -1:
        if pause != self.read_paused and not self.is_lost:
            self.read_paused = pause
            if pause:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
        return 0

    async def receive(self):
        """ASGI `receive`: the next message; the last one, `websocket.disconnect`, again and again."""
        while not self.inbox:
            if self.goodbye is not None:
                return dict(self.goodbye)
            await self.arrivals.add()
        message = self.inbox.popleft()
        if not self.inbox:
            self.waiting = 0
            if self.read_paused or self.reader.has_more():
                self.read_on()
        return message

    def wake(self):
        """Let those who wait in `receive` look again."""
        self.arrivals.wake()

    # --- what goes out ------------------------------------------------------------------------------------------------

    async def send(self, message):
        """ASGI `send`. Waits while the client is slow to read; what is raised for other messages is `send_other`'s."""
        while self.write_paused:
            writable = self.loop.create_future()
            self.writable.append(writable)
            await writable
        if self.is_open and not self.is_lost and message["type"] == "websocket.send":
            data = self._frame(message)
            if data:
                self.outlet.write(data)
        else:
            self.send_other(message)

    cdef bytes _frame(self, object message):
        """The frame of a message; no bytes for one without content. Raises TypeError for content of another type."""
        cdef dict content = message if type(message) is dict else dict(message)
        cdef object data = content.get("bytes")
        cdef int opcode = BINARY
        if data is None:
            data = content.get("text")
            opcode = TEXT
            if data is None:
                return b""
        if isinstance(data, str) is not (opcode == TEXT):
            raise TypeError(f"The content of a WebSocket message is of type {type(data).__name__}.")
        if self.deflate is not None:
            return frame(opcode, self.deflate(opcode, data), True)
        return frame(opcode, data)

    def write(self, bytes data):
        """Write bytes, as long as the transport is not closed."""
        if data and not self.is_lost:
            self.outlet.write(data)

    def is_stuck(self, double now, double timeout):
        """Whether the client has taken nothing for `timeout` seconds of what waits for it; asked at every sweep."""
        return not self.is_lost and self.outlet.is_stuck(now, timeout)

    def pause_writing(self):
        self.write_paused = True

    def resume_writing(self):
        self.write_paused = False
        self.outlet.moved()
        for writable in self.writable:
            if not writable.done():
                writable.set_result(None)
        self.writable.clear()
