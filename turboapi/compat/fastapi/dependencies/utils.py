"""`fastapi.dependencies.utils`: reading signatures and solving dependencies."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from turboapi._plan.arguments import request_params_to_args
from turboapi._plan.body import get_body_field as _get_body_field
from turboapi._plan.body import request_body_to_args
from turboapi._plan.body import should_embed_body_fields as _should_embed_body_fields
from turboapi._plan.dependencies import (
    Dependant,
    get_dependant,
    get_flat_params,
    get_parameterless_sub_dependant,
)
from turboapi._plan.dependencies import get_flat_body_params as _get_flat_body_params
from turboapi._plan.fields import Undefined
from turboapi._plan.forms import (
    ensure_multipart_is_installed,
    multipart_incorrect_install_error,
    multipart_not_installed_error,
)
from turboapi._plan.forms import read_file_bytes as _read_file_bytes
from turboapi._plan.handlers import solve
from turboapi._plan.signature import (
    ParamDetails,
    analyze_param,
    get_stream_item_type,
    get_typed_annotation,
    get_typed_return_annotation,
    get_typed_signature,
)
from turboapi.background import StarletteBackgroundTasks
from turboapi.requests import Request
from turboapi.responses import Response
from turboapi.types import DependencyCacheKey
from turboapi.websockets import WebSocket

__all__ = [
    "SolvedDependency",
    "ParamDetails",
    "_get_body_field",
    "_get_flat_body_params",
    "_read_file_bytes",
    "_should_embed_body_fields",
    "analyze_param",
    "ensure_multipart_is_installed",
    "get_dependant",
    "get_flat_params",
    "get_parameterless_sub_dependant",
    "get_stream_item_type",
    "get_typed_annotation",
    "get_typed_return_annotation",
    "get_typed_signature",
    "multipart_incorrect_install_error",
    "multipart_not_installed_error",
    "request_body_to_args",
    "request_params_to_args",
    "solve_dependencies",
]


@dataclass
class SolvedDependency:
    """What `solve_dependencies` returns."""

    values: dict[str, Any]
    errors: list[Any]
    background_tasks: StarletteBackgroundTasks | None
    response: Response
    dependency_cache: dict[DependencyCacheKey, Any]


async def solve_dependencies(
    *,
    request: Request | WebSocket,
    dependant: Dependant,
    body: Any = Undefined,
    background_tasks: StarletteBackgroundTasks | None = None,
    response: Response | None = None,
    dependency_overrides_provider: Any | None = None,
    dependency_cache: dict[DependencyCacheKey, Any] | None = None,
    async_exit_stack: AsyncExitStack | None = None,
    embed_body_fields: bool = False,
) -> SolvedDependency:
    """Call the dependencies of `dependant` and collect what it would be called with.

    The exit stacks are those in the scope of `request`. Results are not shared between calls, so `dependency_cache`
    comes back as it is.
    """
    solved = await solve(
        request,
        dependant,
        body=body,
        provider=dependency_overrides_provider,
        embed_body_fields=embed_body_fields,
    )
    if response is not None:
        response.raw_headers.extend(solved.response.raw_headers)
    if background_tasks is not None and solved.background_tasks is not None:
        background_tasks.tasks.extend(solved.background_tasks.tasks)
    return SolvedDependency(
        values=solved.values,
        errors=solved.errors,
        background_tasks=background_tasks or solved.background_tasks,
        response=response or solved.response,
        dependency_cache={} if dependency_cache is None else dependency_cache,
    )
