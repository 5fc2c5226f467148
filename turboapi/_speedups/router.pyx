# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=True, freethreading_compatible=True
"""The compiled route table.

In: entries in registration order, then (method, path) per request. Out: the answer of trying one entry after the other:
the first that matches path and method; else the first that matches the path; else None.

Rule 1: the index of an entry is its rank. Every structure here only yields *candidates*, lists of ascending indexes
that together contain each entry that can match; `_first` merges them and asks the candidates in order of rank.
Rule 2: an entry's regex is the truth. A template is taken apart only if its regex is exactly what the template stands
for; an entry with any other regex is asked by that regex, on every path.
Rule 3: "$" also matches before a final newline, so the last segment of such a path has two readings.

    fixed       {path: indexes}     templates without parameters
    trie        one node per segment prefix
      .ends     indexes             the path ends here
      .tails    indexes             a "/" follows here: {x:path}, a regex or an opaque entry decides about the rest
    anywhere    indexes             entries that no segment can rule out

A node is visited at most once per request and the walk is never deeper than MAX_DEPTH, whatever the path is.
"""

import re
import sys
import uuid

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.unicode cimport (
    PyUnicode_DATA,
    PyUnicode_FindChar,
    PyUnicode_GET_LENGTH,
    PyUnicode_KIND,
    PyUnicode_READ,
    PyUnicode_READ_CHAR,
    PyUnicode_Substring,
    PyUnicode_Tailmatch,
)


cdef enum:
    MAX_SOURCES = 16   # candidate lists merged on the C stack; what exceeds them is sorted into one more list
    MAX_EXAMINED = 16  # candidates that building looks at to find a fixed path's barrier
    SAFE_DIGITS = 640  # int() refuses no text up to this length, whatever sys.set_int_max_str_digits() says
    ZERO = 48          # ord("0")
    LONG_DIGITS = 18   # decimal digits that always fit into a long long

cdef enum Form:
    NATIVE  # decided here, from the segments
    REGEX   # decided by the entry's regex and convertors
    OPAQUE  # decided by a callable

cdef enum Place:
    FIXED
    END
    TAIL
    ANYWHERE

cdef enum Kind:
    TEXT
    INTEGER
    NUMBER
    IDENTIFIER
    REST  # {x:path}: the rest of the path

cdef struct Source:
    PyObject *indexes     # borrowed from the table
    Py_ssize_t next
    Py_ssize_t head       # indexes[next], -1 at the end

cdef struct Walk:
    Py_ssize_t length
    bint newline          # the path ends in "\n"
    Py_ssize_t count      # segments cut, at most one more than the trie is deep
    Py_ssize_t final      # depth of the last segment, -1 when it was not reached
    Py_ssize_t starts[MAX_DEPTH + 1]
    Py_ssize_t ends[MAX_DEPTH + 1]
    PyObject *segments[MAX_DEPTH + 1]  # owned, made when needed
    Py_ssize_t used
    Source sources[MAX_SOURCES + 1]
    PyObject *overflow    # owned list, NULL when the sources suffice


cdef object PARAM = re.compile(r"\{([a-zA-Z_]\w*)(?::[a-zA-Z_]\w*)?\}", re.ASCII)

# Convertors that are reproduced here: pattern -> (kind, functions that may do the conversion).
cdef dict NATIVE_KINDS = {
    "[^/]+": (TEXT, {"StringConvertor.convert"}),
    ".*": (REST, {"PathConvertor.convert", "StringConvertor.convert"}),
    "[0-9]+": (INTEGER, {"IntegerConvertor.convert"}),
    r"[0-9]+(\.[0-9]+)?": (NUMBER, {"FloatConvertor.convert"}),
    "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}": (
        IDENTIFIER,
        {"UUIDConvertor.convert"},
    ),
}
cdef tuple NATIVE_HOMES = ("turboapi.convertors", "starlette.convertors")
cdef object UUID = uuid.UUID


cdef int _kind_of(object convertor) except -2:
    """The native kind of a convertor, or -1: its pattern and the function that converts must both be the known ones."""
    known = NATIVE_KINDS.get(convertor.regex)
    if known is None:
        return -1
    function = getattr(convertor.convert, "__func__", None)
    if getattr(function, "__module__", None) not in NATIVE_HOMES or function.__qualname__ not in known[1]:
        return -1
    return known[0]


cdef bint _is_closed(str pattern):
    """Whether a convertor's pattern stays inside the group it is put into."""
    if pattern in NATIVE_KINDS:
        return True
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


cdef bint _stands_for(object regex, str path, dict convertors) except -1:
    """Whether the regex is what the template means, literal text and one group per parameter and nothing else."""
    if regex.flags != re.UNICODE:
        return False
    cdef list parts = PARAM.split(path)
    cdef list pattern = ["^", re.escape(parts[0])]
    cdef Py_ssize_t i
    for i in range(1, len(parts), 2):
        convertor = convertors.get(parts[i])
        if convertor is None or not _is_closed(convertor.regex):
            return False
        pattern += ("(?P<", parts[i], ">", convertor.regex, ")", re.escape(parts[i + 1]))
    pattern.append("$")
    return regex.pattern == "".join(pattern)


@cython.final
@cython.freelist(64)
cdef class Match:

    @staticmethod
    cdef Match new(Entry entry, bint full, dict params, object payload):
        cdef Match self = Match.__new__(Match)
        self.entry = entry
        self.full = full
        self.params = params
        self.payload = payload
        return self


@cython.final
cdef class Entry:

    def __init__(self, object target, object path_regex, dict param_convertors not None, str path not None, methods):
        self.target = target
        self.path = path
        self.methods = frozenset(methods) if methods else None  # an empty set rejects nothing
        self.path_regex = path_regex
        self.convertors = param_convertors
        self.hit = Match.new(self, True, None, None)
        self.form = REGEX
        self.place = ANYWHERE
        if path.startswith("/") and _stands_for(path_regex, path, param_convertors):
            self.place_template(path)

    @staticmethod
    def opaque(object target, object matches, str prefix=None):
        cdef Entry self = Entry.__new__(Entry)
        self.target = target
        self.ask = matches
        self.prefix = prefix
        self.form = OPAQUE
        self.place = ANYWHERE
        if prefix is not None:
            self.place_prefix(prefix)
        return self

    cdef bint accepts(self, str method) except -1:
        return self.methods is None or method in self.methods

    cdef int place_prefix(self, str prefix) except -1:
        cdef list segments = prefix.split("/")
        if prefix.startswith("/"):
            # What follows the last "/" may be part of a segment only, so it leads to no node.
            self.steps = segments[1:min(<Py_ssize_t>len(segments) - 1, <Py_ssize_t>MAX_DEPTH + 1)]
            self.place = TAIL
        return 0

    cdef int place_template(self, str path) except -1:
        """Choose NATIVE where the segments decide; else keep the regex, behind the segments that come before."""
        if not self.convertors:
            self.form = NATIVE
            self.place = FIXED
            return 0
        cdef list segments = path.split("/")[1:]
        cdef Py_ssize_t depth, last = len(segments) - 1
        cdef int kind
        self.steps = []
        self.names = []
        self.all_text = True
        self.place = TAIL
        for depth in range(min(last + 1, <Py_ssize_t>MAX_DEPTH)):
            segment = segments[depth]
            if "{" not in segment or PARAM.search(segment) is None:
                self.steps.append(segment)
                continue
            found = PARAM.fullmatch(segment)
            kind = -1 if found is None else _kind_of(self.convertors[found[1]])
            if kind < 0 or (kind == REST and depth != last):
                return 0
            self.names.append(sys.intern(found[1]))
            self.kinds[self.count] = kind
            self.depths[self.count] = depth
            self.count += 1
            self.all_text = self.all_text and kind == TEXT
            if kind == REST:
                self.form = NATIVE
                return 0
            self.steps.append(None)
        if last < MAX_DEPTH:
            self.form = NATIVE
            self.place = END
        return 0


@cython.final
cdef class _Fixed:
    """Entries without parameters that share a path; one below `barrier` is outranked by no entry outside."""

    cdef list indexes
    cdef Py_ssize_t barrier

    def __cinit__(self):
        self.indexes = []


@cython.final
cdef class _Node:
    cdef dict literals
    cdef str sole       # the only literal, None when there are several: compared in place, nothing is cut
    cdef _Node param
    cdef list ends
    cdef list tails

    cdef _Node child(self, str step):
        """The node one step further, made when missing."""
        if step is None:
            if self.param is None:
                self.param = _Node()
            return self.param
        if self.literals is None:
            self.literals = {}
        if step not in self.literals:
            self.sole = None if self.literals else step
            self.literals[step] = _Node()
        return <_Node>self.literals[step]


cdef inline str _segment(str path, Py_ssize_t depth, Walk *walk):
    """The text of a segment, cut once per request."""
    cdef Py_ssize_t end
    if walk.segments[depth] is NULL:
        end = walk.length if depth == walk.final else walk.ends[depth]
        segment = PyUnicode_Substring(path, walk.starts[depth], end)
        Py_INCREF(segment)
        walk.segments[depth] = <PyObject *>segment
    return <str>walk.segments[depth]


cdef int _cut(str path, Py_ssize_t depth, Walk *walk) except -1:
    """Find the first depth + 1 segments; ends[] leaves a final newline out."""
    cdef Py_ssize_t start = 1, slash
    walk.length = PyUnicode_GET_LENGTH(path)
    walk.newline = walk.length > 0 and PyUnicode_READ_CHAR(path, walk.length - 1) == c"\n"
    walk.count = walk.used = 0
    walk.final = -1
    walk.overflow = NULL
    if walk.length == 0 or PyUnicode_READ_CHAR(path, 0) != c"/":
        return 0
    while walk.count <= depth:
        slash = PyUnicode_FindChar(path, c"/", start, walk.length, 1)
        walk.starts[walk.count] = start
        walk.segments[walk.count] = NULL
        if slash < 0:
            walk.ends[walk.count] = walk.length - walk.newline
            walk.final = walk.count
            walk.count += 1
            break
        walk.ends[walk.count] = slash
        walk.count += 1
        start = slash + 1
    return 0


cdef void _release(Walk *walk) noexcept:
    cdef Py_ssize_t i
    for i in range(walk.count):
        Py_XDECREF(walk.segments[i])
    Py_XDECREF(walk.overflow)


cdef int _add(Walk *walk, list indexes) except -1:
    """Take a list of candidates; an empty slot may be None."""
    if indexes is None:
        return 0
    if walk.used >= MAX_SOURCES:
        return _add_overflow(walk, indexes)
    cdef Source *source = &walk.sources[walk.used]
    source.indexes = <PyObject *>indexes
    source.next = 0
    source.head = <Py_ssize_t>indexes[0]
    walk.used += 1
    return 0


cdef int _add_overflow(Walk *walk, list indexes) except -1:
    if walk.overflow is NULL:
        spilled = []
        Py_INCREF(spilled)
        walk.overflow = <PyObject *>spilled
    (<list>walk.overflow).extend(indexes)
    return 0


cdef int _close_overflow(Walk *walk) except -1:
    cdef list spilled = <list>walk.overflow
    spilled.sort()
    cdef Source *source = &walk.sources[walk.used]
    source.indexes = walk.overflow
    source.next = 0
    source.head = <Py_ssize_t>spilled[0]
    walk.used += 1
    return 0


cdef Py_ssize_t _next(Walk *walk) except -2:
    """The lowest candidate not yet seen, -1 when there is none left."""
    cdef Source *best = NULL
    cdef Source *source
    cdef Py_ssize_t i, index
    for i in range(walk.used):
        source = &walk.sources[i]
        if source.head >= 0 and (best is NULL or source.head < best.head):
            best = source
    if best is NULL:
        return -1
    index = best.head
    best.next += 1
    best.head = -1 if best.next >= PyList_GET_SIZE(<list>best.indexes) else <Py_ssize_t>(<list>best.indexes)[best.next]
    return index


cdef int _enter(_Node node, Py_ssize_t depth, str path, Walk *walk) except -1:
    """Take what `node` offers, `depth` being the segment that led to it."""
    if depth == walk.final:
        return _add(walk, node.ends)
    return _descend(node, depth + 1, path, walk)


cdef int _enter_sole(_Node node, Py_ssize_t depth, str path, Walk *walk) except -1:
    """Enter the only literal child if it reads as the segment does, with or without a final newline."""
    cdef Py_ssize_t start = walk.starts[depth], size = PyUnicode_GET_LENGTH(node.sole)
    if size != walk.ends[depth] - start and (depth != walk.final or size != walk.length - start):
        return 0
    if PyUnicode_Tailmatch(path, node.sole, start, start + size, -1) == 1:
        _enter(<_Node>node.literals[node.sole], depth, path, walk)
    return 0


cdef int _enter_literals(_Node node, Py_ssize_t depth, str path, Walk *walk) except -1:
    cdef PyObject *child = PyDict_GetItemWithError(node.literals, _segment(path, depth, walk))
    if child is not NULL:
        _enter(<_Node>child, depth, path, walk)
    if depth == walk.final and walk.newline:
        trimmed = PyUnicode_Substring(path, walk.starts[depth], walk.ends[depth])
        child = PyDict_GetItemWithError(node.literals, trimmed)
        if child is not NULL:
            _enter(<_Node>child, depth, path, walk)
    return 0


cdef int _descend(_Node node, Py_ssize_t depth, str path, Walk *walk) except -1:
    """Collect the candidates at and below a node that is followed by the segment `depth`."""
    _add(walk, node.tails)
    if node.sole is not None:
        _enter_sole(node, depth, path, walk)
    elif node.literals is not None:
        _enter_literals(node, depth, path, walk)
    if node.param is not None and walk.starts[depth] < (walk.length if depth == walk.final else walk.ends[depth]):
        _enter(node.param, depth, path, walk)
    return 0


cdef Py_ssize_t _digits(int width, void *data, Py_ssize_t start, Py_ssize_t end) noexcept:
    """The position after the ASCII digits at start."""
    while start < end and c"0" <= PyUnicode_READ(width, data, start) <= c"9":
        start += 1
    return start


cdef bint _is_number(int width, void *data, Py_ssize_t start, Py_ssize_t end) noexcept:
    cdef Py_ssize_t point = _digits(width, data, start, end)
    if point == start or point == end:
        return point > start
    if PyUnicode_READ(width, data, point) != c"." or point + 1 == end:
        return False
    return _digits(width, data, point + 1, end) == end


cdef bint _is_uuid(int width, void *data, Py_ssize_t start, Py_ssize_t end) noexcept:
    """32 hexadecimal digits, each of the four hyphens optional."""
    cdef int digits = 0
    cdef Py_UCS4 char
    while start < end:
        char = PyUnicode_READ(width, data, start)
        if c"0" <= char <= c"9" or c"a" <= char <= c"f" or c"A" <= char <= c"F":
            digits += 1
        elif (char != c"-" or digits not in (8, 12, 16, 20) or PyUnicode_READ(width, data, start - 1) == c"-"):
            return False
        start += 1
    return digits == 32


cdef bint _fits(Entry entry, str path, Walk *walk) except -1:
    """Whether the segments are what the parameters of a NATIVE entry admit."""
    cdef int width = PyUnicode_KIND(path)
    cdef void *data = PyUnicode_DATA(path)
    cdef Py_ssize_t i, start, end, found
    cdef int kind
    for i in range(entry.count):
        kind = entry.kinds[i]
        start = walk.starts[entry.depths[i]]
        end = walk.ends[entry.depths[i]]
        if kind == INTEGER:
            if start == end or _digits(width, data, start, end) != end:
                return False
        elif kind == NUMBER:
            if not _is_number(width, data, start, end):
                return False
        elif kind == IDENTIFIER:
            if not _is_uuid(width, data, start, end):
                return False
        elif kind == REST:  # "." matches no newline
            found = PyUnicode_FindChar(path, c"\n", start, walk.length, 1)
            if found >= 0 and found != walk.length - 1:
                return False
    return True


cdef object _integer(str path, Py_ssize_t start, Py_ssize_t end):
    cdef int width = PyUnicode_KIND(path)
    cdef void *data = PyUnicode_DATA(path)
    cdef long long value = 0
    if end - start > LONG_DIGITS:
        return int(PyUnicode_Substring(path, start, end))
    while start < end:
        value = value * 10 + <int>PyUnicode_READ(width, data, start) - ZERO
        start += 1
    return value


cdef object _value(int kind, Py_ssize_t depth, str path, Walk *walk):
    cdef Py_ssize_t start = walk.starts[depth], end = walk.ends[depth]
    if kind == TEXT:
        return _segment(path, depth, walk)
    if kind == INTEGER:
        return _integer(path, start, end)
    if kind == NUMBER:
        return float(PyUnicode_Substring(path, start, end))
    if kind == IDENTIFIER:
        return UUID(PyUnicode_Substring(path, start, end))
    return PyUnicode_Substring(path, start, walk.length - walk.newline)


cdef dict _values(Entry entry, str path, Walk *walk):
    cdef dict params = {}
    cdef Py_ssize_t i
    for i in range(entry.count):
        params[entry.names[i]] = _value(entry.kinds[i], entry.depths[i], path, walk)
    return params


cdef Match _ask_native(Entry entry, str method, str path, Walk *walk):
    """The values of a partial match are left to `_settle`, unless making them might raise."""
    if not entry.all_text and not _fits(entry, path, walk):
        return None
    cdef bint full = entry.accepts(method)
    if full and entry.count == 0:
        return entry.hit
    cdef dict params = None
    if entry.count and (full or walk.length > SAFE_DIGITS):
        params = _values(entry, path, walk)
    return Match.new(entry, full, params, None)


cdef Match _settle(Match partial, str path, Walk *walk):
    if partial is not None and partial.params is None and partial.entry.form == NATIVE and partial.entry.count:
        partial.params = _values(partial.entry, path, walk)
    return partial


cdef Match _ask_regex(Entry entry, str method, str path):
    found = entry.path_regex.match(path)
    if found is None:
        return None
    cdef dict params = found.groupdict()
    for name, value in params.items():
        params[name] = entry.convertors[name].convert(value)
    return Match.new(entry, entry.accepts(method), params or None, None)


cdef bint _starts_with(Entry entry, str path) except -1:
    return entry.prefix is None or PyUnicode_Tailmatch(path, entry.prefix, 0, PyUnicode_GET_LENGTH(path), -1) > 0


cdef Match _ask_opaque(Entry entry, str path, object exchange):
    if not _starts_with(entry, path):
        return None
    answer = entry.ask(exchange)
    if answer is None:
        return None
    full, payload = answer
    return Match.new(entry, full, None, payload)


cdef bint _may_match(Entry entry, str path, Walk *walk) except -1:
    if entry.form == NATIVE:
        return _fits(entry, path, walk)
    if entry.form == REGEX:
        return entry.path_regex.match(path) is not None
    return _starts_with(entry, path)


@cython.final
cdef class Router:

    def __init__(self, list entries not None):
        self.entries = tuple(entries)
        self.fixed = {}
        self.root = _Node()
        self.anywhere = None
        cdef Py_ssize_t index
        for index, entry in enumerate(self.entries):
            if not isinstance(entry, Entry):
                raise TypeError(f"Expected an Entry, not {entry!r}")
            _insert(self, index, <Entry>entry)
        for path, fixed in self.fixed.items():
            (<_Fixed>fixed).barrier = _barrier(self, <str>path, <_Fixed>fixed)

    cpdef Match match(self, str method, str path, object exchange):
        cdef _Fixed fixed = None
        cdef Py_ssize_t index, i
        cdef Entry entry
        if path is None:
            raise TypeError("path must be a str, not None")
        cdef PyObject *found = PyDict_GetItemWithError(self.fixed, path)
        if found is not NULL:
            fixed = <_Fixed>found
            for i in range(PyList_GET_SIZE(fixed.indexes)):
                index = <Py_ssize_t>fixed.indexes[i]
                if index >= fixed.barrier:
                    break
                entry = <Entry>self.entries[index]
                if entry.accepts(method):
                    return entry.hit
        return _search(self, fixed, method, path, exchange)


cdef int _insert(Router router, Py_ssize_t index, Entry entry) except -1:
    if entry.place == FIXED:
        if entry.path not in router.fixed:
            router.fixed[entry.path] = _Fixed()
        (<_Fixed>router.fixed[entry.path]).indexes.append(index)
        return 0
    if entry.place == ANYWHERE:
        if router.anywhere is None:
            router.anywhere = []
        router.anywhere.append(index)
        return 0
    cdef _Node node = router.root
    for step in entry.steps:
        node = node.child(<str>step)
    router.depth = max(router.depth, <Py_ssize_t>len(entry.steps))
    if entry.place == END:
        node.ends = node.ends or []
        node.ends.append(index)
    else:
        node.tails = node.tails or []
        node.tails.append(index)
    return 0


cdef Py_ssize_t _barrier(Router router, str path, _Fixed fixed) except -1:
    """The index from which on an entry with parameters, a regex or a callable may come before the fixed path."""
    cdef Walk walk
    cdef Py_ssize_t index, examined = 0, last = fixed.indexes[len(fixed.indexes) - 1]
    _cut(path, router.depth, &walk)
    try:
        _collect(router, None, path, &walk)
        while True:
            index = _next(&walk)
            if index < 0 or index > last:
                return last + 1
            examined += 1
            if examined > MAX_EXAMINED or _may_match(<Entry>router.entries[index], path, &walk):
                return index
    finally:
        _release(&walk)


cdef int _collect(Router router, _Fixed fixed, str path, Walk *walk) except -1:
    cdef PyObject *found
    _add(walk, router.anywhere)
    if fixed is not None:
        _add(walk, fixed.indexes)
    if walk.newline:
        found = PyDict_GetItemWithError(router.fixed, PyUnicode_Substring(path, 0, walk.length - 1))
        if found is not NULL:
            _add(walk, (<_Fixed>found).indexes)
    if walk.count:
        _descend(<_Node>router.root, 0, path, walk)
    if walk.overflow is not NULL:
        _close_overflow(walk)
    return 0


cdef Match _search(Router router, _Fixed fixed, str method, str path, object exchange):
    cdef Walk walk
    _cut(path, router.depth, &walk)
    try:
        _collect(router, fixed, path, &walk)
        return _first(router, method, path, exchange, &walk)
    finally:
        _release(&walk)


cdef Match _first(Router router, str method, str path, object exchange, Walk *walk):
    """Ask the candidates in order of rank until one matches in full."""
    cdef Match answer, partial = None
    cdef Entry entry
    cdef Py_ssize_t index
    while True:
        index = _next(walk)
        if index < 0:
            return _settle(partial, path, walk)
        entry = <Entry>router.entries[index]
        if entry.form == NATIVE:
            answer = _ask_native(entry, method, path, walk)
        elif entry.form == REGEX:
            answer = _ask_regex(entry, method, path)
        else:
            answer = _ask_opaque(entry, path, exchange)
        if answer is None:
            continue
        if answer.full:
            return answer
        if partial is None:
            partial = answer
