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
)
from turboapi.compat import submodule
from turboapi.compat.fastapi.applications import FastAPI
from turboapi.compat.starlette import status

__version__ = "0.165.0"  # the release whose behaviour this is

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
