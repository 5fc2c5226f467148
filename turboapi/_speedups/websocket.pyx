# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""The open WebSocket: frames that come in become ASGI messages, and those of the application become frames.

What else there is to a connection, from its handshake to its end, is left to the class derived from `Channel`.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from turboapi._speedups.arrivals cimport Arrival, Arrivals
from turboapi._speedups.frames cimport BINARY, CLOSE, TEXT, FrameReader, frame
from turboapi._speedups.frames import BrokenFrame
from turboapi._speedups.outlet cimport new_outlet

cdef extern from *:
    """
    /* How a Reception is resumed: 0 if it has ended, with *result, 1 if it waits for that, -1 if it has failed. */
    typedef int (*turboapi_step)(PyObject* reception, PyObject** result);

    static turboapi_step turboapi_resume;

    static PySendResult turboapi_reception_send(PyObject* reception, PyObject* value, PyObject** result) {
        return (PySendResult) turboapi_resume(reception, result);
    }

    static PyObject* turboapi_reception_next(PyObject* reception) {
        PyObject* result = NULL;
        if (turboapi_resume(reception, &result) == 0) {
            PyErr_SetObject(PyExc_StopIteration, result);  /* the content of a message, no tuple */
            Py_CLEAR(result);
        }
        return result;
    }

    static void turboapi_set_slots(PyObject* type, turboapi_step resume) {
        turboapi_resume = resume;
        ((PyTypeObject*) type)->tp_as_async->am_send = turboapi_reception_send;
        ((PyTypeObject*) type)->tp_iternext = turboapi_reception_next;
        PyType_Modified((PyTypeObject*) type);
    }
    """
    ctypedef int (*step)(PyObject* reception, PyObject** result) except -1
    void set_slots "turboapi_set_slots" (object type, step resume)


cdef enum:
    HIGH_WATER = 65536      # bytes held for the application before reading is paused


@cython.final
cdef class Reception(Arrival):
    """What one who waits for a message awaits; its result is the content of the message (`Channel.take`)."""

    def __await__(self):  # so that it has slots of its own
        return self

    cdef Reception wait(self):
        self.is_awaited = self._asyncio_future_blocking = True
        self.arrivals.append(self)
        return self


cdef Reception new_reception(Channel channel):
    cdef Reception reception = Reception.__new__(Reception)
    reception.loop = channel.loop
    reception.arrivals = channel.arrivals
    reception.channel = channel
    return reception


cdef int resume(PyObject* waiting, PyObject** result) except -1:
    """Take a step of what awaits a reception, as PyIter_Send says it."""
    cdef Reception reception = <Reception> waiting
    cdef object content = reception.channel.take()
    cdef bint is_there = content is not None
    if not is_there:
        # If it has waited, another task was faster.
        content = (new_reception(reception.channel) if reception.is_awaited else reception).wait()
    Py_INCREF(content)
    result[0] = <PyObject*> content
    return not is_there


# PERF: the slots of the type, as `__next__` would end by an exception, to which Cython adds a traceback.
set_slots(Reception, resume)


cdef class Channel:
    """One WebSocket: the protocol of its transport, and ASGI's receive and send."""

    def __init__(self, loop, transport, FrameReader reader, max_queue, deflate=None):
        self.loop = loop
        self.transport = transport
        self.outlet = new_outlet(transport)
        self.reader = reader
        self.deflate = deflate
        self.limit = max_queue
        self.inbox = []
        self.arrivals = Arrivals(loop)
        self.writable = []

    # --- what comes in ------------------------------------------------------------------------------------------------

    def data_received(self, bytes data):
        if self.is_deaf:
            return
        self.reader.add(data)
        self._read_on()
        if self.arrivals.first is not None and self.inbox:
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
            self.inbox.append(value)
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

    cdef object take(self):
        """Take out what waits longest: content (str or bytes) or another ASGI message (dict). None: nothing has come."""
        cdef object content
        if not self.inbox:
            return None if self.goodbye is None else dict(self.goodbye)
        content = self.inbox.pop(0)
        if not self.inbox:
            self.waiting = 0
            if self.read_paused or self.reader.has_more():
                self.read_on()
        return content

    def content(self):
        """What to await for the next content, as `take` gives it."""
        return new_reception(self)

    async def receive(self):
        """ASGI `receive`: the next message; the last one, `websocket.disconnect`, again and again."""
        return as_message(await new_reception(self))

    def wake(self):
        """Let those who wait in `receive` look again."""
        self.arrivals.wake()

    # --- what goes out ------------------------------------------------------------------------------------------------

    def post_text(self, content):
        """Send text at once; False if it is none, or that is not possible, and `send`'s to do."""
        return type(content) is str and self._post(TEXT, content)

    def post_bytes(self, content):
        """The same of bytes."""
        return type(content) is bytes and self._post(BINARY, content)

    cdef bint _post(self, int opcode, object content) except -1:
        if self.write_paused or self.is_lost or not self.is_open:
            return False
        self.outlet.write(self._pack(opcode, content))
        return True

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
        return self._pack(opcode, data)

    cdef bytes _pack(self, int opcode, object data):
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


def as_message(content):
    """The ASGI message of what `Channel.content` gives."""
    if type(content) is dict:
        return content
    return {"type": "websocket.receive", ("text" if type(content) is str else "bytes"): content}


def channel_of(receive, send):
    """The channel whose ASGI `receive` and `send` these are; None if they are anything else."""
    cdef object channel = getattr(receive, "__self__", None)
    if isinstance(channel, Channel) and receive == channel.receive and send == channel.send:
        return channel
    return None
