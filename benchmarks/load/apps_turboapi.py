"""The benchmark application on TurboAPI."""

from turboapi import Depends, Header, HTTPException, TurboAPI

from .apps import Framework, build

app = build(Framework(TurboAPI, Depends, Header, HTTPException))
