import asyncio
import copy
import inspect
import io
import pickle
import threading
from collections.abc import Callable, Mapping
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, cast

import fastapi.datastructures
import pytest
import starlette.datastructures
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from turboapi import datastructures
from turboapi._speedups.query import parse_query
from turboapi.datastructures import (
    URL,
    Address,
    CommaSeparatedStrings,
    Default,
    DefaultPlaceholder,
    FormData,
    Headers,
    ImmutableMultiDict,
    MultiDict,
    MutableHeaders,
    QueryParams,
    Secret,
    StarletteUploadFile,
    State,
    UploadFile,
    URLPath,
)

reference = starlette.datastructures


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result's text, or the error's type and text: comparable between our class and the reference's."""
    try:
        result = function(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)
    return type(result).__name__, str(result)


CLASSES: dict[str, Any] = {
    **{name: cls for name, cls in vars(reference).items() if getattr(cls, "__module__", "") == reference.__name__},
    "StarletteUploadFile": reference.UploadFile,
    "UploadFile": fastapi.datastructures.UploadFile,
    "DefaultPlaceholder": fastapi.datastructures.DefaultPlaceholder,
}
CLASSES = {name: cls for name, cls in CLASSES.items() if isinstance(cls, type)}


def parameter_names(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", CLASSES)
def test_members_and_signatures_are_the_references(name: str) -> None:
    ours, expected = getattr(datastructures, name), CLASSES[name]
    assert ours.__name__ == expected.__name__
    assert (ours.__hash__ is None) == (expected.__hash__ is None)
    assert parameter_names(ours.__init__) == parameter_names(expected.__init__)
    own = {
        member
        for cls in expected.__mro__
        if cls.__module__.startswith(("starlette", "fastapi"))
        for member in vars(cls)
    }
    for member in own:
        if inspect.isfunction(getattr(expected, member)) and not member.startswith("_"):
            assert parameter_names(getattr(ours, member)) == parameter_names(getattr(expected, member)), member
        elif not member.startswith("__"):
            assert hasattr(ours, member), member


# --- URLs ---

HOST_HEADERS = st.sampled_from(
    [
        b"example.org",
        b"example.org:8000",
        b"EXAMPLE",
        b"[::1]",
        b"[::1]:80",
        b"[:::]",
        b"a/b",
        b"a b",
        b"a:99999",
        b"\xff",
        b"",
    ]
)
SERVERS = st.sampled_from(
    [None, ("local", 80), ("local", 443), ("local", 8000), ("::1", 80), ("::1", 81), ("[::1]", 81)]
)
SCOPES = st.fixed_dictionaries(
    {
        "path": st.text("/ab?#\\@: é", max_size=8),
        "headers": st.lists(
            st.one_of(st.tuples(st.just(b"host"), HOST_HEADERS), st.just((b"accept", b"*/*"))), max_size=2
        ),
    },
    optional={
        "scheme": st.sampled_from(["http", "https", "ws", "wss"]),
        "server": SERVERS,
        "query_string": st.sampled_from([b"", b"a=1&b=%20", "é=1".encode()]),
    },
)


@given(SCOPES)
@settings(max_examples=300)
def test_url_of_a_scope_is_the_references(scope: dict[str, Any]) -> None:
    assert str(URL(scope=scope)) == str(reference.URL(scope=scope))


URLS = [
    "",
    "/path",
    "https://example.org:123/path/to/somewhere?abc=123#anchor",
    "https://user:secret@example.org:123/?a=1&a=2&b=",
    "http://user@[fe80::2]:80/",
    "http://[fe80::2]",
    "http://example.org:99999/",
    "http://u:p@",
    "//host/path",
]
PARTS = ["scheme", "netloc", "path", "query", "fragment", "username", "password", "hostname", "port", "is_secure"]
REPLACEMENTS: list[dict[str, Any]] = [
    {},
    {"scheme": "ftp"},
    {"path": "x", "fragment": "y"},
    {"port": 88},
    {"port": None},
    {"hostname": "other"},
    {"hostname": "fe80::1"},
    {"hostname": "[fe80::1]", "port": 9},
    {"hostname": "not:an:address"},
    {"username": "u2"},
    {"username": None, "password": None},
    {"password": "p2"},
    {"username": "u", "password": "p", "hostname": "h", "port": 1},
    {"netloc": "n:1"},
    {"nonsense": "x"},
]


@pytest.mark.parametrize("text", URLS)
@pytest.mark.parametrize("part", [*PARTS, "components"])
def test_url_part_is_the_references(text: str, part: str) -> None:
    assert outcome(lambda: getattr(URL(text), part)) == outcome(lambda: getattr(reference.URL(text), part))


@pytest.mark.parametrize("text", URLS)
@pytest.mark.parametrize("changes", REPLACEMENTS, ids=str)
def test_url_replace_is_the_references(text: str, changes: dict[str, Any]) -> None:
    assert outcome(lambda: URL(text).replace(**changes)) == outcome(lambda: reference.URL(text).replace(**changes))


@pytest.mark.parametrize("text", URLS)
@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [
        ("include_query_params", (), {"a": 9, "c": "ä ö"}),
        ("replace_query_params", (), {"order": "name"}),
        ("replace_query_params", (), {}),
        ("remove_query_params", ("a",), {}),
        ("remove_query_params", (["a", "zz"],), {}),
    ],
)
def test_url_query_methods_are_the_references(text: str, method: str, args: Any, kwargs: Any) -> None:
    ours, expected = getattr(URL(text), method), getattr(reference.URL(text), method)
    assert outcome(ours, *args, **kwargs) == outcome(expected, *args, **kwargs)


@pytest.mark.parametrize("text", [url for url in URLS if "99999" not in url])
def test_url_repr_hides_the_password(text: str) -> None:
    assert repr(URL(text)) == repr(reference.URL(text))
    assert "secret" not in repr(URL(text))


def test_url_from_components_and_comparison() -> None:
    url = URL(scheme="https", netloc="a.b", path="/c")
    assert url == "https://a.b/c" == str(url)
    assert url != URL("https://a.b/d")


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "/a", "scope": {"path": "/"}},
        {"scope": {"path": "/"}, "path": "/b"},
        {"url": "/a", "path": "/b"},
    ],
)
def test_url_refuses_two_sources(arguments: dict[str, Any]) -> None:
    assert outcome(lambda: URL(**arguments)) == outcome(lambda: reference.URL(**arguments))
    with pytest.raises(AssertionError):
        URL(**arguments)


def test_url_is_a_subclass_of_itself_after_replace() -> None:
    class MyURL(URL):
        pass

    assert type(MyURL("/a").replace(path="/b")) is MyURL


@pytest.mark.parametrize("path", ["/a", "//a", "a\\b", "///", ""])
@pytest.mark.parametrize("protocol", ["", "http", "websocket"])
@pytest.mark.parametrize("host", ["", "other.org"])
@pytest.mark.parametrize("base", ["http://x.org/", "https://x.org/root/", "wss://x.org", "/"])
def test_url_path_makes_the_references_absolute_url(path: str, protocol: Any, host: str, base: str) -> None:
    ours, expected = URLPath(path, protocol, host), reference.URLPath(path, protocol, host)
    assert ours == str(expected)
    assert (ours.protocol, ours.host) == (protocol, host)
    for make in (str, URL):
        assert str(ours.make_absolute_url(make(base))) == str(expected.make_absolute_url(base))


def test_url_path_refuses_an_unknown_protocol() -> None:
    with pytest.raises(AssertionError):
        URLPath("/", protocol=cast(Any, "ftp"))


# --- small values ---


def test_address_is_a_named_tuple() -> None:
    assert Address("::1", 80) == ("::1", 80)
    assert repr(Address("a", 1)) == repr(reference.Address("a", 1))


@pytest.mark.parametrize("value", ["hidden", ""])
def test_secret_is_shown_on_demand_only(value: str) -> None:
    secret = Secret(value)
    assert repr(secret) == repr(reference.Secret(value)) == "Secret('**********')"
    assert (str(secret), bool(secret)) == (value, bool(value))


@pytest.mark.parametrize("value", ["", "a", "a, b", "'a, b', c", '"a ""b", c', ["x", "y"], ("x",), []])
def test_comma_separated_strings_are_the_references(value: Any) -> None:
    ours, expected = CommaSeparatedStrings(value), reference.CommaSeparatedStrings(value)
    assert (list(ours), len(ours), str(ours), repr(ours)) == (
        list(expected),
        len(expected),
        str(expected),
        repr(expected),
    )
    assert ours[:1] == expected[:1]


def test_state_is_attributes_and_items_of_the_dict_it_is_given() -> None:
    backing = {"old": 1}
    state = State(backing)
    state.new = 2
    state["item"] = 3
    assert backing == {"old": 1, "new": 2, "item": 3}
    assert (state.old, state["new"], list(state), len(state)) == (1, 2, ["old", "new", "item"], 3)
    del state.old, state["new"]
    assert backing == {"item": 3}


def test_state_reports_what_is_missing() -> None:
    with pytest.raises(AttributeError, match="'State' object has no attribute 'missing'"):
        State().missing  # noqa: B018
    with pytest.raises(KeyError):
        State()["missing"]
    with pytest.raises(KeyError):
        del State().missing


def test_state_can_be_copied_and_pickled() -> None:
    state = State({"a": [1]})
    assert copy.deepcopy(state).a == [1]
    assert copy.copy(state).a is state.a
    assert pickle.loads(pickle.dumps(state)).a == [1]


@pytest.mark.parametrize("value", [True, None, "x", []])
def test_default_is_as_true_as_its_value(value: Any) -> None:
    placeholder = Default(value)
    assert isinstance(placeholder, DefaultPlaceholder)
    assert bool(placeholder) == bool(value)
    assert placeholder == Default(value)
    assert placeholder != value
    assert placeholder != Default("other")


def test_unset_marks_the_default_none() -> None:
    assert datastructures._Unset == Default(None)


# --- multi-dicts ---

KEYS = st.sampled_from("abc")
VALUES = st.integers(0, 3)
PAIRS = st.lists(st.tuples(KEYS, VALUES), max_size=5)
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["__setitem__", "append", "setdefault"]), KEYS, VALUES),
    st.tuples(st.sampled_from(["__delitem__", "pop", "poplist", "getlist", "__getitem__", "__contains__"]), KEYS),
    st.tuples(st.just("pop"), KEYS, VALUES),
    st.tuples(st.just("setlist"), KEYS, st.lists(VALUES, max_size=3)),
    st.tuples(st.just("update"), PAIRS),
    st.tuples(st.sampled_from(["popitem", "clear"])),
)


def content(multi: Any) -> Any:
    return multi.multi_items(), dict(multi), list(multi.keys()), list(multi.values()), list(multi.items()), len(multi)


@given(PAIRS, st.lists(OPERATIONS, max_size=6))
@settings(max_examples=300)
def test_multi_dict_changes_like_the_reference(pairs: list[Any], operations: list[Any]) -> None:
    ours, expected = MultiDict(pairs), reference.MultiDict(pairs)
    for name, *args in operations:
        assert outcome(getattr(ours, name), *args) == outcome(getattr(expected, name), *args)
        assert content(ours) == content(expected)
        assert repr(ours) == repr(expected)


@given(PAIRS, PAIRS, st.dictionaries(KEYS, VALUES))
def test_multi_dict_is_built_and_compared_like_the_reference(left: Any, right: Any, named: dict[str, int]) -> None:
    for args in ([left], [dict(left)], [tuple(left)], [], [None]):
        assert content(ImmutableMultiDict(*args, **named)) == content(reference.ImmutableMultiDict(*args, **named))
    expected = reference.MultiDict(left) == reference.MultiDict(right)
    assert (MultiDict(left) == MultiDict(right)) == expected
    assert MultiDict(MultiDict(left)) == MultiDict(left)
    assert content(MultiDict(iter(left))) == content(MultiDict(left))


def test_multi_dict_equality_asks_for_the_same_class() -> None:
    assert MultiDict(a=1) == MultiDict(a=1)
    assert MultiDict(a=1) != ImmutableMultiDict(a=1)
    assert MultiDict(a=1) != {"a": 1}


def test_multi_dict_updates_from_itself() -> None:
    multi = MultiDict([("a", 1), ("a", 2)])
    multi.update(multi)
    assert multi.multi_items() == [("a", 1), ("a", 2)]


def test_multi_dict_takes_one_positional_argument() -> None:
    for cls in (MultiDict, QueryParams):
        with pytest.raises(AssertionError, match="Too many arguments."):
            cls([], [])


QUERY_TEXT = st.text("ab=&;+%C3A9é\x00€", max_size=16)


@given(QUERY_TEXT)
@settings(max_examples=300)
def test_query_params_of_text_and_bytes_are_the_references(text: str) -> None:
    sources: list[Any] = [text, text.replace("€", "").encode("latin-1")]
    for source in sources:
        ours, expected = QueryParams(source), reference.QueryParams(source)
        assert content(ours) == content(expected)
        assert (str(ours), repr(ours)) == (str(expected), repr(expected))
        assert QueryParams(ours) == ours == QueryParams(str(ours))
        assert content(QueryParams(source, b=1)) == content(reference.QueryParams(source, b=1))


@pytest.mark.parametrize("source", [{"a": 1, "b": None}, [("a", 1), ("a", 2)], [(1, "x"), ("1", "y"), (1, "z")], []])
def test_query_params_turn_everything_into_text(source: Any) -> None:
    assert content(QueryParams(source)) == content(reference.QueryParams(source))


def test_query_string_is_parsed_on_the_first_look_only(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []

    def noting_parse(raw: bytes) -> list[tuple[str, str]]:
        parsed.append(raw)
        return parse_query(raw)

    monkeypatch.setattr(datastructures, "parse_query", noting_parse)
    params = QueryParams(b"a=1&a=2")
    assert parsed == []
    assert (params["a"], params.getlist("a"), params == QueryParams(b"a=1&a=2")) == ("2", ["1", "2"], True)
    assert parsed == [b"a=1&a=2"] * 2


@pytest.mark.parametrize("looked_at", [False, True])
def test_query_params_can_be_copied_and_pickled(looked_at: bool) -> None:
    params = QueryParams("a=1&a=2")
    if looked_at:
        assert params
    for other in (copy.copy(params), copy.deepcopy(params), pickle.loads(pickle.dumps(params))):
        assert other == params


def test_query_params_have_no_other_attributes() -> None:
    with pytest.raises(AttributeError, match="'QueryParams' object has no attribute 'missing'"):
        QueryParams("").missing  # noqa: B018


# --- headers ---

NAMES = st.sampled_from(["A", "a", "b", "Content-Type", "é"])
TEXTS = st.text("xyé", max_size=3)
RAW = st.lists(st.tuples(NAMES, TEXTS), max_size=4).map(
    lambda pairs: [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
)
HEADER_OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["__setitem__", "append", "setdefault"]), NAMES, TEXTS),
    st.tuples(
        st.sampled_from(["__delitem__", "__getitem__", "__contains__", "getlist", "get", "add_vary_header"]), NAMES
    ),
    st.tuples(st.sampled_from(["update", "__or__", "__ior__"]), st.dictionaries(NAMES, TEXTS, max_size=2)),
    st.tuples(st.just("__or__"), st.just(["no", "mapping"])),
    st.tuples(st.just("append"), st.just("€"), TEXTS),
)


def header_content(headers: Any) -> Any:
    return headers.raw, headers.keys(), headers.values(), headers.items(), list(headers), len(headers), repr(headers)


@given(RAW, st.lists(HEADER_OPERATIONS, max_size=6))
@settings(max_examples=300)
def test_mutable_headers_change_like_the_reference(raw: list[Any], operations: list[Any]) -> None:
    ours, expected = MutableHeaders(raw=raw[:]), reference.MutableHeaders(raw=raw[:])
    for name, *args in operations:
        assert outcome(getattr(ours, name), *args) == outcome(getattr(expected, name), *args)
        assert header_content(ours) == header_content(expected)


@given(RAW, RAW)
def test_headers_are_read_and_compared_like_the_reference(left: list[Any], right: list[Any]) -> None:
    ours, expected = Headers(raw=left), reference.Headers(raw=left)
    assert header_content(ours) == header_content(expected)
    assert (ours == Headers(raw=right)) == (expected == reference.Headers(raw=right))
    assert ours == Headers(raw=left[::-1]) == MutableHeaders(raw=left)
    assert ours != left


def test_headers_from_a_mapping_and_from_nothing() -> None:
    assert Headers({"X-A": "1"}).raw == [(b"x-a", b"1")]
    assert (len(Headers()), list(Headers())) == (0, [])
    with pytest.raises(KeyError, match="X-B"):
        Headers({"X-A": "1"})["X-B"]


def test_headers_of_a_scope_are_the_list_the_scope_then_has() -> None:
    scope: dict[str, Any] = {"headers": ((b"a", b"1"),)}
    headers = MutableHeaders(scope=scope)
    headers["b"] = "2"
    assert scope["headers"] == [(b"a", b"1"), (b"b", b"2")]


def test_scopes_that_share_a_header_list_do_not_share_changes() -> None:
    original = [(b"a", b"1")]
    parent, child = {"headers": original}, {"headers": original}
    MutableHeaders(scope=child)["a"] = "2"
    assert parent["headers"] is original == [(b"a", b"1")]


def test_raw_is_a_copy_of_headers_and_the_live_list_of_mutable_ones() -> None:
    raw = [(b"a", b"1")]
    assert Headers(raw=raw).raw is not raw
    assert MutableHeaders(raw=raw).raw is raw
    copied = Headers(raw=raw).mutablecopy()
    copied["a"] = "2"
    assert raw == [(b"a", b"1")]


@pytest.mark.parametrize(
    "arguments", [{"headers": {}, "raw": []}, {"headers": {}, "scope": {}}, {"raw": [], "scope": {}}]
)
def test_headers_refuse_two_sources(arguments: dict[str, Any]) -> None:
    assert outcome(lambda: Headers(**arguments)) == outcome(lambda: reference.Headers(**arguments))
    with pytest.raises(AssertionError):
        Headers(**arguments)


# --- uploads and forms ---


class ThreadNoting(SpooledTemporaryFile[bytes]):
    """Notes which thread each method runs in, by whether it is the one that made the file."""

    def __init__(self, max_size: int) -> None:
        self.home = threading.get_ident()
        self.calls: list[tuple[str, bool]] = []
        super().__init__(max_size=max_size)

    def write(self, data: Any) -> int:
        self.calls.append(("write", threading.get_ident() == self.home))
        return super().write(data)

    def read(self, *args: int) -> bytes:
        self.calls.append(("read", threading.get_ident() == self.home))
        return super().read(*args)

    def seek(self, *args: int) -> int:
        self.calls.append(("seek", threading.get_ident() == self.home))
        return super().seek(*args)

    def close(self) -> None:
        self.calls.append(("close", threading.get_ident() == self.home))
        super().close()


async def use_upload(cls: Any, max_size: int) -> Any:
    file = ThreadNoting(max_size)
    upload = cls(cast(BinaryIO, file), size=0, filename="f")
    await upload.write(b"data")
    await upload.write(b" and more")
    await upload.seek(2)
    read = await upload.read(3), await upload.read()
    size = upload.size
    await upload.close()
    return read, size, file.calls, file.closed


@pytest.mark.parametrize("cls", [StarletteUploadFile, UploadFile])
@pytest.mark.parametrize("max_size", [0, 1, 6, 100])
def test_upload_goes_to_a_thread_when_it_is_on_disk(cls: Any, max_size: int) -> None:
    read, size, calls, closed = asyncio.run(use_upload(cls, max_size))
    assert (read, size, closed) == ((b"ta ", b"and more"), 13, True)
    assert calls == asyncio.run(use_upload(reference.UploadFile, max_size))[2]


async def use_plain_file(cls: Any, **kwargs: Any) -> Any:
    upload = cls(io.BytesIO(b"data"), **kwargs)
    first = await upload.read()
    await upload.write(b"!")
    await upload.seek(0)
    return first, await upload.read(), upload.size, upload.content_type, repr(upload)


@pytest.mark.parametrize("kwargs", [{}, {"size": 4, "filename": "f.txt"}, {"headers": {"content-type": "text/x"}}])
def test_upload_around_any_file_is_the_references(kwargs: dict[str, Any]) -> None:
    headers = kwargs.pop("headers", None)
    ours = asyncio.run(use_plain_file(UploadFile, headers=Headers(headers), **kwargs))
    assert ours == asyncio.run(use_plain_file(reference.UploadFile, headers=reference.Headers(headers), **kwargs))


def test_both_upload_classes_have_the_plain_name() -> None:
    assert StarletteUploadFile.__name__ == UploadFile.__name__ == "UploadFile"
    assert issubclass(UploadFile, StarletteUploadFile)


def test_upload_as_a_parameter_type_takes_the_parsers_uploads_only() -> None:
    parsed = StarletteUploadFile(io.BytesIO())
    assert TypeAdapter(UploadFile).validate_python(parsed) is parsed
    assert TypeAdapter(list[UploadFile]).validate_python([parsed]) == [parsed]
    adapter = TypeAdapter(Annotated[UploadFile | None, "either"])
    assert adapter.validate_python(None) is None
    with pytest.raises(ValidationError) as ours:
        TypeAdapter(UploadFile).validate_python("text")
    with pytest.raises(ValidationError) as expected:
        TypeAdapter(fastapi.datastructures.UploadFile).validate_python("text")
    assert str(ours.value) == str(expected.value)


def test_upload_has_the_references_json_schema() -> None:
    for ours, expected in (
        (UploadFile, fastapi.datastructures.UploadFile),
        (list[UploadFile], list[fastapi.datastructures.UploadFile]),
    ):
        assert TypeAdapter(ours).json_schema() == TypeAdapter(expected).json_schema()


def test_form_data_reads_and_closes() -> None:
    files = [UploadFile(io.BytesIO(), filename=name) for name in "ab"]
    form = FormData([("name", "x"), ("file", files[0]), ("file", files[1])])
    assert isinstance(form, Mapping)
    assert (form["name"], form.getlist("file")) == ("x", files)
    assert form == FormData(form) == FormData([("file", files[0]), ("file", files[1]), ("name", "x")])
    assert form != FormData([("file", files[1]), ("file", files[0]), ("name", "x")])
    asyncio.run(form.close())
    assert all(file.file.closed for file in files)
