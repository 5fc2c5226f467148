"""TurboAPI: FastAPI applications, answered by a compiled core."""

from turboapi import status
from turboapi.applications import TurboAPI
from turboapi.background import BackgroundTasks
from turboapi.datastructures import UploadFile
from turboapi.exceptions import HTTPException, WebSocketException
from turboapi.param_functions import Body, Cookie, Depends, File, Form, Header, Path, Query, Security
from turboapi.requests import Request
from turboapi.responses import Response
from turboapi.routing import APIRouter
from turboapi.websockets import WebSocket, WebSocketDisconnect

__version__ = "0.1.0"

__all__ = [
    "APIRouter",
    "BackgroundTasks",
    "Body",
    "Cookie",
    "Depends",
    "File",
    "Form",
    "HTTPException",
    "Header",
    "Path",
    "Query",
    "Request",
    "Response",
    "Security",
    "TurboAPI",
    "UploadFile",
    "WebSocket",
    "WebSocketDisconnect",
    "WebSocketException",
    "status",
]
