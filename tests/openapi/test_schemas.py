import enum
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import pytest
from pydantic import BaseModel, Field, PydanticInvalidForJsonSchema, computed_field
from pydantic.fields import FieldInfo

from turboapi import TurboAPI
from turboapi._plan.fields import ModelField
from turboapi.openapi.schemas import FieldSchemas, get_flat_models, has_computed_fields
from turboapi.openapi.utils import get_openapi


class Size(enum.Enum):
    small = 1
    big = 2


class Leaf(BaseModel):
    size: Size = Size.small


class Tree(BaseModel):
    """A tree.\f For readers of the source."""

    leaves: dict[str, list[Leaf]]
    trees: "list[Tree]" = []


class Owner(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1, description="In full")]


class Pet(msgspec.Struct, rename="camel"):
    given_name: str
    owner: Owner | None = None


class Registry:
    class Owner(msgspec.Struct):
        number: int


def make_field(annotation: Any, mode: Any = "validation", name: str = "a_name", **options: Any) -> ModelField:
    return ModelField(field_info=FieldInfo(annotation=annotation, **options), name=name, mode=mode)


def test_models_inside_of_annotations_are_found_once_and_in_order() -> None:
    assert get_flat_models([list[Tree | None], Size, int, "unresolved"]) == [Tree, Leaf, Size]


def test_titles() -> None:
    plain, titled, reference = make_field(int), make_field(int, title="The title"), make_field(Leaf)
    aliased = make_field(int, "serialization", alias="one", serialization_alias="two_three")
    schemas = FieldSchemas([plain, titled, reference, aliased])
    assert schemas.of(plain) == {"type": "integer", "title": "A Name"}
    assert schemas.of(plain, "other-name") == {"type": "integer", "title": "Other-Name"}
    assert schemas.of(titled, "other") == {"type": "integer", "title": "The title"}
    assert schemas.of(reference) == {"$ref": "#/components/schemas/Leaf"}
    assert schemas.of(aliased)["title"] == "Two Three"


def test_a_schema_can_be_changed_without_changing_others() -> None:
    fields = [make_field(list[int | str]), make_field(list[int | str])]
    schemas = FieldSchemas(fields)
    first = schemas.of(fields[0])
    first["items"]["anyOf"].clear()
    expected = [{"type": "integer"}, {"type": "string"}]
    assert [schemas.of(item)["items"]["anyOf"] for item in fields] == [expected, expected]


@pytest.mark.parametrize("values", [(1, True, 1.0, "1"), (0, False, -0.0, 0.0), ((1,), [1]), (int | str, str | int)])
def test_equal_looking_declarations_are_told_apart(values: tuple[Any, ...]) -> None:
    if isinstance(values[0], (int, tuple, list)):
        fields = [make_field(Any, default=value) for value in values]
    else:
        fields = [make_field(value) for value in values]
    together = FieldSchemas(fields)
    for item in fields:
        assert repr(together.of(item)) == repr(FieldSchemas([item]).of(item))


def test_text_behind_a_form_feed_is_dropped() -> None:
    assert FieldSchemas([make_field(Tree)]).definitions["Tree"]["description"] == "A tree."


def test_bytes_are_described_as_content() -> None:
    class Encoded(BaseModel, ser_json_bytes="base64", val_json_bytes="utf8"):
        data: Annotated[bytes, Field(max_length=3)]

    fields = [make_field(bytes), make_field(Encoded), make_field(Encoded, "serialization")]
    schemas = FieldSchemas(fields)
    content = {"type": "string", "contentMediaType": "application/octet-stream"}
    assert schemas.of(fields[0]) == {**content, "title": "A Name"}
    described = [schemas.definitions[name]["properties"]["data"] for name in ("Encoded-Input", "Encoded-Output")]
    assert described[0] == {**content, "maxLength": 3, "title": "Data"}
    assert described[1] == {**content, "maxLength": 3, "title": "Data", "contentEncoding": "base64"}


def test_computed_fields_are_found_inside_of_models() -> None:
    class Square(BaseModel):
        side: int

        @computed_field
        def area(self) -> int:
            return self.side**2

    class Drawing(BaseModel):
        squares: list[Square] = []
        parent: "Drawing | None" = None

    assert has_computed_fields(make_field(dict[str, Drawing | None]))
    assert not has_computed_fields(make_field(Tree))
    fields = [make_field(Drawing), make_field(Drawing, "serialization"), make_field(Leaf, "serialization")]
    schemas = FieldSchemas(fields, separate_input_output_schemas=False)
    assert {"Drawing-Input", "Drawing-Output", "Leaf"} <= schemas.definitions.keys()


def test_what_cannot_be_described_is_an_error() -> None:
    with pytest.raises(PydanticInvalidForJsonSchema):
        FieldSchemas([make_field(int), make_field(Callable[[int], int])])


def struct_document() -> dict[str, Any]:
    app = TurboAPI()

    @app.post("/pets")
    def create(pet: Pet) -> list[Pet]: ...

    @app.post("/owners")
    def register(owner: Registry.Owner, pets: dict[str, Pet]) -> Owner | None: ...

    return get_openapi(title="T", version="1", routes=app.routes)


def test_structs_are_described_as_msgspec_does() -> None:
    schemas = struct_document()["components"]["schemas"]
    _, expected = msgspec.json.schema_components([Pet], ref_template="#/components/schemas/{name}")
    assert schemas["Pet"]["properties"]["givenName"] == expected["Pet"]["properties"]["givenName"]
    assert schemas["Pet"]["required"] == ["givenName"]


def test_structs_of_equal_names_are_told_apart() -> None:
    document = struct_document()
    schemas = document["components"]["schemas"]

    def resolve(schema: dict[str, Any]) -> dict[str, Any]:
        return schemas[schema["$ref"].removeprefix("#/components/schemas/")]  # type: ignore[no-any-return]

    def content(part: dict[str, Any]) -> dict[str, Any]:
        return part["content"]["application/json"]["schema"]  # type: ignore[no-any-return]

    owners, pets = (document["paths"][path]["post"] for path in ("/owners", "/pets"))
    body = resolve(content(owners["requestBody"]))
    assert resolve(body["properties"]["owner"])["properties"] == {"number": {"type": "integer"}}
    name = {"name": {"type": "string", "minLength": 1, "description": "In full"}}
    assert resolve(content(owners["responses"]["200"])["anyOf"][0])["properties"] == name
    pet = resolve(content(pets["requestBody"]))
    assert pet == resolve(content(pets["responses"]["200"])["items"])
    assert resolve(pet["properties"]["owner"]["anyOf"][0])["properties"] == name


class Cat(msgspec.Struct, tag_field="kind", tag="cat"):
    """A cat."""

    lives: Annotated[int, msgspec.Meta(ge=1, le=9, description="What is left")] = 9


class Dog(msgspec.Struct, tag_field="kind", tag="dog", forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=2, max_length=9, pattern="^[A-Z]", examples=["Al"], title="Call")]
    owners: Annotated[list[Owner], msgspec.Meta(max_length=3)] = []
    weights: dict[str, Annotated[float, msgspec.Meta(gt=0, multiple_of=0.5)]] = {}


class CatModel(BaseModel):
    kind: Literal["cat"]


class DogModel(BaseModel):
    kind: Literal["dog"]


class Zoo(BaseModel):
    first: Owner
    pets: list[Cat | Dog] = []
    favourite: Cat | Dog | None = None
    star: Cat = Cat(3)


class ZooModel(BaseModel):
    pets: list[Annotated[CatModel | DogModel, Field(discriminator="kind")]] = []
    favourite: Annotated[CatModel | DogModel, Field(discriminator="kind")] | None = None


def renamed(schema: Any) -> Any:
    """Return the schema of the structs for that of the models, which has `oneOf` where msgspec has `anyOf`."""
    return json.loads(json.dumps(schema).replace("Model", "").replace("oneOf", "anyOf"))


def test_structs_in_models_are_described() -> None:
    structs, models = (FieldSchemas([make_field(zoo)]).definitions for zoo in (Zoo, ZooModel))
    properties = structs["Zoo"]["properties"]
    for name, expected in models["ZooModel"]["properties"].items():
        assert properties[name] == renamed(expected)
    assert properties["first"] == {"$ref": "#/components/schemas/Owner"}
    assert properties["star"] == {
        "$ref": "#/components/schemas/Cat",
        "default": {"kind": "cat", "lives": 3},
    }
    assert structs.keys() == {"Zoo", "Cat", "Dog", "Owner"}


@pytest.mark.parametrize("annotation", [Cat | Dog, list[Cat | Dog], Cat | Dog | None, dict[str, Cat | Dog]])
def test_tagged_unions_have_a_discriminator(annotation: Any) -> None:
    described = FieldSchemas([item := make_field(annotation)]).of(item)
    discriminator = {
        "propertyName": "kind",
        "mapping": {"cat": "#/components/schemas/Cat", "dog": "#/components/schemas/Dog"},
    }
    assert json.dumps(discriminator) in json.dumps(described)


def test_the_mapping_follows_renamed_definitions() -> None:
    class Other:
        class Cat(msgspec.Struct): ...

    described = FieldSchemas([item := make_field(list[Cat | Dog]), make_field(Other.Cat)])
    mapping = described.of(item)["items"]["discriminator"]["mapping"]
    assert [name.removeprefix("#/components/schemas/") in described.definitions for name in mapping.values()] == [
        True,
        True,
    ]
    assert "Cat" not in described.definitions


@pytest.mark.parametrize("struct", [Cat, Dog])
def test_everything_that_msgspec_tells_of_a_struct_is_in_the_document(struct: Any) -> None:
    _, expected = msgspec.json.schema_components([struct], ref_template="#/components/schemas/{name}")
    assert FieldSchemas([make_field(struct)]).definitions == expected
    for inside in (list[struct], dict[str, struct | None], Zoo):
        definitions = FieldSchemas([make_field(inside)]).definitions
        assert {name: definitions[name] for name in expected} == expected


def test_unknown_fields_are_ruled_out_where_they_are_forbidden() -> None:
    definitions = FieldSchemas([make_field(Cat | Dog)]).definitions
    assert [definitions[name].get("additionalProperties") for name in ("Cat", "Dog")] == [None, False]
