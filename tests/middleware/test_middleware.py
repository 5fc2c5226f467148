import functools
from typing import Any

import pytest
import starlette.middleware

from turboapi.middleware import Middleware


class Custom:
    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        self.arguments = (app, args, kwargs)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError


def function(app: Any, *args: Any) -> Any:
    return app


@pytest.mark.parametrize("cls", [Custom, function, functools.partial(Custom)], ids=["class", "function", "partial"])
@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), (("foo", 1), {}), (("foo",), {"bar": [2]}), ((), {"bar": None})]
)
def test_declaration_unpacks_and_prints_like_the_reference(cls: Any, args: tuple[Any, ...], kwargs: Any) -> None:
    ours, theirs = Middleware(cls, *args, **kwargs), starlette.middleware.Middleware(cls, *args, **kwargs)
    assert tuple(ours) == tuple(theirs) == (cls, args, kwargs)
    assert (ours.cls, ours.args, ours.kwargs) == (cls, args, kwargs)
    assert repr(ours) == repr(theirs)


def test_repr_shows_the_arguments() -> None:
    assert repr(Middleware(Custom, "foo", bar=123)) == "Middleware(Custom, 'foo', bar=123)"
