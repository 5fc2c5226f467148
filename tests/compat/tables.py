"""Strategies for route tables: paths, methods, prefixes, converters, and requests that nearly match them."""

import re
from urllib.parse import quote

from hypothesis import strategies as st

from tests.compat.client import Request

__all__ = ["route_requests", "tables"]

SEGMENTS = (
    "a",
    "b",
    "{x}",
    "{x:int}",
    "{x:float}",
    "{x:path}",
    "{x:str}",
    "{x:uuid}",
    "{y}",
    "a{x}",
    "{x}.{y}",
    "{x}-b",
    "a b",
    "é",
    "A",
    "{x:int}b",
    "",
    "a.b",
    "%41",
    "+",
)
WIRE_SEGMENTS = (b"a", b"b", b"1", b"1.5", b"-1", b"00000000-0000-0000-0000-000000000005", b"a1", b"x.y", b"x.y.z", b"1-b", b"a%20b", b"%C3%A9", b"A", b"%61", b"a%2Fb", b"",
                 b"..", b"1b", b"%", b"%ff", b"c", b"aab", b"a.b", b"axb", b"%2541", b"%41", b"+", b"*")  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")


_VARIABLE = re.compile(r"\{(\w+)[^}]*\}")


@st.composite
def _paths(draw: st.DrawFn) -> str:
    segments = draw(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3))
    path = "/"
    for segment in segments:
        while "{" in segment and set(_VARIABLE.findall(path)) & set(_VARIABLE.findall(segment)):
            segment = draw(st.sampled_from(["b", "{v}", "{w:int}", "{u:path}"]))
        path += segment + "/"
    path = path[:-1] or "/"
    return path if draw(st.integers(0, 4)) else path.rstrip("/") + "/"


def _route(draw: st.DrawFn, owner: str, number: int) -> tuple[str, str]:
    """Return the text and the path of one route."""
    path = draw(_paths())
    kind = draw(st.sampled_from(["verb", "verb", "verb", "verb", "api", "plain", "typed"]))
    name = f"r{number}"
    if kind == "plain":
        methods = draw(st.sampled_from(["", ", methods=['POST']", ", methods=['get', 'PUT']"]))
        return f"{owner}.add_route({path!r}, lambda request: show_plain({name!r}, request){methods})", path
    if kind == "api":
        methods = draw(st.lists(st.sampled_from(METHODS), min_size=1, max_size=2, unique=True))
        return f"{owner}.add_api_route({path!r}, show_route({name!r}), methods={methods})", path
    if kind == "typed":
        return f"@{owner}.get({path!r})\nasync def {name}(x: int = 3):\n    return [{name!r}, show(x)]", path
    verb = draw(st.sampled_from(("get", "get", *METHODS))).lower()
    return f"{owner}.{verb}({path!r})(show_route({name!r}))", path


PREAMBLE = """\
def show_route(name):
    async def handler(request: Request):
        scope = request.scope
        return [name, scope["path_params"], str(request.url), scope["root_path"], scope["path"], str(request.base_url), request["route"].path]
    return handler
def show_plain(name, request):
    return PlainTextResponse(f"{name} {request.path_params} {request.url} {request.scope['root_path']}")
async def asgi(scope, receive, send):
    shown = [scope["root_path"], scope["path"], scope.get("path_params")]
    await JSONResponse(shown)(scope, receive, send)
"""
MOUNTS = ("/m", "/a", "/a/b", "/é", "/{m%d}", "/{m%d:int}", "/m/{m%d}", "")
PREFIXES = ("", "", "/p", "/a", "/{p%d}", "/p/q", "/{p%d:int}")
HOSTS = ("a.test", "{h%d}.test", "testserver", "B.test")
WIRE_HOSTS = (b"a.test", b"A.TEST:80", b"x.test", b"b.test", b"other", b"")
DEEPEST = 3


class _Table:
    """The text of an application while it is drawn, and where its routes are reached."""

    def __init__(self, draw: st.DrawFn, arguments: tuple[str, ...]) -> None:
        self.draw = draw
        self.arguments = arguments
        self.code = [PREAMBLE]
        self.paths: list[str] = []
        self.number = 0

    def next(self) -> int:
        self.number += 1
        return self.number

    def app(self, prefix: str, depth: int) -> str:
        """Draw an application below `prefix`, and return its name."""
        name = f"app{self.next()}"
        self.code.append(f"{name} = App({self.draw(st.sampled_from(self.arguments))})")
        self.fill(name, prefix, depth)
        return name

    def fill(self, owner: str, prefix: str, depth: int) -> None:
        """Add routes to an application or a router, and branches with routes of their own."""
        leaves = ["route"] * 6
        branches = ["include", "include", "mount", "mount", "host", "asgi", "list"] if depth < DEEPEST else []
        for kind in self.draw(st.lists(st.sampled_from(leaves + branches), min_size=1, max_size=3)):
            getattr(self, f"_{kind}")(owner, prefix, depth)

    def _route(self, owner: str, prefix: str, depth: int) -> None:
        text, path = _route(self.draw, owner, self.next())
        self.code.append(text)
        self.paths.append(prefix + path)

    def _place(self, places: tuple[str, ...]) -> str:
        place: str = self.draw(st.sampled_from(places))
        return place.replace("%d", str(self.next()))

    def _include(self, owner: str, prefix: str, depth: int) -> None:
        router, inner, outer = f"router{self.next()}", self._place(PREFIXES), self._place(PREFIXES)
        self.code.append(f"{router} = APIRouter(prefix={inner!r})")
        include = f"{owner}.include_router({router}, prefix={outer!r})"
        early = self.draw(st.booleans())
        if early:
            self.code.append(include)
        self.fill(router, prefix + outer + inner, depth + 1)
        if not early:
            self.code.append(include)

    def _mount(self, owner: str, prefix: str, depth: int) -> None:
        place = self._place(MOUNTS)
        self.code.append(f"{owner}.mount({place!r}, {self.app(prefix + place, depth + 1)})")

    def _host(self, owner: str, prefix: str, depth: int) -> None:
        self.code.append(f"{owner}.host({self._place(HOSTS)!r}, {self.app(prefix, depth + 1)})")

    def _asgi(self, owner: str, prefix: str, depth: int) -> None:
        place = self._place(MOUNTS)
        self.code.append(f"{owner}.mount({place!r}, asgi)")
        self.paths.append(prefix + place + "/a")

    def _list(self, owner: str, prefix: str, depth: int) -> None:
        place = self._place(MOUNTS)
        path, name = self.draw(_paths()), f"r{self.next()}"
        route = f"Route({path!r}, lambda request: show_plain({name!r}, request))"
        self.code.append(f"{owner}.routes.append(Mount({place!r}, routes=[{route}]))")
        self.paths.append(prefix + place + path)


@st.composite
def tables(draw: st.DrawFn, own_root_path: bool = False) -> tuple[str, list[str]]:
    """Return an application with routes, some in included routers, mounts or hosts, and the paths of all routes.

    `own_root_path`: some applications have been told a root path, which is not for those behind a root path of the server.
    """
    table = _Table(draw, ("", "", "", "redirect_slashes=False", *(['root_path="/own"'] if own_root_path else [])))
    table.code.append(f"app = {table.app('', 1)}")
    return "\n".join(table.code), table.paths or ["/"]


def _instance(draw: st.DrawFn, path: str) -> bytes:
    """Return a target that matches a route's path, or nearly."""
    target = b""
    for index, part in enumerate(re.split(r"(\{[^}]*\})", path)):
        target += (
            draw(st.sampled_from(_SUITABLE.get(part.partition(":")[2], WIRE_SEGMENTS)))
            if index % 2
            else quote(part).encode()
        )
    return target or b"/"


_SUITABLE = {
    "int}": (b"1", b"1", b"007", b"-1", b"a", b"1.5"),
    "float}": (b"1.5", b"1", b".5", b"1e3", b"-1"),
    "uuid}": (b"00000000-0000-0000-0000-000000000005", b"00000000000000000000000000000005", b"A0000000-0000-0000-0000-00000000000A", b"x"),
    "str}": (b"a", b"1"),
    "path}": (b"a", b"a/b", b"", b"a/b/", b"/", b"a%2Fb"),
}  # fmt: skip


@st.composite
def route_requests(draw: st.DrawFn, paths: list[str]) -> Request:
    """Return a request for one of `paths`, or one close by."""
    target = _instance(draw, draw(st.sampled_from(paths)))
    change = draw(st.sampled_from(["none"] * 6 + ["slash", "segment", "prefix", "double", "other"]))
    if change == "slash":
        target = target[:-1] or b"/" if target.endswith(b"/") else target + b"/"
    elif change == "segment":
        target = target.rpartition(b"/")[0] + b"/" + draw(st.sampled_from(WIRE_SEGMENTS))
    elif change == "prefix":
        target = draw(st.sampled_from([b"/p", b"/a", b"/root", b"/own", b"/"])) + target
    elif change == "double":
        target = target.replace(b"/", b"//", 1)
    elif change == "other":
        target = b"/" + b"/".join(draw(st.lists(st.sampled_from(WIRE_SEGMENTS), max_size=3)))
    query = draw(st.sampled_from([b"", b"", b"?x=1", b"?x=%C3%A9&b"]))
    host = draw(st.sampled_from(((),) * 4 + tuple(((b"host", name),) for name in WIRE_HOSTS)))
    return Request(draw(st.sampled_from(["GET"] * 6 + ["TRACE", "QUERY", *METHODS])), target + query, host)
