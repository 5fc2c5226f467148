"""The OpenAPI documents of the same applications under FastAPI and under TurboAPI are the same, byte for byte."""

import datetime
import decimal
import enum
import importlib
import inspect
import json
import uuid
import warnings
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, Generic, Literal, NotRequired, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    RootModel,
    SecretStr,
    ValidationError,
    WithJsonSchema,
    computed_field,
    create_model,
)
from typing_extensions import TypedDict

T = TypeVar("T")

APPLICATIONS: dict[str, Callable[[Any], Any]] = {}


def framework(name: str) -> SimpleNamespace:
    """All names that an application needs, from `fastapi` or from `turboapi`."""
    names: dict[str, Any] = {}
    for module in ("responses", "security", "sse", "routing", None):
        names |= vars(importlib.import_module(f"{name}.{module}" if module else name))
    names["App"] = names.get("FastAPI") or names["TurboAPI"]
    names["get_openapi"] = importlib.import_module(f"{name}.openapi.utils").get_openapi
    return SimpleNamespace(**names)


FRAMEWORKS = {name: framework(name) for name in ("fastapi", "turboapi")}


def document(f: Any, app: Any) -> dict[str, Any]:
    described: dict[str, Any] = f.get_openapi(
        title=app.title,
        version=app.version,
        openapi_version=app.openapi_version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        webhooks=app.webhooks.routes,
        tags=app.openapi_tags,
        servers=app.servers,
        terms_of_service=app.terms_of_service,
        contact=app.contact,
        license_info=app.license_info,
        separate_input_output_schemas=app.separate_input_output_schemas,
        external_docs=app.openapi_external_docs,
    )
    return described


def documents(build: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """The documents of FastAPI and of TurboAPI, after a check that making them gives the same warnings."""
    described, warned = [], []
    for f in FRAMEWORKS.values():
        app = build(f)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            described.append(document(f, app))
        warned.append([(warning.category, str(warning.message)) for warning in caught])
    assert warned[0] == warned[1]
    return described


def application(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
    APPLICATIONS[build.__name__] = build
    return build


# --- models --------------------------------------------------------------------------------------------------------


class Colour(enum.StrEnum):
    red = "red"
    blue = "blue"


class Level(enum.IntEnum):
    """How loud."""

    low = 1
    high = 2


class Tag(BaseModel):
    """A tag.\f Not for the document."""

    name: str = Field(description="What it is called", examples=["new"])
    colour: Colour = Colour.red


class Item(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Foo", "price": 1}]})

    name: Annotated[str, Field(min_length=1, max_length=50, pattern="^[a-z]+$")]
    price: float = Field(gt=0, le=1000)
    amount: decimal.Decimal | None = None
    tags: list[Tag] = []
    made: datetime.datetime | None = None
    level: Level = Level.low
    extra: dict[str, Any] = Field(default_factory=dict, alias="extraData")


class Node(BaseModel):
    value: int
    children: "list[Node]" = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool = True


class Page(BaseModel, Generic[T]):
    items: list[T]
    total: int


class Numbers(RootModel[list[int]]):
    pass


class Square(BaseModel):
    side: float = 1.0

    @computed_field
    @property
    def area(self) -> float:
        return self.side**2


class Drawing(BaseModel):
    squares: list[Square] = []


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict):
    verbose: bool
    limit: NotRequired[int]


class Filters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, gt=0, le=100, description="How many")
    order_by: Literal["created_at", "updated_at"] = "created_at"
    tags: list[str] = []
    named: str | None = Field(None, alias="namedBy", deprecated=True)


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_name=True)

    user_id: int = Field(alias="userId")
    save_data: bool = False
    x_tag: list[str] = Field([], validation_alias=AliasChoices("tag_one", "tag-two"))


def same_name(module: str) -> type[BaseModel]:
    return create_model("Item", __module__=module, **{module.replace(".", "_"): (int, ...)})  # type: ignore[call-overload,no-any-return]


# --- parameters ----------------------------------------------------------------------------------------------------


@application
def parameter_kinds(f: Any) -> Any:
    app = f.App()

    @app.get("/items/{item_id}/{path:path}")
    def read(
        item_id: int,
        path: str,
        q: str | None = None,
        flag: bool = False,
        ids: Annotated[list[int], f.Query()] = [],  # noqa: B006
        kind: Literal["a", "b"] = "a",
        colour: Colour = Colour.blue,
        level: Level = Level.high,
        user_agent: Annotated[str | None, f.Header()] = None,
        x_token: Annotated[list[str] | None, f.Header(convert_underscores=False)] = None,
        session: str = f.Cookie("none"),
    ) -> None: ...

    return app


@application
def parameter_types(f: Any) -> Any:
    app = f.App()

    @app.get("/types/{key}")
    def read(
        key: uuid.UUID,
        at: datetime.datetime,
        on: datetime.date | None = None,
        span: datetime.timedelta = datetime.timedelta(hours=1),
        time: datetime.time | None = None,
        number: decimal.Decimal = decimal.Decimal("1.5"),
        raw: bytes | None = None,
        many: Annotated[set[int], f.Query()] = {1},  # noqa: B006
        pair: Annotated[tuple[int, str], f.Query()] = (1, "a"),
        secret: SecretStr | None = None,
        either: int | str = 1,
        other: str | int = 1,
        one: Literal[1] = 1,
        true: Literal[True] = True,
        anything: Any = None,
        parsed: Json[list[int]] | None = None,
        described: Annotated[str, WithJsonSchema({"type": "string", "format": "odd"})] = "",
        validated: Annotated[int, BeforeValidator(int), Field(ge=1)] = 1,
    ) -> None: ...

    return app


@application
def parameter_options(f: Any) -> Any:
    app = f.App()

    @app.get("/options/{n}")
    def read(
        n: Annotated[int, f.Path(title="The n", description="Which n", ge=1, lt=100, multiple_of=3)],
        a: Annotated[str, f.Query(alias="item-query", min_length=3, max_length=50, pattern="^x")],
        g: Annotated[list[str], f.Query(default_factory=list, title="G")],
        b: Annotated[str | None, f.Query(deprecated=True, description="Old")] = None,
        c: Annotated[int, f.Query(examples=[1, 2], json_schema_extra={"x-unit": "mm"})] = 5,
        d: Annotated[str, f.Header(openapi_examples={"one": {"summary": "One", "value": "1"}})] = "d",
        e: Annotated[str, f.Query(include_in_schema=False)] = "hidden",
        h: Annotated[str, f.Query(validation_alias="h-alias")] = "h",
        i: Annotated[str, f.Query(validation_alias=AliasChoices("i-one", "i_two"))] = "i",
        j: Annotated[str, f.Query(validation_alias=AliasPath("j", 0))] = "j",
        k: Annotated[float, f.Cookie(gt=0.5, allow_inf_nan=False)] = 1.0,
        x_request_id: Annotated[str, f.Header(alias="x_request_id")] = "",
    ) -> None: ...

    return app


@application
def deprecated_example(f: Any) -> Any:
    app = f.App()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        query = f.Query(example="an example")
        body = f.Body(example={"name": "x"})

    @app.post("/example")
    def create(body: Annotated[dict[str, str], body], q: Annotated[str | None, query] = None) -> None: ...

    return app


@application
def parameter_models(f: Any) -> Any:
    app = f.App()

    @app.get("/filters")
    def filters(query: Annotated[Filters, f.Query()]) -> Filters: ...

    @app.get("/optional")
    def optional(query: Annotated[Filters | None, f.Query()] = None) -> None: ...

    @app.get("/headers")
    def headers(headers: Annotated[ByName, f.Header()]) -> None: ...

    @app.get("/underscores")
    def underscores(headers: Annotated[ByName, f.Header(convert_underscores=False)]) -> None: ...

    @app.get("/cookies")
    def cookies(cookies: Annotated[ByName, f.Cookie()], hidden: Annotated[Tag, f.Query(include_in_schema=False)]): ...

    return app


@application
def dependencies(f: Any) -> Any:
    app = f.App(dependencies=[f.Depends(lambda version: None)])

    def common(q: str | None = None, skip: int = 0, limit: Annotated[int, f.Query(le=100)] = 10): ...

    def strict(q: str, x_key: Annotated[str, f.Header()], shared: Annotated[Any, f.Depends(common)]): ...

    class Pagination:
        def __init__(self, page: int = 1, size: int = 10) -> None: ...

    def cleanup(session: Annotated[str, f.Cookie()]):
        yield session

    @app.get("/a/{key}", dependencies=[f.Depends(strict), f.Depends(cleanup)])
    def a(
        key: str,
        one: Annotated[Any, f.Depends(common)],
        again: Annotated[Any, f.Depends(common, use_cache=False)],
        page: Annotated[Pagination, f.Depends()],
    ) -> None: ...

    def with_body(tag: Tag, key: str): ...

    @app.put("/b/{key}")
    def b(item: Item, tag: Annotated[Any, f.Depends(with_body)]) -> None: ...

    return app


# --- bodies --------------------------------------------------------------------------------------------------------


@application
def bodies(f: Any) -> Any:
    app = f.App()

    @app.post("/item")
    def item(item: Item) -> Item: ...

    @app.put("/optional")
    def optional(item: Item | None = None) -> Item | None: ...

    @app.patch("/embedded")
    def embedded(item: Annotated[Item, f.Body(embed=True)], q: int = 0) -> list[Item]: ...

    @app.post("/several")
    def several(item: Item, tag: Tag, importance: Annotated[int, f.Body(gt=0)], note: str = f.Body("")): ...

    @app.post("/examples")
    def examples(
        item: Annotated[
            Item,
            f.Body(
                title="An item",
                description="To be stored",
                media_type="application/vnd.item+json",
                openapi_examples={"a": {"summary": "A", "value": {"name": "a", "price": 1}}},
            ),
        ],
    ) -> dict[str, Item]: ...

    @app.delete("/list")
    def many(items: list[Item], by: dict[int, Tag] = f.Body({})) -> None: ...  # noqa: B008

    @app.api_route("/raw", methods=["GET", "OPTIONS", "TRACE"])
    def raw(data: bytes = f.Body(media_type="application/octet-stream")) -> None: ...

    return app


@application
def model_kinds(f: Any) -> Any:
    app = f.App()

    @app.post("/node")
    def node(node: Node) -> Node: ...

    @app.post("/pet")
    def pet(pet: Annotated[Cat | Dog, f.Body(discriminator="kind")]) -> Cat | Dog: ...

    @app.post("/page")
    def page(page: Page[Item]) -> Page[Page[Tag]]: ...

    @app.post("/numbers")
    def numbers(numbers: Numbers) -> Numbers: ...

    @app.post("/point")
    def point(point: Point, options: Options) -> Point | Options: ...

    @app.post("/enum")
    def enums(colour: Annotated[Colour, f.Body()]) -> dict[Colour, Level]: ...

    @app.post("/hidden")
    def hidden(data: Annotated[dict[str, Annotated[Tag, WithJsonSchema({"type": "string"})]], f.Body()]): ...

    @app.get("/square")
    def square() -> Square: ...

    @app.post("/drawing")
    def drawing(drawing: Drawing, square: Square) -> list[Drawing]: ...

    return app


@application
def without_separate_schemas(f: Any) -> Any:
    app = model_kinds(f)
    app.separate_input_output_schemas = False
    bodies_app = bodies(f)
    app.router.routes.extend(route for route in bodies_app.routes if route.path != "/raw")
    return app


@application
def forms(f: Any) -> Any:
    app = f.App()

    @app.post("/login")
    def login(username: Annotated[str, f.Form()], password: Annotated[str, f.Form(min_length=8)] = ""): ...

    @app.post("/model")
    def model(data: Annotated[Filters, f.Form()]): ...

    @app.post("/optional-model")
    def optional_model(data: Annotated[Tag | None, f.Form()] = None): ...

    @app.post("/file")
    def file(data: Annotated[bytes, f.File(description="The file")], name: Annotated[str | None, f.Form()] = None): ...

    @app.post("/upload")
    def upload(upload: f.UploadFile, others: list[f.UploadFile], maybe: f.UploadFile | None = None): ...

    @app.post("/token")
    def token(form: Annotated[f.OAuth2PasswordRequestForm, f.Depends()]): ...

    @app.post("/mixed")
    def mixed(data: Annotated[Tag, f.Form()], pet: Annotated[Cat | Dog, f.Form()], n: Annotated[int, f.Form()] = 1): ...

    return app


# --- answers -------------------------------------------------------------------------------------------------------


class Problem(BaseModel):
    detail: str


@application
def responses(f: Any) -> Any:
    app = f.App(responses={500: {"model": Problem, "description": "It broke"}})

    @app.get(
        "/declared",
        responses={
            404: {"model": Problem},
            "4XX": {"description": "Yours"},
            "default": {"model": Problem, "content": {"application/json": {"example": {"detail": "?"}}}},
            200: {"content": {"image/png": {}}, "links": {"self": {"operationId": "x"}}},
            201: {"headers": {"x-a": {"schema": {"type": "integer"}}}},
            299: {},
            302: {"model": list[Problem]},
        },
    )
    def declared(q: int = 0) -> Item: ...

    @app.get("/created", status_code=201, response_description="Made")
    def created() -> Item: ...

    @app.delete("/gone", status_code=204)
    def gone(q: int) -> None: ...

    @app.get("/teapot", status_code=418, response_model=dict[str, Item], responses={422: {"description": "Mine"}})
    def teapot(q: int): ...

    @app.get("/unmodelled", response_model=None)
    def unmodelled() -> Item: ...

    return app


@application
def response_classes(f: Any) -> Any:
    class Xml(f.Response):
        media_type = "application/xml"

    class Created(f.JSONResponse):
        media_type = "application/vnd.x+json"

        def __init__(self, content: Any = None, status_code: int = 201, **options: Any) -> None: ...

    app = f.App(default_response_class=Created)
    classes = [f.HTMLResponse, f.PlainTextResponse, f.RedirectResponse, f.StreamingResponse, f.FileResponse]
    for response_class in [*classes, f.Response, f.JSONResponse, Xml, Created]:
        app.get(f"/{response_class.__name__}", response_class=response_class, responses={404: {"model": Problem}})(
            lambda: None
        )

    @app.get("/default")
    def default() -> Item: ...

    @app.get("/annotated")
    def annotated() -> f.RedirectResponse: ...

    return app


@application
def streams(f: Any) -> Any:
    app = f.App()

    @app.get("/lines")
    async def lines() -> AsyncIterable[Item]:
        yield

    @app.get("/untyped")
    def untyped():
        yield

    @app.get("/events", response_class=f.EventSourceResponse)
    async def events(q: int = 0) -> AsyncIterable[Item]:
        yield

    @app.get("/numbers", response_class=f.EventSourceResponse)
    def numbers() -> Iterable[int]:
        yield

    @app.get("/raw-events", response_class=f.EventSourceResponse)
    async def raw_events() -> AsyncIterable[f.ServerSentEvent]:
        yield

    return app


# --- operations, routers and the rest of the document --------------------------------------------------------------


@application
def security(f: Any) -> Any:
    app = f.App()
    oauth2 = f.OAuth2PasswordBearer(tokenUrl="token", scopes={"me": "Me", "items": "Items"}, description="Log in")
    schemes = [
        f.APIKeyQuery(name="key"),
        f.APIKeyHeader(name="x-key", description="A key"),
        f.APIKeyCookie(name="key", scheme_name="Biscuit", auto_error=False),
        f.HTTPBasic(realm="here"),
        f.HTTPBearer(bearerFormat="JWT"),
        f.HTTPDigest(),
        f.OAuth2(flows={"implicit": {"authorizationUrl": "https://example.com", "scopes": {}}}),
        f.OAuth2AuthorizationCodeBearer(authorizationUrl="auth", tokenUrl="token", refreshUrl="refresh"),
        f.OpenIdConnect(openIdConnectUrl="/openid"),
        oauth2,
    ]
    for scheme in schemes:
        app.get(f"/{scheme.scheme_name}", name=scheme.scheme_name, dependencies=[f.Security(scheme)])(lambda: None)

    def user(scopes: f.SecurityScopes, token: Annotated[str, f.Depends(oauth2)]): ...

    def active(user: Annotated[Any, f.Security(user, scopes=["me"])]): ...

    @app.get("/me", dependencies=[f.Depends(oauth2)])
    def me(user: Annotated[Any, f.Security(active, scopes=["items"])], token: Annotated[str, f.Depends(oauth2)]): ...

    @app.get("/both", dependencies=[f.Security(schemes[0]), f.Security(schemes[4])])
    def both(user: Annotated[Any, f.Security(user, scopes=["items", "me"])]): ...

    return app


@application
def operations(f: Any) -> Any:
    app = f.App()

    @app.get("/documented", tags=["a", Colour.red], summary="Short", operation_id="documented", deprecated=True)
    def documented() -> None:
        """First line.

        More *text*.
        \f
        Not for the document.
        """

    @app.post("/described", description="In **bold**", name="a_given_name")
    def described() -> None:
        """Not this."""

    @app.api_route("/methods", methods=["GET", "PUT"], generate_unique_id_function=lambda route: "x")
    def methods(q: int) -> None: ...

    @app.post(
        "/extra",
        tags=["one"],
        openapi_extra={
            "tags": ["two"],
            "x-codes": [{"lang": "sh"}],
            "parameters": [{"in": "query", "name": "more", "schema": {"type": "string"}}],
            "requestBody": {"content": {"application/json": {"schema": {"anyOf": [{"type": "null"}]}}}},
            "x-none": None,
        },
    )
    def extra(items: Annotated[int | list[str], f.Body()], q: str = "") -> None: ...

    @app.get("/hidden", include_in_schema=False)
    def hidden(node: Node) -> None: ...

    app.add_route("/plain", lambda request: None)
    app.mount("/sub", f.App())
    return app


@application
def routers(f: Any) -> Any:
    app = f.App(generate_unique_id_function=lambda route: f"app-{route.name}")
    inner = f.APIRouter(prefix="/inner", tags=["inner"], responses={404: {"description": "Not in here"}})
    outer = f.APIRouter(tags=["outer"], deprecated=True, default_response_class=f.PlainTextResponse)

    @inner.get("/{n}")
    def read(n: int) -> Tag: ...

    outer.include_router(inner, prefix="/outer", dependencies=[f.Depends(lambda x_token: None)])
    app.include_router(outer, prefix="/v1", tags=["v1"], generate_unique_id_function=lambda r: f"v1-{r.name}{r.path}")
    app.include_router(outer, prefix="/v2", responses={418: {"model": Problem}}, include_in_schema=True)
    app.include_router(inner, prefix="/v3", include_in_schema=False)

    @inner.post("", response_class=f.JSONResponse)
    def late(item: Item) -> Item: ...

    return app


@application
def callbacks(f: Any) -> Any:
    called = f.APIRouter()

    @called.post("{$callback_url}/invoices/{$request.body.id}")
    def invoice_event(body: Problem, key: Annotated[str, f.Security(f.APIKeyHeader(name="k"))]) -> Tag: ...

    @called.get("/hidden", include_in_schema=False)
    def hidden_event() -> None: ...

    app = f.App()

    @app.post("/invoices", callbacks=called.routes)
    def create(item: Item, callback_url: str | None = None) -> None: ...

    group = f.APIRouter(callbacks=called.routes)
    group.get("/group")(lambda: None)
    app.include_router(group, callbacks=called.routes)
    return app


@application
def webhooks(f: Any) -> Any:
    app = f.App()

    @app.webhooks.post("new-subscription", tags=["hook"])
    def new_subscription(body: Tag, q: int, user: Annotated[Any, f.Security(f.HTTPBearer())]) -> Item:
        """When someone subscribes."""

    return app


@application
def metadata(f: Any) -> Any:
    app = f.App(
        title="The API",
        summary="In short",
        description="At *length*",
        version="2.1",
        terms_of_service="https://example.com/terms",
        contact={"name": "We", "url": "https://example.com", "email": "we@example.com", "x-team": 1},
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_tags=[{"name": "a", "description": "A", "externalDocs": {"url": "https://example.com/a"}}],
        servers=[{"url": "/", "description": None}, {"url": "https://{h}", "variables": {"h": {"default": "x"}}}],
        openapi_external_docs={"url": "https://example.com/docs", "description": "More"},
    )
    app.openapi_version = "3.1.1"
    app.get("/")(lambda: None)
    return app


# --- names ---------------------------------------------------------------------------------------------------------


@application
def equal_names(f: Any) -> Any:
    app = f.App()

    @app.post("/modules")
    def modules(a: same_name("one.models"), b: same_name("two.models"), c: Item) -> dict[str, Item]: ...  # type: ignore[valid-type]

    def make(n: int) -> Any:
        class Local(BaseModel):
            value: int = n

        return Local

    for n in range(3):
        app.post(f"/local/{n}", name=f"local{n}", response_model=make(n + 10))(lambda: None)
        app.get(f"/same/{n}", name=f"same{n}", response_model=list[make(7)])(lambda: None)  # type: ignore[misc]
    return app


@application
def reserved_names(f: Any) -> Any:
    class ValidationError(BaseModel):
        mine: int

    class HTTPValidationError(BaseModel):
        mine: ValidationError
        _sa_private: int = 0

    app = f.App()

    @app.post("/", responses={400: {"model": HTTPValidationError}})
    def create(error: ValidationError, q: int) -> create_model("_sa_state", x=(int | None, None)): ...  # type: ignore[valid-type]

    return app


@pytest.mark.parametrize("name", APPLICATIONS)
def test_documents_are_equal(name: str) -> None:
    theirs, ours = documents(APPLICATIONS[name])
    assert theirs["paths"] or theirs.get("webhooks")
    assert ours == theirs
    assert json.dumps(ours) == json.dumps(theirs)


# --- what goes wrong -----------------------------------------------------------------------------------------------


def not_a_status(f: Any) -> Any:
    app = f.App()
    app.get("/", responses={"hello": {"description": "Not a status"}})(lambda: None)
    return app


def not_describable(f: Any) -> Any:
    app = f.App()

    @app.post("/")
    def create(callback: Annotated[Callable[[int], int], f.Body()]) -> None: ...

    return app


def not_a_document(f: Any) -> Any:
    return f.App(license_info={"identifier": "no name"})


@pytest.mark.parametrize("build", [not_a_status, not_describable, not_a_document])
def test_errors_are_equal(build: Callable[[Any], Any]) -> None:
    errors = []
    for f in FRAMEWORKS.values():
        with pytest.raises(Exception) as caught:
            document(f, build(f))
        error = caught.value
        errors.append((type(error), error.errors() if isinstance(error, ValidationError) else str(error)))
    assert errors[0] == errors[1]


def test_duplicate_operation_ids_are_warned_of() -> None:
    f = FRAMEWORKS["turboapi"]
    app = f.App()
    app.get("/a", operation_id="same")(not_a_status)
    app.get("/b", operation_id="same")(not_a_status)
    with pytest.warns(
        UserWarning, match="^Duplicate Operation ID same for function not_a_status at .*test_openapi.py$"
    ):
        document(f, app)


# --- drawn at random -----------------------------------------------------------------------------------------------

SCALARS = [int, str, float, bool, bytes, Colour, Level, uuid.UUID, datetime.date, decimal.Decimal, Literal["a", 1]]
MODELS = [Item, Tag, Node, Cat, Numbers, Square, Drawing, Point, Options, Page[Cat]]
scalars = st.sampled_from(SCALARS)
nested = st.recursive(
    st.sampled_from([*SCALARS, *MODELS]),
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),  # type: ignore[valid-type]
        inner.map(lambda t: dict[str, t]),  # type: ignore[valid-type]
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda t: t | None),
    ),
    max_leaves=3,
)
texts = st.text("ab_é<", min_size=1, max_size=4)
options = st.fixed_dictionaries(
    {},
    optional={
        "title": texts,
        "description": texts,
        "alias": texts,
        "deprecated": st.booleans(),
        "examples": st.lists(st.integers(), max_size=2),
        "include_in_schema": st.booleans(),
        "openapi_examples": st.just({"a": {"value": 1}}),
        "json_schema_extra": st.just({"x-a": [None, 1]}),
    },
)


@dataclass
class Declared:
    kind: str
    annotation: Any
    options: dict[str, Any]
    default: Any

    def parameter(self, f: Any, name: str) -> dict[str, Any]:
        info = getattr(f, self.kind)(**self.options)
        return {"name": name, "annotation": Annotated[self.annotation, info], "default": self.default}


sequences = scalars.flatmap(lambda t: st.sampled_from([t, t | None, list[t]]))  # type: ignore[valid-type]
declared = st.one_of(
    st.builds(Declared, st.sampled_from(["Query", "Header"]), sequences, options, st.sampled_from([..., None])),
    st.builds(Declared, st.just("Cookie"), scalars, options, st.sampled_from([..., None])),
    st.builds(Declared, st.just("Body"), nested, options, st.sampled_from([..., None])),
)


def drawn_application(f: Any, operations: list[tuple[list[Declared], Any, bool]], separate: bool) -> Any:
    app = f.App(separate_input_output_schemas=separate)
    for number, (parameters, result, hidden) in enumerate(operations):

        def handler(**values: Any) -> None: ...

        handler.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    given["name"],
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=given["annotation"],
                    default=inspect.Parameter.empty if given["default"] is ... else given["default"],
                )
                for given in (item.parameter(f, f"p_{index}") for index, item in enumerate(parameters))
            ]
        )
        app.post(f"/{number}", name=f"op{number}", response_model=result, include_in_schema=not hidden)(handler)
    return app


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.lists(declared, max_size=4), nested, st.booleans()), min_size=1, max_size=4), st.booleans()
)
def test_documents_of_drawn_applications_are_equal(
    operations: list[tuple[list[Declared], Any, bool]], separate: bool
) -> None:
    theirs, ours = documents(lambda f: drawn_application(f, operations, separate))
    assert json.dumps(ours) == json.dumps(theirs)
