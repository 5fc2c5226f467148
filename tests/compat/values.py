"""Types and values for applications under test, independent of the framework.

Nothing here may change: both frameworks get the same objects, and what they answer is compared.
"""

import dataclasses
import enum
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial, wraps
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar, Union
from uuid import UUID

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    RootModel,
    SecretStr,
    computed_field,
    field_validator,
)
from typing_extensions import TypedDict

__all__ = [
    "Annotated",
    "Any",
    "AliasChoices",
    "AliasPath",
    "AsyncIterator",
    "Generic",
    "Iterator",
    "Json",
    "Literal",
    "Optional",
    "OrderedDict",
    "SecretStr",
    "Sequence",
    "TypeVar",
    "Union",
    "defaultdict",
    "deque",
    "partial",
    "timezone",
    "wraps",
]

NAN = float("nan")
INF = float("inf")
T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Name(str, enum.Enum):  # noqa: UP042 - as most applications have it
    ANN = "ann"
    BOB = "bob"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


class Item(BaseModel):
    name: str
    price: float = 1.5
    tags: list[str] = []
    note: str | None = None


class Owner(BaseModel):
    id: int
    item: Item
    others: list[Item] = []


class Aliased(BaseModel):
    first_name: str = Field(alias="firstName")
    age: int = Field(default=3, ge=0, serialization_alias="AGE")


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x: int = 0
    y: int | None = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int = 0


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    count: int
    when: datetime | None = None
    key: UUID | None = None


class Rich(BaseModel):
    when: datetime = datetime(2020, 1, 2, 3, 4, 5)
    day: date = date(2020, 1, 2)
    span: timedelta = timedelta(seconds=90)
    amount: Decimal = Decimal("1.10")
    key: UUID = UUID(int=5)
    color: Color = Color.RED
    level: Level = Level.LOW
    secret: SecretStr = SecretStr("s")
    raw: bytes = b"raw"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def doubled(self) -> int:
        return self.level * 2


class Checked(BaseModel):
    even: int

    @field_validator("even")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("not even")
        return value


class Numbers(RootModel[list[int]]):
    pass


class Box(BaseModel, Generic[T]):
    content: T


class Filter(BaseModel):
    """Parameters in a group."""

    limit: int = Field(10, gt=0, le=100)
    offset: int = 0
    order_by: Literal["created_at", "updated_at"] = "created_at"
    tags: list[str] = []


class ClosedFilter(Filter):
    model_config = ConfigDict(extra="forbid")


class CommonHeaders(BaseModel):
    host: str
    save_data: bool = False
    if_modified: str | None = None
    x_tag: list[str] = []


class Cookies(BaseModel):
    session_id: str
    tracker: int | None = None


class OpenFilter(BaseModel):
    model_config = ConfigDict(extra="allow")
    limit: int = 10
    tags: set[str] = set()


class AliasedFilter(BaseModel):
    """Fields that go by other names outside."""

    model_config = ConfigDict(extra="forbid")
    page_size: int = Field(10, alias="Page-Size")
    ids: list[int] = Field([], validation_alias=AliasChoices("ids", "item_id"))
    x_tag: str | None = Field(None, serialization_alias="tag")


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_name=True, alias_generator=lambda name: name.replace("_", "").upper())
    page_size: int
    ids: list[int] | None = None


class Required(BaseModel):
    limit: int
    x_tag: str
    ids: tuple[int, ...]

    @field_validator("limit", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        return value.strip() if isinstance(value, str) else value


class ClosedHeaders(CommonHeaders):
    model_config = ConfigDict(extra="forbid")
    content_length: int | None = None


class ClosedCookies(Cookies):
    model_config = ConfigDict(extra="forbid")


@dataclasses.dataclass
class Point:
    x: int
    y: int = 2


class Movie(TypedDict):
    title: str
    year: int


class Pair(NamedTuple):
    left: int
    right: str


class Plain:
    """An object of no special kind."""

    def __init__(self) -> None:
        self.a = 1
        self._hidden = 2


class UserDict(dict[str, Any]):
    pass


ADDRESS = IPv4Address("127.0.0.1")
PATH = PurePosixPath("/a/b")


def show(value: Any) -> str:
    """Return type and content of a value, so that 1, True and 1.0 differ in an answer."""
    return f"{type(value).__name__} {value!r}"


def show_all(**named: Any) -> dict[str, str]:
    """Return `show` of several values."""
    return {name: show(value) for name, value in named.items()}


EPOCH = datetime(2020, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
NOON = time(12, 0, 1)

FILE = __file__
