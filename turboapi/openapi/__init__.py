"""The OpenAPI document: its models, and how an application is described with them.

The models are imported when a document is made: they are many.
"""

from typing import TYPE_CHECKING

from turboapi._lazy import lazy_attributes

if TYPE_CHECKING:
    from turboapi.openapi.models import OpenAPI

__all__ = ["OpenAPI"]

__getattr__, __dir__ = lazy_attributes(__name__, {"turboapi.openapi.models": ("OpenAPI",)})
