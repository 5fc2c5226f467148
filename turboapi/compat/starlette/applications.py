"""`starlette.applications`."""

from turboapi import _application
from turboapi._application import Starlette
from turboapi.compat._view import show

__all__ = ["Starlette"]

show(__name__, _application)
