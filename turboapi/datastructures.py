"""The values a handler meets: addresses and URLs, multi-dicts, headers, uploaded files, `State`.

The request's own views (`Headers`, `QueryParams`) cost next to nothing until they are looked into: headers are decoded
one by one on access, a query string is parsed on the first access.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    Sequence,
    ValuesView,
)
from functools import cached_property
from ipaddress import AddressValueError, IPv6Address
from operator import itemgetter
from shlex import shlex
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar, cast
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from pydantic import GetJsonSchemaHandler
from pydantic_core.core_schema import with_info_plain_validator_function

from turboapi._speedups.query import parse_query
from turboapi._utils import parse_host_header
from turboapi.concurrency import run_in_threadpool
from turboapi.types import Scope

_KeyType = TypeVar("_KeyType")
_CovariantValueType = TypeVar("_CovariantValueType", covariant=True)

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_NETLOC_PARTS = frozenset(("username", "password", "hostname", "port"))
_SCHEMES = {"http": ("http", "https"), "websocket": ("ws", "wss")}  # protocol -> (plain, secure)


class Address(NamedTuple):
    """A peer's host and port."""

    host: str
    port: int


def _netloc_from_scope(scope: Scope) -> str | None:
    """The authority a request was sent to: its Host header if valid, else the server's own address, else None."""
    header = next((value for name, value in scope["headers"] if name == b"host"), None)
    parsed = parse_host_header(header.decode("latin-1")) if header is not None else None
    if parsed is not None and parsed.is_valid_port:
        return parsed.authority
    server = scope.get("server")
    if server is None:
        return None
    host, port = server
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return host if port == _DEFAULT_PORTS.get(scope.get("scheme", "http")) else f"{host}:{port}"


def _hide_authority(path: str) -> str:
    """A path that begins with `//` would be read as an authority; escape the second slash."""
    return "/%2F" + path[2:] if path.startswith("//") else path


def _url_from_scope(scope: Scope) -> str:
    path = scope["path"].replace("?", "%3F").replace("#", "%23").replace("\\", "%5C")
    query = scope.get("query_string", b"").decode()
    netloc = _netloc_from_scope(scope)
    if netloc is None:
        path = _hide_authority(path)
        return f"{path}?{query}" if query else path
    return SplitResult(scope.get("scheme", "http"), netloc, path, query, "").geturl()


class URL:
    """An immutable URL, made from a string, from an ASGI scope, or from components (`scheme=`, `hostname=`, ...)."""

    def __init__(self, url: str = "", scope: Scope | None = None, **components: Any) -> None:
        if scope is not None:
            assert not url, 'Cannot set both "url" and "scope".'
            assert not components, 'Cannot set both "scope" and "**components".'
            url = _url_from_scope(scope)
        elif components:
            assert not url, 'Cannot set both "url" and "**components".'
            url = URL("").replace(**components).components.geturl()
        self._url = url

    @cached_property
    def components(self) -> SplitResult:
        """The five parts of `urllib.parse.urlsplit`."""
        return urlsplit(self._url)

    @property
    def scheme(self) -> str:
        return self.components.scheme

    @property
    def netloc(self) -> str:
        return self.components.netloc

    @property
    def path(self) -> str:
        return self.components.path

    @property
    def query(self) -> str:
        return self.components.query

    @property
    def fragment(self) -> str:
        return self.components.fragment

    @property
    def username(self) -> None | str:
        return self.components.username

    @property
    def password(self) -> None | str:
        return self.components.password

    @property
    def hostname(self) -> None | str:
        return self.components.hostname

    @property
    def port(self) -> int | None:
        return self.components.port

    @property
    def is_secure(self) -> bool:
        """Whether the scheme is `https` or `wss`."""
        return self.scheme in ("https", "wss")

    def _netloc_with(self, username: str | None, password: str | None, hostname: str | None, port: int | None) -> str:
        if hostname is None:
            host = self.netloc.rpartition("@")[2]
            if not host.endswith("]"):
                host = host.rsplit(":", 1)[0]
        else:
            host = _bracket_ipv6(hostname)
        if port is not None:
            host = f"{host}:{port}"
        if username is None:
            return host
        return f"{username}@{host}" if password is None else f"{username}:{password}@{host}"

    def replace(self, **kwargs: Any) -> URL:
        """A copy with other components: those of `urlsplit`, and `username`, `password`, `hostname`, `port`."""
        if not _NETLOC_PARTS.isdisjoint(kwargs):
            kwargs["netloc"] = self._netloc_with(
                username=kwargs.pop("username", self.username),
                password=kwargs.pop("password", self.password),
                hostname=kwargs.pop("hostname", None),
                port=kwargs.pop("port", self.port),
            )
        return type(self)(self.components._replace(**kwargs).geturl())

    def _query_items(self) -> MultiDict:
        return MultiDict(parse_qsl(self.query, keep_blank_values=True))

    def include_query_params(self, **kwargs: Any) -> URL:
        """A copy whose query string also has these values; a name already there is replaced."""
        params = self._query_items()
        params.update({str(name): str(value) for name, value in kwargs.items()})
        return self.replace(query=urlencode(params.multi_items()))

    def replace_query_params(self, **kwargs: Any) -> URL:
        """A copy whose query string has these values and no others."""
        return self.replace(query=urlencode([(str(name), str(value)) for name, value in kwargs.items()]))

    def remove_query_params(self, keys: str | Sequence[str]) -> URL:
        """A copy without these names in the query string."""
        params = self._query_items()
        for name in [keys] if isinstance(keys, str) else keys:
            params.pop(name, None)
        return self.replace(query=urlencode(params.multi_items()))

    def __eq__(self, other: Any) -> bool:
        return str(self) == str(other)

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        shown = self.replace(password="********") if self.password else self
        return f"{type(self).__name__}({str(shown)!r})"


def _bracket_ipv6(hostname: str) -> str:
    """An IPv6 address in the brackets a URL needs (RFC 3986 section 3.2.2); other names unchanged."""
    if ":" not in hostname or hostname.startswith("["):
        return hostname
    try:
        IPv6Address(hostname)
    except AddressValueError:
        return hostname
    return f"[{hostname}]"


class URLPath(str):
    """The path `url_path_for` found, with the protocol and host its route is bound to, if any."""

    def __new__(cls, path: str, protocol: Literal["http", "websocket", ""] = "", host: str = "") -> URLPath:
        assert protocol in ("http", "websocket", "")
        return super().__new__(cls, _hide_authority(path.replace("\\", "%5C")))

    def __init__(self, path: str, protocol: Literal["http", "websocket", ""] = "", host: str = "") -> None:
        self.protocol = protocol
        self.host = host

    def make_absolute_url(self, base_url: str | URL) -> URL:
        """The path appended to `base_url`, in the scheme that suits the protocol and the base's security."""
        base = URL(base_url) if isinstance(base_url, str) else base_url
        scheme = _SCHEMES[self.protocol][base.is_secure] if self.protocol else base.scheme
        return URL(scheme=scheme, netloc=self.host or base.netloc, path=base.path.rstrip("/") + str(self))


class Secret:
    """A string that does not show in a `repr()`, so not in a traceback either. `str()` reveals it."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}('**********')"

    def __str__(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)


class CommaSeparatedStrings(Sequence[str]):
    """The items of `a, "b, c", d`, or of a sequence given as such."""

    def __init__(self, value: str | Sequence[str]) -> None:
        if isinstance(value, str):
            splitter = shlex(value, posix=True)
            splitter.whitespace = ","
            splitter.whitespace_split = True
            self._items = [item.strip() for item in splitter]
        else:
            self._items = list(value)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int | slice) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"

    def __str__(self) -> str:
        return ", ".join(map(repr, self))


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    """The (key, value) pairs of a multi-dict, a mapping or an iterable of pairs; none for anything falsy."""
    if not value:
        return []
    if hasattr(value, "multi_items"):
        return list(value.multi_items())
    return list(value.items() if hasattr(value, "items") else value)


class ImmutableMultiDict(Mapping[_KeyType, _CovariantValueType]):
    """A mapping that may hold several values per key.

    As a mapping it shows the last value of each key; `getlist()` and `multi_items()` show all of them.
    """

    _list: list[tuple[_KeyType, _CovariantValueType]]
    _dict: dict[_KeyType, _CovariantValueType]

    def __init__(
        self,
        *args: ImmutableMultiDict[_KeyType, _CovariantValueType]
        | Mapping[_KeyType, _CovariantValueType]
        | Iterable[tuple[_KeyType, _CovariantValueType]],
        **kwargs: Any,
    ) -> None:
        assert len(args) < 2, "Too many arguments."
        self._list = _pairs(args[0]) if args else []
        self._list.extend(cast("Mapping[Any, Any]", kwargs).items())
        self._dict = dict(self._list)

    def getlist(self, key: Any) -> list[_CovariantValueType]:
        """All values of `key` in order; an empty list when there are none."""
        return [item_value for item_key, item_value in self._list if item_key == key]

    def keys(self) -> KeysView[_KeyType]:
        return self._dict.keys()

    def values(self) -> ValuesView[_CovariantValueType]:
        return self._dict.values()

    def items(self) -> ItemsView[_KeyType, _CovariantValueType]:
        return self._dict.items()

    def multi_items(self) -> list[tuple[_KeyType, _CovariantValueType]]:
        """Every (key, value) pair in order."""
        return list(self._list)

    def __getitem__(self, key: _KeyType) -> _CovariantValueType:
        return self._dict[key]

    def __contains__(self, key: Any) -> bool:
        return key in self._dict

    def __iter__(self) -> Iterator[_KeyType]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._dict)

    def __eq__(self, other: Any) -> bool:
        # The order counts among the values of one key, not between keys; values need not be comparable.
        if not isinstance(other, self.__class__):
            return False
        return sorted(self._list, key=_by_key) == sorted(other._list, key=_by_key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.multi_items()!r})"


_by_key: Callable[[tuple[Any, Any]], Any] = itemgetter(0)


class MultiDict(ImmutableMultiDict[Any, Any]):
    """An `ImmutableMultiDict` that can be changed."""

    def _without(self, key: Any) -> list[tuple[Any, Any]]:
        return [item for item in self._list if item[0] != key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.setlist(key, [value])

    def __delitem__(self, key: Any) -> None:
        del self._dict[key]
        self._list = self._without(key)

    def pop(self, key: Any, default: Any = None) -> Any:
        """Remove every value of `key`; the last one comes back, or `default`."""
        self._list = self._without(key)
        return self._dict.pop(key, default)

    def popitem(self) -> tuple[Any, Any]:
        """Remove the key that was added last, with every value of it."""
        key, value = self._dict.popitem()
        self._list = self._without(key)
        return key, value

    def poplist(self, key: Any) -> list[Any]:
        """Remove every value of `key` and return them all."""
        values = self.getlist(key)
        self.pop(key)
        return values

    def clear(self) -> None:
        self._dict.clear()
        self._list.clear()

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self.append(key, default)
        return self[key]

    def setlist(self, key: Any, values: list[Any]) -> None:
        """Replace all values of `key`; an empty list removes it."""
        if not values:
            self.pop(key, None)
            return
        self._list = self._without(key) + [(key, value) for value in values]
        self._dict[key] = values[-1]

    def append(self, key: Any, value: Any) -> None:
        """Add a value to those `key` has already."""
        self._list.append((key, value))
        self._dict[key] = value

    def update(self, *args: MultiDict | Mapping[Any, Any] | list[tuple[Any, Any]], **kwargs: Any) -> None:
        """Replace all values of every key given."""
        new = MultiDict(*args, **kwargs)
        self._list = [item for item in self._list if item[0] not in new] + new._list
        self._dict.update(new._dict)


class QueryParams(ImmutableMultiDict[str, str]):
    """The values of a query string, which is parsed when they are first looked at."""

    def __init__(
        self,
        *args: ImmutableMultiDict[Any, Any] | Mapping[Any, Any] | list[tuple[Any, Any]] | str | bytes,
        **kwargs: Any,
    ) -> None:
        assert len(args) < 2, "Too many arguments."
        value = args[0] if args else ()
        if isinstance(value, str | bytes):
            if not kwargs:
                self._source = value
                return
            value = _query_pairs(value)
        super().__init__(value, **kwargs)
        self._list = [(str(name), str(item)) for name, item in self._list]
        self._dict = {str(name): str(item) for name, item in self._dict.items()}

    def __getattr__(self, name: str) -> Any:
        # Only reached for the two attributes of the base class while they are not computed yet.
        if name == "_list":
            self._list = _query_pairs(self._source)
            return self._list
        if name == "_dict":
            self._dict = dict(self._list)
            return self._dict
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __str__(self) -> str:
        return urlencode(self._list)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


def _query_pairs(value: str | bytes) -> list[tuple[str, str]]:
    # As text it may hold characters that no query string on the wire has.
    return parse_qsl(value, keep_blank_values=True) if isinstance(value, str) else parse_query(bytes(value))


class Headers(Mapping[str, str]):
    """Headers as an immutable multi-dict whose keys ignore case; indexing gives the first value.

    Made from a mapping, from `raw` pairs of lower-case bytes names and values, or from an ASGI `scope`.
    """

    _list: list[tuple[bytes, bytes]]

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        raw: list[tuple[bytes, bytes]] | None = None,
        scope: MutableMapping[str, Any] | None = None,
    ) -> None:
        if headers is not None:
            assert raw is None, 'Cannot set both "headers" and "raw".'
            assert scope is None, 'Cannot set both "headers" and "scope".'
            self._list = [_encode_pair(name, value) for name, value in headers.items()]
        elif raw is not None:
            assert scope is None, 'Cannot set both "raw" and "scope".'
            self._list = raw
        elif scope is not None:
            # ASGI allows any iterable; the list is put back so that changes made to it reach the application.
            self._list = scope["headers"] = list(scope["headers"])
        else:
            self._list = []

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """The pairs as bytes."""
        return list(self._list)

    def keys(self) -> list[str]:  # type: ignore[override]
        return [name.decode("latin-1") for name, _ in self._list]

    def values(self) -> list[str]:  # type: ignore[override]
        return [value.decode("latin-1") for _, value in self._list]

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._list]

    def getlist(self, key: str) -> list[str]:
        """All values of a header in order; an empty list when it is absent."""
        wanted = _encode_name(key)
        return [value.decode("latin-1") for name, value in self._list if name == wanted]

    def mutablecopy(self) -> MutableHeaders:
        """An independent copy that can be changed."""
        return MutableHeaders(raw=self._list[:])

    def __getitem__(self, key: str) -> str:
        wanted = _encode_name(key)
        for name, value in self._list:
            if name == wanted:
                return value.decode("latin-1")
        raise KeyError(key)

    def __contains__(self, key: Any) -> bool:
        wanted = _encode_name(key)
        return any(name == wanted for name, _ in self._list)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._list)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Headers) and sorted(self._list) == sorted(other._list)

    def __repr__(self) -> str:
        as_dict = dict(self.items())
        content = f"{as_dict!r}" if len(as_dict) == len(self) else f"raw={self.raw!r}"
        return f"{type(self).__name__}({content})"


def _encode_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


def _encode_pair(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("latin-1"), value.encode("latin-1")


class MutableHeaders(Headers):
    """Headers that can be changed. `raw` is the live list, so that it can be handed on before they are complete."""

    def __setitem__(self, key: str, value: str) -> None:
        """Replace the header in the place where it first occurs, or append it."""
        name = key.lower().encode("latin-1")
        pair = (name, value.encode("latin-1"))
        # PERF: nearly always it is not there.
        for present, _ in self._list:
            if present == name:
                break
        else:
            self._list.append(pair)
            return
        first, *others = self._places(name)
        for index in reversed(others):
            del self._list[index]
        self._list[first] = pair

    def __delitem__(self, key: str) -> None:
        """Remove every occurrence; nothing happens when there is none."""
        for index in reversed(self._places(_encode_name(key))):
            del self._list[index]

    def _places(self, wanted: bytes) -> list[int]:
        return [index for index, (name, _) in enumerate(self._list) if name == wanted]

    def __ior__(self, other: Mapping[str, str]) -> MutableHeaders:
        self.update(_checked_mapping(other))
        return self

    def __or__(self, other: Mapping[str, str]) -> MutableHeaders:
        new = self.mutablecopy()
        new.update(_checked_mapping(other))
        return new

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        return self._list

    def setdefault(self, key: str, value: str) -> str:
        """The header's value, after appending `value` when it was absent."""
        pair = _encode_pair(key, value)
        for name, present in self._list:
            if name == pair[0]:
                return present.decode("latin-1")
        self._list.append(pair)
        return value

    def update(self, other: Mapping[str, str]) -> None:
        """Set every header of `other`."""
        for name, value in other.items():
            self[name] = value

    def append(self, key: str, value: str) -> None:
        """Add a header beside those of the same name."""
        self._list.append(_encode_pair(key, value))

    def add_vary_header(self, vary: str) -> None:
        """Add a field name to Vary (RFC 9110 section 12.5.5)."""
        self["vary"] = ", ".join([*self.getlist("vary"), vary])


def _checked_mapping(value: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"Expected a mapping but got {type(value).__name__}")
    return value


class StarletteUploadFile:
    """A file that came in a form: what the form parser makes.

    `file` is an ordinary binary file. The async methods work on it directly while it is in memory and in a worker
    thread once it is on disk.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        size: int | None = None,
        filename: str | None = None,
        headers: Headers | None = None,
    ) -> None:
        # In the reference's order: validation errors show the attributes.
        self.filename = filename
        self.file = file
        self.size = size
        self.headers = headers or Headers()
        # Of a SpooledTemporaryFile, whose 0 means that it never goes to disk by itself.
        self._max_mem_size: int = getattr(file, "_max_size", 0)

    @property
    def content_type(self) -> str | None:
        """The part's own Content-Type, as sent by the client."""
        return self.headers.get("content-type", None)

    @property
    def _in_memory(self) -> bool:
        return not getattr(self.file, "_rolled", True)

    def _will_roll(self, size_to_add: int) -> bool:
        if not self._in_memory:
            return True
        return self._max_mem_size > 0 and self.file.tell() + size_to_add > self._max_mem_size

    async def write(self, data: bytes) -> None:
        """Append at the current position; `size` grows when it is known."""
        if self.size is not None:
            self.size += len(data)
        if self._will_roll(len(data)):
            await run_in_threadpool(self.file.write, data)
        else:
            self.file.write(data)

    async def _write_parts(self, parts: Sequence[bytes | memoryview]) -> None:
        """Write what has come in several parts, with at most one way to a worker thread."""
        size = sum(map(len, parts))
        if self.size is not None:
            self.size += size
        if self._will_roll(size):
            await run_in_threadpool(self._write_each, parts)
        else:
            self._write_each(parts)

    def _write_each(self, parts: Sequence[bytes | memoryview]) -> None:
        for part in parts:
            self.file.write(part)

    async def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, or to the end."""
        if self._in_memory:
            return self.file.read(size)
        return await run_in_threadpool(self.file.read, size)

    async def seek(self, offset: int) -> None:
        """Move to `offset` bytes from the start."""
        if self._in_memory:
            self.file.seek(offset)
        else:
            await run_in_threadpool(self.file.seek, offset)

    async def close(self) -> None:
        """Close the file; a temporary one is deleted with it."""
        if self._in_memory:
            self.file.close()
        else:
            await run_in_threadpool(self.file.close)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(filename={self.filename!r}, size={self.size!r}, headers={self.headers!r})"


StarletteUploadFile.__name__ = "UploadFile"


class UploadFile(StarletteUploadFile):
    """An uploaded file as a parameter type: `async def upload(file: UploadFile)`."""

    @classmethod
    def _validate(cls, value: Any, _: Any) -> UploadFile:
        # The parser's own class is let through as it is.
        if not isinstance(value, StarletteUploadFile):
            raise ValueError(f"Expected UploadFile, received: {type(value)}")
        return cast(UploadFile, value)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Mapping[str, Any], handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "contentMediaType": "application/octet-stream"}

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: Callable[[Any], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", with_info_plain_validator_function(cls._validate))


class FormData(ImmutableMultiDict[str, StarletteUploadFile | str]):
    """The fields and files of a form. `close()` closes the files."""

    def __init__(
        self,
        *args: FormData | Mapping[str, str | StarletteUploadFile] | list[tuple[str, str | StarletteUploadFile]],
        **kwargs: str | StarletteUploadFile,
    ) -> None:
        super().__init__(*args, **kwargs)

    async def close(self) -> None:
        """Close every uploaded file."""
        for _, value in self.multi_items():
            if isinstance(value, StarletteUploadFile):
                await value.close()


class State:
    """Arbitrary attributes, also reachable by index: `request.state`, `app.state`. Wraps the dict it is given."""

    _state: dict[str, Any]

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        super().__setattr__("_state", {} if state is None else state)

    def __setattr__(self, key: Any, value: Any) -> None:
        self._state[key] = value

    def __getattr__(self, key: Any) -> Any:
        # Through __dict__, as `_state` itself is missing while an instance is being copied or unpickled.
        try:
            return self.__dict__["_state"][key]
        except KeyError:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{key}'") from None

    def __delattr__(self, key: Any) -> None:
        del self._state[key]

    def __getitem__(self, key: str) -> Any:
        return self._state[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._state[key] = value

    def __delitem__(self, key: str) -> None:
        del self._state[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)


class DefaultPlaceholder:
    """A default value marked as such, to tell it from the same value given on purpose."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __bool__(self) -> bool:
        return bool(self.value)

    def __eq__(self, o: object) -> bool:
        return isinstance(o, DefaultPlaceholder) and o.value == self.value


DefaultType = TypeVar("DefaultType")


def Default(value: DefaultType) -> DefaultType:
    """Mark `value` as a default. Typed as the value itself, so that it fits a parameter of that type."""
    return cast(DefaultType, DefaultPlaceholder(value))


_Unset = Default(None)
"""The default of parameters for which None is a meaningful value."""
