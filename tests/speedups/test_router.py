from __future__ import annotations

import gc
import re
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.convertors import CONVERTOR_TYPES, Convertor, StringConvertor
from starlette.routing import BaseRoute, Match, Mount, Route, compile_path

from turboapi._speedups.router import Entry, Router
from turboapi.convertors import CONVERTOR_TYPES as OWN_CONVERTOR_TYPES

LONG = "7" * 5000  # more digits than int() accepts
ID = "12345678-1234-5678-1234-567812345678"
calls: list[str] = []


class WordConvertor(Convertor[str]):
    """Crosses segments, records its calls and refuses one value."""

    regex = "[a-z]+(?:/[a-z]+)?"

    def convert(self, value: str) -> str:
        calls.append(value)
        if value == "bad":
            raise LookupError(value)
        return value.upper()

    def to_string(self, value: str) -> str:
        return value.lower()


class IntegerConvertor(Convertor[int]):
    """Looks like the built-in one and is not."""

    regex = "[0-9]+"

    def convert(self, value: str) -> int:
        return -int(value)

    def to_string(self, value: int) -> str:
        return str(-value)


class Unruly(BaseRoute):
    """A route class of somebody's own: its path counts up to the last "/", and only GET is in full."""

    def __init__(self, path: str) -> None:
        self.path = path

    def matches(self, scope: Any) -> tuple[Match, Any]:
        calls.append(self.path)
        if not scope["path"].startswith(self.path):
            return Match.NONE, {}
        return (Match.FULL if scope["method"] == "GET" else Match.PARTIAL), {"unruly": self.path}


@pytest.fixture(scope="module", autouse=True)
def convertors() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONVERTOR_TYPES, "word", WordConvertor())
        patch.setitem(CONVERTOR_TYPES, "negative", IntegerConvertor())
        yield


def endpoint(request: Any) -> None: ...


def route(path: str, *methods: str) -> Route:
    # A class endpoint is what lets a route have no methods at all.
    return Route(path, endpoint, methods=methods) if methods else Route(path, Starlette())


def scope_of(method: str, path: str) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}


def entry_of(item: BaseRoute, hint: bool) -> Entry:
    if isinstance(item, Route):
        return Entry(item, item.path_regex, item.param_convertors, item.path, item.methods)

    def ask(scope: Any) -> tuple[bool, Any] | None:
        found, child_scope = item.matches(scope)
        return None if found is Match.NONE else (found is Match.FULL, child_scope)

    assert isinstance(item, Mount | Unruly)
    prefix = item.path + "/" if isinstance(item, Mount) else item.path
    return Entry.opaque(item, ask, prefix if hint else None)


@dataclass
class Outcome:
    """What a lookup answers, and what it asked to get there."""

    target: Any = None
    full: bool = False
    params: list[tuple[str, Any]] = field(default_factory=list)
    payload: Any = None
    error: str = ""
    calls: list[str] = field(default_factory=list)


def scan(routes: Sequence[BaseRoute], method: str, path: str) -> Outcome:
    """The reference: Starlette's loop over its own routes."""
    calls.clear()
    partial = Outcome()
    try:
        for item in routes:
            found, child_scope = item.matches(scope_of(method, path))
            if found is Match.NONE or (found is Match.PARTIAL and partial.target is not None):
                continue
            outcome = Outcome(item, found is Match.FULL)
            if isinstance(item, Route):
                outcome.params = list(child_scope["path_params"].items())
            else:
                outcome.payload = {k: v for k, v in child_scope.items() if k != "endpoint"}
            if outcome.full:
                partial = outcome
                break
            partial = outcome
    except (LookupError, ValueError) as error:
        partial = Outcome(error=repr(error))
    partial.calls = list(calls)
    return partial


def look_up(router: Router, method: str, path: str) -> Outcome:
    calls.clear()
    try:
        found = router.match(method, path, scope_of(method, path))
    except (LookupError, ValueError) as error:
        return Outcome(error=repr(error), calls=list(calls))
    if found is None:
        return Outcome(calls=list(calls))
    assert found.params is None or found.params
    payload = found.payload and {k: v for k, v in found.payload.items() if k != "endpoint"}
    return Outcome(found.entry.target, found.full, list((found.params or {}).items()), payload, calls=list(calls))


def assert_equal(routes: Sequence[BaseRoute], method: str, path: str, hint: bool = False) -> Outcome:
    expected = scan(routes, method, path)
    answer = look_up(Router([entry_of(item, hint) for item in routes]), method, path)
    if hint:  # entries that cannot match are not asked at all
        assert set(answer.calls) <= set(expected.calls)
        answer.calls = expected.calls
    assert answer == expected
    assert [type(value) for _, value in answer.params] == [type(value) for _, value in expected.params]
    return answer


LITERALS = ["", "a", "b", "me", "5", "é", "𝄞", "a\n", "\n", "{", "{a-b}", "a.b"]
PARAMETERS = ["{%s}", "{%s}", "{%s:str}", "{%s:int}", "{%s:int}", "{%s:float}", "{%s:uuid}", "{%s:path}", "{%s:word}"]
PARAMETERS += ["{%s:negative}", "a{%s}", "{%s}.b", "{%s:int}{%s_}", "{%s}.{%s_:path}"]
TEXTS = ["", "a", "b", "me", "5", "007", "1.5", "1.", ".5", "1\u0660", "é", "𝄞", "\udc80", "a\n", "5\n", "\n", "\n\n"]
TEXTS += ["a\rb", "a\u2028", "a.b", "ab", "bad", ID, ID.replace("-", ""), ID.upper(), ID[:-1], ID.replace("-", "--")]
TEXTS += ["1.5\n", ID + "\n", "123456789012345678", "1234567890123456789", "{", "{a-b}", LONG]
METHODS = ["GET", "POST", "PUT"]


@st.composite
def templates(draw: st.DrawFn) -> str:
    segments = draw(st.lists(st.sampled_from(LITERALS) | st.sampled_from(PARAMETERS), min_size=1, max_size=4))
    named = [segment.replace("%s", f"p{depth}") for depth, segment in enumerate(segments)]
    return "/" + "/".join(named)


def routes() -> st.SearchStrategy[list[BaseRoute]]:
    methods: st.SearchStrategy[list[str]] = st.lists(st.sampled_from(METHODS), max_size=2, unique=True)
    plain = st.builds(lambda path, names: route(path, *names), templates(), methods)
    mounts = st.builds(lambda path: Mount(path, Starlette()), st.sampled_from(["", "/a", "/a/b", "/é"]))
    others = st.builds(Unruly, st.sampled_from(["", "/", "/a", "/a/", "/a/b", "//", "/me/5/a", "a"]))
    return st.lists(st.one_of(plain, plain, plain, plain, mounts, others), max_size=10)


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[BaseRoute], str, str]:
    """A table, a method, and a path that most often fits one of the templates or differs from it in one segment."""
    table = draw(routes())
    text, short = st.sampled_from(TEXTS), st.sampled_from(["", "", "", "\n", "/"])
    shapes = [item.path for item in table if isinstance(item, Route)]
    from_template = draw(st.integers(0, 5)) > 0
    if shapes and from_template:
        shape = draw(st.sampled_from(shapes))
        path = re.sub(r"\{p\w*(:\w+)?\}", lambda _: draw(text), shape) + draw(short)
    else:
        segments = draw(st.lists(text, max_size=5))
        path = draw(st.sampled_from(["/", "/", "/", ""])) + "/".join(segments)
    return table, draw(st.sampled_from([*METHODS, "HEAD"])), path


@settings(max_examples=600, deadline=None)
@given(requests(), st.booleans())
def test_answers_as_the_linear_scan_does(request: tuple[list[BaseRoute], str, str], hint: bool) -> None:
    table, method, path = request
    assert_equal(table, method, path, hint)


HEX = ID.replace("-", "")
VALUES = [HEX, HEX[:24] + "-" + HEX[24:], ID.replace("-", "--"), ID[:9] + ID[10:], ID.upper(), "g" + ID[1:]]
VALUES += ["x", "x\n", "\n", "", "5", "5\n", "5\n\n", "\u0665", "1.5", "1.", "1.5.5", "1.\n", ID, ID + "\n", ID + "-"]


@pytest.mark.parametrize("kind", ["str", "int", "float", "uuid", "path", "word", "negative"])
@pytest.mark.parametrize("shape", ["/{x:%s}", "/a/{x:%s}", "/a/{x:%s}/", "/a/{x:%s}/b", "/a{x:%s}", "//{x:%s}"])
def test_each_kind_admits_and_converts_as_in_the_reference(shape: str, kind: str) -> None:
    template = shape % kind
    matched = 0
    for value in [*VALUES, "a/b", "a\nb", "a/\n"]:
        for end in ("", "\n", "/"):
            path = template[: template.index("{")] + value + template[template.index("}") + 1 :] + end
            matched += assert_equal([route(template, "GET")], "GET", path).full
    assert matched


@pytest.mark.parametrize("path", ["/", "", "*", "/a", "a", "/a\n", "/a\n\n", "/a/", "//", "//a", "/a//b", "/a//b\n"])
def test_fixed_paths_are_compared_as_the_regex_does(path: str) -> None:
    table = [route(item, "GET") for item in ("/", "/a", "/a/", "//", "/a//b", "/a\n")]
    assert_equal(table, "GET", path)
    assert_equal(table[::-1], "GET", path)


@pytest.mark.parametrize("path", ["/x/a", "/x/a\n", "/x/b\n", "/x/b\n\n", "/x/\n", "/x/", "/y/a\n", "/y/b\n", "/y/\n"])
def test_a_literal_after_a_parameter_is_compared_as_the_regex_does(path: str) -> None:
    # One node with several literals, one with a single literal.
    templates = ["/{w}/b\n", "/{x}/b", "/{x}/a", "/{x}/", "/y/{x}", "/y/z/{x}/a"]
    for order in (templates, templates[::-1]):
        assert_equal([route(item, "GET") for item in order], "GET", path)
        for item in order:
            assert_equal([route(item, "GET")], "GET", path)


def test_registration_order_decides_between_fixed_and_parameter() -> None:
    parameter, fixed = route("/users/{id}", "GET"), route("/users/me", "GET")
    assert assert_equal([parameter, fixed], "GET", "/users/me").target is parameter
    assert assert_equal([fixed, parameter], "GET", "/users/me").target is fixed
    assert assert_equal([fixed, parameter], "GET", "/users/you").params == [("id", "you")]


def test_a_later_full_match_beats_an_earlier_partial_one() -> None:
    first, second, third = route("/a/{x:int}", "GET"), route("/a/{y}", "PUT"), route("/a/5", "POST")
    table = [first, second, third]
    assert assert_equal(table, "POST", "/a/5").target is third
    assert assert_equal(table, "PUT", "/a/5").params == [("y", "5")]
    partial = assert_equal(table, "DELETE", "/a/5")
    assert (partial.target, partial.full, partial.params) == (first, False, [("x", 5)])


def test_without_methods_every_method_is_accepted() -> None:
    regex, _, convertors = compile_path("/a")
    for methods in (None, frozenset[str]()):
        entry = Entry("target", regex, convertors, "/a", methods)
        found = Router([entry]).match("BREW", "/a", None)
        assert found is not None and found.full and entry.methods is None


def test_parameters_are_new_for_each_request_and_in_template_order() -> None:
    router = Router([entry_of(route("/{z}/{a:int}/{m:uuid}/{k:float}/{b:path}", "GET"), False)])
    path = f"/z/1/{ID}/2.5/c/d"
    first, second = router.match("GET", path, None), router.match("GET", path, None)
    assert first is not None and second is not None and first.params is not second.params
    assert list((first.params or {}).items()) == [("z", "z"), ("a", 1), ("m", uuid.UUID(ID)), ("k", 2.5), ("b", "c/d")]


def test_an_integer_too_long_for_python_raises_even_where_another_route_would_match() -> None:
    number, text = route("/a/{x:int}", "PUT"), route("/a/{y}", "GET")
    assert "Exceeds the limit" in assert_equal([number, text], "GET", f"/a/{LONG}").error
    assert "Exceeds the limit" in assert_equal([route("/a/{z}", "PUT"), number, text], "GET", f"/a/{LONG}").error
    assert assert_equal([text, number], "GET", f"/a/{LONG}").target is text
    assert assert_equal([route("/a/{x:int}/b", "GET"), text], "GET", f"/a/{LONG}").target is text


def test_a_convertor_that_raises_is_heard_only_when_it_is_its_turn() -> None:
    word, text = route("/a/{x:word}", "PUT"), route("/a/{y}", "GET")
    assert assert_equal([word, text], "GET", "/a/bad").error == "LookupError('bad')"
    assert assert_equal([text, word], "GET", "/a/bad").calls == []


def test_a_convertor_is_not_mistaken_for_a_native_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Digits(StringConvertor):
        regex = "[0-9]+"

    monkeypatch.setitem(CONVERTOR_TYPES, "digits", Digits())
    assert assert_equal([route("/{x:digits}", "GET")], "GET", "/05").params == [("x", "05")]
    assert assert_equal([route("/{x:negative}", "GET")], "GET", "/05").params == [("x", -5)]


def test_a_regex_of_its_own_is_asked_instead_of_the_template() -> None:
    item = route("/Users/{name}", "GET")
    item.path_regex = re.compile(item.path_regex.pattern, re.IGNORECASE)
    assert assert_equal([item], "GET", "/uSERS/Ann").params == [("name", "Ann")]
    fixed = route("/Users", "GET")
    fixed.path_regex = re.compile("^/(?:users|people)$")
    assert assert_equal([fixed, route("/people", "GET")], "GET", "/people").target is fixed
    assert assert_equal([fixed], "GET", "/Users").target is None


def test_a_convertor_pattern_that_leaves_its_group_is_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Escape(WordConvertor):
        regex = "a)|(?:/b"

        def convert(self, value: str | None) -> str:
            return repr(value)

    monkeypatch.setitem(CONVERTOR_TYPES, "escape", Escape())
    assert assert_equal([route("/a/b/{x:escape}", "GET")], "GET", "/b").params == [("x", "None")]


def test_opaque_entries_keep_their_place_and_are_not_asked_after_a_full_match() -> None:
    before, item, after = Unruly("/a"), route("/a/{x}", "POST"), Unruly("/a/")
    table = [before, item, after]
    assert assert_equal(table, "GET", "/a/b").calls == ["/a"]
    posted = assert_equal(table, "POST", "/a/b")
    assert (posted.target, posted.calls) == (item, ["/a"])
    put = assert_equal(table, "PUT", "/a/b")
    assert (put.target, put.full, put.payload, put.calls) == (before, False, {"unruly": "/a"}, ["/a", "/a/"])
    assert assert_equal([item, before], "POST", "/a/b").calls == []


@pytest.mark.parametrize("prefix", ["", "/", "/a", "/a/", "/a/b", "/a/b/", "a", "//", "/" + "a/" * 40])
@pytest.mark.parametrize("path", ["", "/", "a", "/a", "/a/", "/ab", "/a/b", "/a/bc/", "/a/b/c", "//", "/" + "a/" * 41])
def test_a_prefix_only_spares_questions(prefix: str, path: str) -> None:
    asked: list[Any] = []

    def ask(exchange: Any) -> tuple[bool, str]:
        asked.append(exchange)
        return True, "payload"

    entry = Entry.opaque("target", ask, prefix)
    found = Router([entry]).match("GET", path, "exchange")
    assert (found is not None) == path.startswith(prefix) == bool(asked)
    if found is not None:
        assert (found.entry, found.full, found.params, found.payload) == (entry, True, None, "payload")


def test_what_an_opaque_entry_raises_or_answers_wrongly_reaches_the_caller() -> None:
    def fail(exchange: Any) -> Any:
        raise KeyError(exchange)

    with pytest.raises(KeyError, match="exchange"):
        Router([Entry.opaque(None, fail)]).match("GET", "/", "exchange")
    with pytest.raises(TypeError):
        Router([Entry.opaque(None, lambda _: 1)]).match("GET", "/", None)  # type: ignore[arg-type,return-value]


class CountingRegex:
    """Stands in for a compiled regex and counts how often it is asked."""

    asked = 0

    def __init__(self, regex: re.Pattern[str]) -> None:
        self.regex, self.flags, self.pattern = regex, regex.flags, regex.pattern

    def match(self, path: str) -> re.Match[str] | None:
        CountingRegex.asked += 1
        return self.regex.match(path)


def counting_entry(template: str) -> Entry:
    regex, _, convertors = compile_path(template)
    return Entry(template, CountingRegex(regex), convertors, template, frozenset({"GET"}))  # type: ignore[arg-type]


def test_the_cost_does_not_grow_with_the_number_of_routes() -> None:
    shapes = ["/r%d", "/r%d/{x}", "/r%d/{x:int}/{y:path}", "/r%d/{x}/f/{y}.{z}", "/{w}/r%d/{x:word}"]
    router = Router([counting_entry(shape % i) for shape in shapes for i in range(200)])
    asked = {"/r199": 0, "/r199/x": 0, "/r199/5/y/z": 0, "/r199/x/f/y.z": 1, "/w/r199/x": 1, "/none/of/them": 0}
    for path, times in asked.items():
        CountingRegex.asked = 0
        assert (router.match("GET", path, None) is None) == (path == "/none/of/them")
        assert CountingRegex.asked == times, path


@pytest.mark.parametrize("home", [CONVERTOR_TYPES, OWN_CONVERTOR_TYPES])
def test_the_built_in_convertors_need_no_regex(home: dict[str, Any]) -> None:
    texts = {"str": "x", "int": "5", "float": "1.5", "uuid": ID, "path": "x/y"}
    for kind, text in texts.items():
        regex = CountingRegex(compile_path(f"/a/{{x:{kind}}}")[0])
        entry = Entry(None, regex, {"x": home[kind]}, f"/a/{{x:{kind}}}", None)  # type: ignore[arg-type]
        CountingRegex.asked = 0
        found = Router([entry]).match("GET", f"/a/{text}", None)
        assert found is not None and found.params == {"x": home[kind].convert(text)} and CountingRegex.asked == 0


def test_a_fixed_path_pays_for_no_entry_that_comes_later() -> None:
    router = Router([counting_entry("/a"), counting_entry("/{x}{y}"), counting_entry("/b")])
    CountingRegex.asked = 0
    first, second = router.match("GET", "/a", None), router.match("GET", "/b", None)
    assert first is not None and first.entry.target == "/a" and CountingRegex.asked == 0
    assert second is not None and second.entry.target == "/b"


@pytest.mark.parametrize("path", ["/" * 10_000, "/a" * 10_000, "/a/" + "b" * 10_000, "/" + "\n" * 10_000])
def test_long_paths(path: str) -> None:
    table = [route("/a/{x}/a", "GET"), route("/{p:path}/c", "GET"), route("/b/{p:path}", "GET")]
    assert_equal(table, "GET", path)
    assert_equal([*table, route("/{p:path}", "POST")], "GET", path)


@pytest.mark.parametrize("depth", [31, 32, 33, 34, 200])
@pytest.mark.parametrize("last", ["a", "{y}", "{y:int}", "{y:path}", "{y}.b", ""])
def test_templates_deeper_than_the_trie(depth: int, last: str) -> None:
    template = "/a" * (depth - 2) + "/{x}/" + last
    table = [route(template, "GET"), route("/a" * (depth - 2) + "/a/a", "GET"), route("/{p:path}")]
    for end in ("a", "5", "a.b", "", "b/c", "a\n"):
        for middle in ("/a/", "//"):
            assert_equal(table, "GET", "/a" * (depth - 2) + middle + end)


def test_many_overlapping_templates() -> None:
    """Every choice between a literal and a parameter at each of seven depths, more candidate lists than are merged."""
    table: list[BaseRoute] = []
    for bits in range(2**7):
        segments = [f"{{p{depth}}}" if bits >> depth & 1 else "a" for depth in range(7)]
        table.append(route("/" + "/".join(segments), METHODS[bits % 3]))
    table.append(Unruly("/a"))
    for order in (table, table[::-1]):
        for path in ("/a/a/a/a/a/a/a", "/a/b/a/b/a/a/a", "/b/b/b/b/b/b/b", "/a/a/a/a/a/a/a\n", "/a/a/a/a/a/a/"):
            for method in (*METHODS, "DELETE"):
                assert_equal(order, method, path)


def test_an_entry_may_stand_in_several_tables() -> None:
    first, second = (entry_of(route(path, "GET"), False) for path in ("/{x}", "/a"))
    for entries in ([first, second], [second, first], [second, first, second]):
        found = Router(entries).match("GET", "/a", None)
        assert found is not None and found.entry is entries[0]


def test_wrong_arguments_are_refused() -> None:
    router = Router([])
    assert router.entries == () and router.match("GET", "/", None) is None
    with pytest.raises(TypeError):
        router.match("GET", None, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        router.match("GET", b"/", None)  # type: ignore[arg-type]
    for item in (None, "/a"):
        with pytest.raises(TypeError, match="Expected an Entry"):
            Router([item])  # type: ignore[list-item]


def test_requests_leave_nothing_behind() -> None:
    items = [route("/a/{x}/{y:int}", "GET"), route("/a/b", "GET"), route("/a/{x}.{y}", "GET"), Unruly("/u")]
    router = Router([entry_of(item, True) for item in items])
    paths = ["/a/" + "x" * 300 + "/5", "/a/b", "/a/b\n", "/a/c.d", "/u/v", "/none", "/a/x/" + LONG, "/a/x/é"]

    def serve() -> int:
        for _ in range(200):
            for path in paths:
                look_up(router, "GET", path)
        calls.clear()
        gc.collect()
        return sys.getallocatedblocks()

    serve()
    before = serve()
    assert serve() - before < 100
