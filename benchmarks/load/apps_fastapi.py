"""The benchmark application on FastAPI."""

from fastapi import Depends, FastAPI, Header, HTTPException

from .apps import Framework, build

app = build(Framework(FastAPI, Depends, Header, HTTPException))
