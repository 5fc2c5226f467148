"""The HTML pages of the interactive documentation: Swagger UI, its OAuth 2 redirect page, and ReDoc.

The pages load their scripts from a CDN unless told otherwise, and these load the OpenAPI document. All values are
escaped for the place where they are put, for some of them come from the request (the root path) or from users.
"""

import json
from html import escape
from typing import Any

from turboapi.encoders import jsonable_encoder
from turboapi.responses import HTMLResponse

__all__ = [
    "get_redoc_html",
    "get_swagger_ui_html",
    "get_swagger_ui_oauth2_redirect_html",
    "swagger_ui_default_parameters",
]

_FAVICON_URL = "https://fastapi.tiangolo.com/img/favicon.png"
_FONTS_URL = "https://fonts.googleapis.com/css?family=Montserrat:300,400,700|Roboto:300,400,700"

swagger_ui_default_parameters: dict[str, Any] = {
    "dom_id": "#swagger-ui",
    "layout": "BaseLayout",
    "deepLinking": True,
    "showExtensions": True,
    "showCommonExtensions": True,
}
"""The configuration of Swagger UI to which `swagger_ui_parameters` are added."""

_SWAGGER_UI_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="shortcut icon" href="{favicon_url}">
<link rel="stylesheet" type="text/css" href="{css_url}">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{js_url}"></script>
<script>
const ui = SwaggerUIBundle({{
{options}
presets: [
SwaggerUIBundle.presets.apis,
SwaggerUIBundle.SwaggerUIStandalonePreset
],
}})
{init_oauth}</script>
</body>
</html>
"""

_REDOC_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="shortcut icon" href="{favicon_url}">
{fonts}<style>body {{ margin: 0; padding: 0 }}</style>
</head>
<body>
<noscript>This documentation is rendered by ReDoc, which needs JavaScript.</noscript>
<redoc spec-url="{openapi_url}"></redoc>
<script src="{js_url}"></script>
</body>
</html>
"""

# The authorization server sends the user here, in a window that Swagger UI has opened. The answer, in the query or in
# the fragment (RFC 6749, sections 4.1.2 and 4.2.2), goes to Swagger UI through the functions it has left on its window.
_OAUTH2_REDIRECT_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Swagger UI: OAuth2 redirect</title>
</head>
<body>
<script>
"use strict";

const CODE_FLOWS = ["accessCode", "authorizationCode", "authorization_code"];

function readAnswer() {
  const fragment = location.hash.slice(1);
  const text = /code|token|error/.test(fragment) ? fragment.replace("?", "&") : location.search.slice(1);
  const answer = {};
  for (const pair of text.split("&").filter(Boolean)) {
    const [name, ...value] = pair.split("=");
    answer[decodeURIComponent(name)] = decodeURIComponent(value.join("="));
  }
  return answer;
}

function describeError(answer) {
  if (!answer.error) {
    return "[Authorization failed]: the authorization server has sent no code.";
  }
  const details = answer.error_description || "the authorization server has sent no code";
  const link = answer.error_uri ? " More info: " + answer.error_uri : "";
  return "[" + answer.error + "]: " + details + "." + link;
}

function finish() {
  const request = window.opener.swaggerUIRedirectOauth2;
  const {auth, redirectUrl} = request;
  const answer = readAnswer();
  const isValid = answer.state === request.state;
  const report = (level, message) => request.errCb({authId: auth.name, source: "auth", level, message});

  if (!CODE_FLOWS.includes(auth.schema.get("flow")) || auth.code) {
    request.callback({auth, token: answer, isValid, redirectUrl});
  } else {
    if (!isValid) {
      report("warning", "The authorization may be unsafe: the server has not returned the state that was sent to it.");
    }
    if (answer.code) {
      delete request.state;
      auth.code = answer.code;
      request.callback({auth, redirectUrl});
    } else {
      report("error", describeError(answer));
    }
  }
  window.close();
}

if (document.readyState === "loading") {
  document.addEventListener("DOMContentLoaded", finish);
} else {
  finish();
}
</script>
</body>
</html>
"""


def get_swagger_ui_html(
    *,
    openapi_url: str,
    title: str,
    swagger_js_url: str = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/swagger-ui-bundle.js",
    swagger_css_url: str = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/swagger-ui.css",
    swagger_favicon_url: str = _FAVICON_URL,
    oauth2_redirect_url: str | None = None,
    init_oauth: dict[str, Any] | None = None,
    swagger_ui_parameters: dict[str, Any] | None = None,
) -> HTMLResponse:
    """Return the page with Swagger UI.

    Args:
        openapi_url: where the document is.
        title: of the page.
        swagger_js_url, swagger_css_url, swagger_favicon_url: where the page's assets are.
        oauth2_redirect_url: the path of the OAuth 2 redirect page, if there is one.
        init_oauth: the options of Swagger UI's `initOAuth`.
        swagger_ui_parameters: options of Swagger UI, in addition to `swagger_ui_default_parameters`.
    """
    parameters = {**swagger_ui_default_parameters, **(swagger_ui_parameters or {})}
    options = [f"url: {_js_string(openapi_url)}"]
    options += [f"{_script_json(name)}: {_script_json(value)}" for name, value in parameters.items()]
    if oauth2_redirect_url:
        options.append(f"oauth2RedirectUrl: window.location.origin + {_js_string(oauth2_redirect_url)}")
    return HTMLResponse(
        _SWAGGER_UI_PAGE.format(
            title=escape(title, quote=False),
            js_url=escape(swagger_js_url),
            css_url=escape(swagger_css_url),
            favicon_url=escape(swagger_favicon_url),
            options="".join(f"{option},\n" for option in options).rstrip(),
            init_oauth=f"ui.initOAuth({_script_json(init_oauth)})\n" if init_oauth else "",
        )
    )


def get_redoc_html(
    *,
    openapi_url: str,
    title: str,
    redoc_js_url: str = "https://cdn.jsdelivr.net/npm/redoc@2/bundles/redoc.standalone.js",
    redoc_favicon_url: str = _FAVICON_URL,
    with_google_fonts: bool = True,
) -> HTMLResponse:
    """Return the page with ReDoc.

    Args:
        openapi_url: where the document is.
        title: of the page.
        redoc_js_url, redoc_favicon_url: where the page's assets are.
        with_google_fonts: load the fonts that ReDoc prefers from Google.
    """
    return HTMLResponse(
        _REDOC_PAGE.format(
            title=escape(title, quote=False),
            openapi_url=escape(openapi_url),
            js_url=escape(redoc_js_url),
            favicon_url=escape(redoc_favicon_url),
            fonts=f'<link rel="stylesheet" href="{escape(_FONTS_URL)}">\n' if with_google_fonts else "",
        )
    )


def get_swagger_ui_oauth2_redirect_html() -> HTMLResponse:
    """Return the page to which authorization servers send the users of Swagger UI."""
    return HTMLResponse(_OAUTH2_REDIRECT_PAGE)


def _script_json(value: Any) -> str:
    """Return a value as JSON that cannot end the script element it stands in."""
    text = json.dumps(jsonable_encoder(value))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _js_string(value: str) -> str:
    """Return a string literal of JavaScript, in single quotes."""
    return "'" + _script_json(value)[1:-1].replace('\\"', '"').replace("'", "\\u0027") + "'"
