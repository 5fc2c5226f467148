import html
import inspect
import json
import re
from typing import Any

import fastapi.openapi.docs as theirs
import pytest

import turboapi.openapi.docs as ours

SCRIPT = "</script><script>alert('&')</script>"


def text(response: Any) -> str:
    return bytes(response.body).decode()


def assets(page: str) -> list[str]:
    return sorted(map(html.unescape, re.findall(r'(?:src|href)="([^"]+)"', page)))


def options(page: str) -> dict[str, Any]:
    """The configuration of Swagger UI that is JSON."""
    return {
        json.loads(name): json.loads(value) for name, value in re.findall(r'^ *("\w+"): (.*),$', page, re.MULTILINE)
    }


@pytest.mark.parametrize("name", ["get_swagger_ui_html", "get_redoc_html", "get_swagger_ui_oauth2_redirect_html"])
def test_options_and_defaults_are_those_of_the_reference(name: str) -> None:
    def parameters(module: Any) -> list[Any]:
        signature = inspect.signature(getattr(module, name)).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in signature]

    assert parameters(ours) == parameters(theirs)
    assert ours.swagger_ui_default_parameters == theirs.swagger_ui_default_parameters


@pytest.mark.parametrize("given", [{}, {"swagger_js_url": "a.js", "swagger_css_url": "b.css?x=1&y=2"}])
def test_swagger_ui_loads_the_same_assets_with_the_same_options(given: dict[str, str]) -> None:
    given |= {"openapi_url": "/openapi.json", "title": "The title"}
    pages = [text(module.get_swagger_ui_html(**given, swagger_ui_parameters={"a": None})) for module in (ours, theirs)]
    assert assets(pages[0]) == assets(pages[1])
    assert options(pages[0]) == options(pages[1]) == {**theirs.swagger_ui_default_parameters, "a": None}
    assert "url: '/openapi.json'," in pages[0]
    assert "<title>The title</title>" in pages[0]
    assert "initOAuth" not in pages[0]
    assert "oauth2RedirectUrl" not in pages[0]


@pytest.mark.parametrize(
    "given", [{}, {"with_google_fonts": False}, {"redoc_js_url": "a.js", "redoc_favicon_url": "b"}]
)
def test_redoc_loads_the_same_assets(given: dict[str, Any]) -> None:
    pages = [text(m.get_redoc_html(openapi_url="/openapi.json", title="T", **given)) for m in (ours, theirs)]
    assert assets(pages[0]) == assets(pages[1])
    assert '<redoc spec-url="/openapi.json">' in pages[0]
    assert "<title>T</title>" in pages[0]


def test_options_can_be_replaced() -> None:
    page = text(
        ours.get_swagger_ui_html(
            openapi_url="/", title="T", swagger_ui_parameters={"deepLinking": False, "syntaxHighlight": {"theme": "x"}}
        )
    )
    assert options(page)["deepLinking"] is False
    assert '"syntaxHighlight": {"theme": "x"},' in page
    assert ours.swagger_ui_default_parameters["deepLinking"] is True


def test_oauth_is_initialized() -> None:
    page = text(
        ours.get_swagger_ui_html(
            openapi_url="/",
            title="T",
            oauth2_redirect_url="/docs/oauth2-redirect",
            init_oauth={"clientId": "me", "appName": "App"},
        )
    )
    assert "oauth2RedirectUrl: window.location.origin + '/docs/oauth2-redirect'," in page
    assert 'ui.initOAuth({"clientId": "me", "appName": "App"})' in page


def test_values_cannot_leave_their_place() -> None:
    page = text(
        ours.get_swagger_ui_html(
            openapi_url=f"/'{SCRIPT}\\",
            title=SCRIPT,
            swagger_js_url=f'"{SCRIPT}',
            oauth2_redirect_url=f"'{SCRIPT}",
            init_oauth={"appName": SCRIPT},
            swagger_ui_parameters={SCRIPT: SCRIPT},
        )
    )
    assert page.count("<script") == 2
    assert "\\u003c/script\\u003e\\u003cscript\\u003ealert('\\u0026')" in page
    assert r"url: '/\u0027\u003c/script" in page
    assert "\\\\'," in page  # the backslash does not escape the quote
    redoc = text(ours.get_redoc_html(openapi_url=f'"{SCRIPT}', title=SCRIPT))
    assert redoc.count("<script") == 1


def test_the_redirect_page_talks_to_swagger_ui() -> None:
    response = ours.get_swagger_ui_oauth2_redirect_html()
    assert response.media_type == "text/html"
    page = text(response)
    assert "window.opener.swaggerUIRedirectOauth2" in page
    for call in (
        "request.callback({auth, token: answer, isValid, redirectUrl})",
        "request.callback({auth, redirectUrl})",
    ):
        assert call in page
    assert 'request.errCb({authId: auth.name, source: "auth", level, message})' in page
    assert page.count("window.close()") == 1
