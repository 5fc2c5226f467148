"""The functions that declare parameters, as in `q: Annotated[str, Query(max_length=50)]`.

They are typed as returning `Any`, so that type checkers accept them as default values too (`q: str = Query()`). All but
the last two take the keyword options of `turboapi.params.FieldOptions`; other keywords are a TypeError.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Unpack

from pydantic_core import PydanticUndefined as Undefined

from turboapi import params
from turboapi.params import FieldOptions, takes_field_options
from turboapi.types import SyncMode

__all__ = ["Body", "Cookie", "Depends", "File", "Form", "Header", "Path", "Query", "Security"]


@takes_field_options
def Path(default: Any = ..., **options: Unpack[FieldOptions]) -> Any:
    """Declare a path parameter. It is always required; `default` exists only for symmetry.

    Raises:
        AssertionError: a default was given.
    """
    return params.Path(default, **options)


@takes_field_options
def Query(default: Any = Undefined, **options: Unpack[FieldOptions]) -> Any:
    """Declare a query parameter: a scalar, a sequence of scalars (`?tag=a&tag=b`), or a model of several parameters."""
    return params.Query(default, **options)


@takes_field_options
def Header(default: Any = Undefined, *, convert_underscores: bool = True, **options: Unpack[FieldOptions]) -> Any:
    """Declare a header. Unless `convert_underscores` is off, underscores in the parameter's name stand for hyphens."""
    return params.Header(default, convert_underscores=convert_underscores, **options)


@takes_field_options
def Cookie(default: Any = Undefined, **options: Unpack[FieldOptions]) -> Any:
    """Declare a cookie, or a model of several cookies."""
    return params.Cookie(default, **options)


@takes_field_options
def Body(
    default: Any = Undefined,
    *,
    embed: bool | None = None,
    media_type: str = "application/json",
    **options: Unpack[FieldOptions],
) -> Any:
    """Declare the request body.

    `embed` makes it one key of a JSON object, as it always is when there are several body parameters. `media_type`
    is what the OpenAPI document shows.
    """
    return params.Body(default, embed=embed, media_type=media_type, **options)


@takes_field_options
def Form(
    default: Any = Undefined,
    *,
    media_type: str = "application/x-www-form-urlencoded",
    **options: Unpack[FieldOptions],
) -> Any:
    """Declare a form field, or with a model as annotation the whole form. Needs the package `python-multipart`."""
    return params.Form(default, media_type=media_type, **options)


@takes_field_options
def File(default: Any = Undefined, *, media_type: str = "multipart/form-data", **options: Unpack[FieldOptions]) -> Any:
    """Declare an uploaded file or a list of them, as `bytes` or `UploadFile`. Needs the package `python-multipart`."""
    return params.File(default, media_type=media_type, **options)


def Depends(
    dependency: Callable[..., Any] | None = None,
    *,
    use_cache: bool = True,
    scope: Literal["function", "request"] | None = None,
    max_concurrency: int | None = None,
    sync_mode: SyncMode | None = None,
) -> Any:
    """Declare a dependency: the parameter receives what `dependency` (by default the annotation) returns or yields.

    Args:
        dependency: any callable; its own parameters are filled in the same way as a handler's.
        use_cache: call it once per request however often it is declared, and hand out the same value.
        scope: when the code after `yield` runs: `"function"`, before the response is sent, or `"request"`, after it.
        max_concurrency: how many calls made for this declaration may be active at once, in each event loop.
        sync_mode: where a plain function runs, if not as the route's `sync_mode` says.

    Raises:
        ValueError: `max_concurrency` is neither None nor a positive integer, or `sync_mode` is no mode.
    """
    return params.Depends(
        dependency, use_cache=use_cache, scope=scope, max_concurrency=max_concurrency, sync_mode=sync_mode
    )


def Security(
    dependency: Callable[..., Any] | None = None,
    *,
    scopes: Sequence[str] | None = None,
    use_cache: bool = True,
    sync_mode: SyncMode | None = None,
) -> Any:
    """Declare a dependency like `Depends`, and the OAuth 2 scopes it requires. The OpenAPI document lists them."""
    return params.Security(dependency=dependency, scopes=scopes, use_cache=use_cache, sync_mode=sync_mode)
