"""The ASGI lifespan protocol: one task that runs the application from its start-up to its shutdown.

The protocol is a small table, `_TRANSITIONS`: what the application may send in which phase, and the phase after it.
An application that raises before it has sent anything does not support lifespans; mode "auto" serves it all the same.
"""

import asyncio
import enum
import logging
from typing import Any

from turboapi.server.config import ServerError
from turboapi.server.importer import summary
from turboapi.types import ASGIApp, Message

logger = logging.getLogger("turboapi.error")

LINGER = 1.0  # seconds an application may take to return after it has said that its shutdown is complete


class StartupError(ServerError):
    """The application or a socket was not ready to serve."""


class Phase(enum.Enum):
    """Where the application stands in its lifespan."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


_TRANSITIONS = {
    (Phase.STARTING, "lifespan.startup.complete"): Phase.RUNNING,
    (Phase.STARTING, "lifespan.startup.failed"): Phase.ENDED,
    (Phase.STOPPING, "lifespan.shutdown.complete"): Phase.ENDED,
    (Phase.STOPPING, "lifespan.shutdown.failed"): Phase.ENDED,
}


class Lifespan:
    """Starts and stops `app`. `state` is the dict that the application fills and every request sees a copy of.

    `mode` is "on" (an application that does not support lifespans is an error), "auto" (it is served without)
    or "off" (nothing is sent).
    """

    def __init__(self, app: ASGIApp, mode: str = "auto") -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._phase = Phase.STARTING
        self._answered = asyncio.Event()
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._failure: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Returns when the application is ready to serve. Raises StartupError when its start-up failed."""
        if self._mode == "off":
            return
        logger.info("Waiting for application startup.")
        self._task = asyncio.create_task(self._run(), name="turboapi-lifespan")
        self._inbox.put_nowait({"type": "lifespan.startup"})
        await self._answered.wait()
        if self._failure is not None:
            raise StartupError(f"application startup failed{self._failure}")
        logger.info("Application startup complete.")

    async def shutdown(self) -> bool:
        """Lets the application shut down, if it is running. False when its lifespan failed, now or before."""
        if self._phase is not Phase.RUNNING:
            failed = self._failure is not None
            await self.cancel()
            return not failed
        logger.info("Waiting for application shutdown.")
        self._phase = Phase.STOPPING
        self._answered.clear()
        self._inbox.put_nowait({"type": "lifespan.shutdown"})
        await self._answered.wait()
        await self._end()
        if self._failure is None:
            logger.info("Application shutdown complete.")
        else:
            logger.error("Application shutdown failed.")
        return self._failure is None

    async def cancel(self) -> None:
        """Ends the lifespan without its shutdown event: the application sees a cancellation."""
        if self._task is not None:
            self._task.cancel()
            await self._end()

    async def _end(self) -> None:
        """Gives the application a moment to return, then leaves it cancelled."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=LINGER)
            self._task.cancel()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._inbox.get, self._send)
        except BaseException as exc:  # SystemExit too: raised through the loop it would skip the orderly stop
            self._on_exception(exc)
        finally:
            self._phase = Phase.ENDED
            self._answered.set()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        following = _TRANSITIONS.get((self._phase, kind))
        if following is None:
            raise RuntimeError(f"Unexpected lifespan message {kind!r} while the application is {self._phase.value}.")
        self._phase = following
        if kind.endswith(".failed"):
            self._on_failed(message.get("message", ""))
        self._answered.set()

    def _on_failed(self, text: str) -> None:
        """The application said that it failed; `text` is usually a traceback whose last line names the exception."""
        lines = text.strip().splitlines()
        self._failure = f": {lines[-1]}" if lines else ""
        if lines:
            logger.error(text.rstrip())

    def _on_exception(self, exc: BaseException) -> None:
        if isinstance(exc, asyncio.CancelledError):
            self._failure = self._failure or ": cancelled"
        elif self._failure is not None:
            return  # it said so before it raised
        elif self._phase is Phase.STARTING and self._mode == "auto":
            logger.info("ASGI 'lifespan' protocol appears unsupported.")
            logger.debug("The application raised instead:", exc_info=exc)
        else:
            self._failure = f": {summary(exc)}"
            logger.error("Exception in the application's lifespan", exc_info=exc)
