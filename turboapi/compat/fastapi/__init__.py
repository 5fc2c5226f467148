"""What `import fastapi` gives."""

from types import ModuleType

from turboapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    File,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    Security,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
    status,
)
from turboapi._utils import FASTAPI_RELEASE
from turboapi.compat import submodule
from turboapi.compat.fastapi.applications import FastAPI

__version__ = FASTAPI_RELEASE

__all__ = [
    "APIRouter",
    "BackgroundTasks",
    "Body",
    "Cookie",
    "Depends",
    "FastAPI",
    "File",
    "Form",
    "HTTPException",
    "Header",
    "Path",
    "Query",
    "Request",
    "Response",
    "Security",
    "UploadFile",
    "WebSocket",
    "WebSocketDisconnect",
    "WebSocketException",
    "status",
]


def __getattr__(name: str) -> ModuleType:
    return submodule("fastapi", name)
