"""The lifespan protocol; where uvicorn gives an answer too, it has to be the same."""

import asyncio
import logging

import pytest
import uvicorn
from uvicorn.lifespan.on import LifespanOn

from turboapi.server import lifespan as lifespan_module
from turboapi.server.lifespan import Lifespan, StartupError


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch):
    """Some of these applications never return, which is a long wait."""
    monkeypatch.setattr(lifespan_module, "LINGER", 0.05)


async def regular(scope, receive, send):
    assert (await receive()) == {"type": "lifespan.startup"}
    scope["state"]["step"] = "started"
    await send({"type": "lifespan.startup.complete"})
    assert (await receive()) == {"type": "lifespan.shutdown"}
    scope["state"]["step"] = "stopped"
    await send({"type": "lifespan.shutdown.complete"})


async def http_only(scope, receive, send):
    assert scope["type"] == "http"


async def raises_on_startup(scope, receive, send):
    await receive()
    raise RuntimeError("no database")


async def says_failed(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "Traceback:\nRuntimeError: no database\n"})


async def says_failed_and_raises(scope, receive, send):
    await says_failed(scope, receive, send)
    raise RuntimeError("no database")


async def returns_at_once(scope, receive, send):
    pass


async def leaves_with_system_exit(scope, receive, send):
    await receive()
    raise SystemExit(3)


async def says_shutdown_failed(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "cannot save"})


async def raises_on_shutdown(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    raise RuntimeError("cannot save")


async def loops_for_ever(scope, receive, send):
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


APPS = [
    regular,
    http_only,
    raises_on_startup,
    says_failed,
    says_failed_and_raises,
    returns_at_once,
    leaves_with_system_exit,
    says_shutdown_failed,
    loops_for_ever,
]


async def ours(app, mode):
    lifespan = Lifespan(app, mode)
    try:
        await lifespan.startup()
    except StartupError:
        return "does not start", lifespan.state
    return "stops" if await lifespan.shutdown() else "fails to stop", lifespan.state


async def theirs(app, mode):
    lifespan = LifespanOn(uvicorn.Config(app, lifespan=mode, log_config=None))
    await lifespan.startup()
    if lifespan.should_exit:
        return "does not start", lifespan.state
    await lifespan.shutdown()
    return "fails to stop" if lifespan.should_exit else "stops", lifespan.state


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("app", APPS)
def test_the_outcome_is_that_of_uvicorn(app, mode):
    assert asyncio.run(ours(app, mode)) == asyncio.run(theirs(app, mode))


def test_the_outcomes_are_not_all_alike():
    assert {asyncio.run(ours(app, "on"))[0] for app in APPS} == {"stops", "does not start", "fails to stop"}


def test_an_exception_on_shutdown_is_a_failure(caplog):
    assert asyncio.run(ours(raises_on_shutdown, "auto"))[0] == "fails to stop"
    assert "RuntimeError: cannot save" in caplog.text


def test_the_scope():
    scopes = []

    async def app(scope, receive, send):
        scopes.append(dict(scope))
        await regular(scope, receive, send)

    asyncio.run(ours(app, "on"))
    assert scopes == [
        {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {"step": "stopped"}}
    ]


def test_off_sends_nothing():
    called = []

    async def app(scope, receive, send):
        called.append(scope)

    assert asyncio.run(ours(app, "off")) == ("stops", {})
    assert called == []


@pytest.mark.parametrize(
    ("app", "mode", "line"),
    [
        (says_failed, "auto", "application startup failed: RuntimeError: no database"),
        (says_failed_and_raises, "auto", "application startup failed: RuntimeError: no database"),
        (raises_on_startup, "on", "application startup failed: RuntimeError: no database"),
        (http_only, "on", "application startup failed: AssertionError"),
    ],
)
def test_a_failed_startup_is_one_line_and_a_logged_traceback(app, mode, line, caplog):
    async def start():
        await Lifespan(app, mode).startup()

    with pytest.raises(StartupError) as caught:
        asyncio.run(start())
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)
    assert "Traceback" in caplog.text


def test_an_application_without_lifespan_is_served_and_the_reason_can_be_seen(caplog):
    caplog.set_level(logging.DEBUG, "turboapi.error")
    asyncio.run(ours(http_only, "auto"))
    levels = {record.message: record.levelname for record in caplog.records}
    assert levels["ASGI 'lifespan' protocol appears unsupported."] == "INFO"
    assert levels["The application raised instead:"] == "DEBUG"


def test_a_failure_while_serving_is_logged_when_it_happens(caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await scope["state"]["lost"]
        raise RuntimeError("lost the broker")

    async def main():
        lifespan = Lifespan(app)
        lost = lifespan.state["lost"] = asyncio.get_running_loop().create_future()
        await lifespan.startup()
        lost.set_result(None)
        while "broker" not in caplog.text:
            await asyncio.sleep(0)
        assert "RuntimeError: lost the broker" in caplog.text
        return await lifespan.shutdown()

    assert asyncio.run(main()) is False


@pytest.mark.parametrize(
    ("sent", "phase"),
    [
        (["lifespan.shutdown.complete"], "starting"),
        (["lifespan.startup.complete", "lifespan.startup.complete"], "running"),
        (["lifespan.startup.complete", "lifespan.shutdown.complete"], "running"),
        (["http.response.start"], "starting"),
    ],
)
def test_messages_out_of_order_are_refused(sent, phase):
    refusals = []

    async def app(scope, receive, send):
        try:
            for kind in sent:
                await send({"type": kind})
        except RuntimeError as exc:
            refusals.append(str(exc))

    asyncio.run(ours(app, "auto"))
    assert refusals == [f"Unexpected lifespan message {sent[-1]!r} while the application is {phase}."]


def test_cancelling_lets_the_application_clean_up():
    steps = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        finally:
            steps.append("cleaned up")

    async def main():
        lifespan = Lifespan(app)
        await lifespan.startup()
        await lifespan.cancel()

    asyncio.run(main())
    assert steps == ["cleaned up"]


def test_shutdown_during_startup_cancels_it():
    async def app(scope, receive, send):
        await asyncio.Event().wait()

    async def main():
        lifespan = Lifespan(app)
        starting = asyncio.create_task(lifespan.startup())
        await asyncio.sleep(0)
        starting.cancel()
        return await lifespan.shutdown()

    assert asyncio.run(main()) is True
