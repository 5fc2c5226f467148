"""Strategies for parameters in a group: pydantic models for the query, the headers or the cookies."""

from hypothesis import strategies as st

from tests.compat.client import Request
from tests.compat.requests import cookie_headers, header_texts, query_pairs, query_strings, texts_like

__all__ = ["group_handlers", "group_requests"]

MODELS = {
    "Query": ("Filter", "ClosedFilter", "OpenFilter", "AliasedFilter", "ByName", "Required", "Closed", "Open", "Strict", "Aliased", "Checked"),
    "Header": ("CommonHeaders", "ClosedHeaders", "OpenFilter", "AliasedFilter", "ByName", "Required", "Closed"),
    "Cookie": ("Cookies", "ClosedCookies", "AliasedFilter", "OpenFilter", "ByName", "Closed", "Required"),
}  # fmt: skip
KEYS = ("limit", "offset", "order_by", "tags", "Page-Size", "page_size", "page-size", "ids", "item_id", "IDS", "PAGESIZE", "x_tag", "x-tag", "tag",
        "save_data", "save-data", "if-modified", "session_id", "session-id", "tracker", "x", "y", "count", "firstName", "age", "even", "other", "group", "host", "q")  # fmt: skip
TEXTS = texts_like("1", "2", "10", "a", "created_at", "true", "-1", "x", "")
ARGUMENTS = ("", "", "", 'title="t"', 'alias="group"', "strict=True")


@st.composite
def group_handlers(draw: st.DrawFn) -> str:
    """Return an application with one handler that shows a group of parameters, and perhaps others besides."""
    marker = draw(st.sampled_from(sorted(MODELS)))
    model = draw(st.sampled_from(MODELS[marker]))
    arguments = draw(st.sampled_from([*ARGUMENTS, *(["convert_underscores=False"] if marker == "Header" else [])]))
    default = ""
    if draw(st.integers(0, 2)) == 0:
        model, default = f"{model} | None", draw(st.sampled_from([" = None", ""]))
    parameters = [f"group: Annotated[{model}, {marker}({arguments})]{default}"]
    if draw(st.integers(0, 3)) == 0:
        parameters.append(
            draw(st.sampled_from([f"q: str = {marker}('q')", "q: int = 3", "other: Annotated[Closed, Query()] = None"]))
        )
    names = [text.partition(":")[0] for text in parameters]
    lines = ["app = App()"]
    if draw(st.booleans()):
        lines += [f"def dependency({parameters[0]}): return show_all(group=group)", "@app.get('/')"]
        lines += ["def handler(shown: Any = Depends(dependency)): return shown"]
    else:
        parameters.sort(key=lambda text: "] = " in text or text.startswith("q"))
        lines += ["@app.get('/')", f"async def handler({', '.join(parameters)}):"]
        lines += [f"    return show_all({', '.join(f'{name}={name}' for name in names)})"]
    return "\n".join(lines)


@st.composite
def group_requests(draw: st.DrawFn) -> Request:
    """Return a request with some of the keys that the models know, in the query, the headers and a cookie."""
    keys = draw(st.lists(st.sampled_from(KEYS), max_size=4))
    pairs = [pair for key in keys for pair in draw(query_pairs(key, TEXTS))]
    headers = [(key.encode(), draw(header_texts(TEXTS))) for key in keys if key != "host"]
    headers = draw(st.permutations(headers + headers[:1]))
    if cookies := {key: draw(header_texts(TEXTS)) for key in keys}:
        headers.append((b"cookie", draw(cookie_headers(cookies))))
    return Request("GET", b"/?" + draw(query_strings(pairs)), tuple(headers))
