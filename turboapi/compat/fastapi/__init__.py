"""What `import fastapi` gives."""

import logging
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
from turboapi._utils import FASTAPI_RELEASE
from turboapi.compat import submodule
from turboapi.compat.fastapi.applications import FastAPI
from turboapi.compat.starlette import status
from turboapi.logger import logger

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


logger.parent = logging.getLogger("fastapi")  # what is set up for FastAPI's logger goes for ours


def __getattr__(name: str) -> ModuleType:
    return submodule("fastapi", name)
