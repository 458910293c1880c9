"""Schemas and readers, with pydantic and without: the same functions through both."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Optional, Required, TypedDict

import pytest
from pydantic import BaseModel, Field

from voxwire import UserError
from voxwire.tools import InvalidArgumentsError, RunContext
from voxwire.tools.arguments import JsonArguments, arguments_of, read_json, value_of
from voxwire.tools.plain import PlainArguments, PlainValue, convert, schema_of
from voxwire.tools.pydantic_arguments import ModelArguments, TypeArguments
from voxwire.tools.signature import read_signature


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclass
class Place:
    city: str
    country: str = "NO"
    tags: list[str] = field(default_factory=list)
    known: bool = field(default=True, init=False)


class Booking(TypedDict):
    day: str
    people: NotRequired[int]


class Wish(TypedDict, total=False):
    place: Required[Place]
    note: str


def forecast(
    context: RunContext[Any],
    city: str,
    days: int,
    unit: Unit,
    share: float = 0.5,
    loud: bool = False,
    tags: list[str] | None = None,
    mode: Literal["short", "long"] = "short",
    place: Optional[Place] = None,  # noqa: UP045
    limits: dict[str, int] = {},  # noqa: B006
    words: Annotated[str, "How to say it."] = "",
    anything: Any = None,
) -> None:
    """Tell the weather.

    Args:
        city: The city's name.
        unit: Degrees.
        words: Not this text.
    """


READERS = pytest.mark.parametrize("reader", [ModelArguments, PlainArguments])


@READERS
def test_schema(reader: Any) -> None:
    schema = reader(read_signature(forecast), strict=True).schema
    json.dumps(schema)
    properties = schema["properties"]
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["city", "days", "unit"]
    assert "context" not in properties
    assert properties["city"] == {"type": "string", "description": "The city's name."}
    assert properties["days"] == {"type": "integer"}
    assert properties["share"] == {"type": "number", "default": 0.5}
    assert properties["loud"] == {"type": "boolean", "default": False}
    assert properties["mode"]["enum"] == ["short", "long"]
    assert properties["unit"]["description"] == "Degrees."
    assert {"type": "null"} in properties["tags"]["anyOf"]
    assert {"type": "array", "items": {"type": "string"}} in properties["tags"]["anyOf"]
    assert properties["limits"]["additionalProperties"] == {"type": "integer"}
    assert properties["words"]["description"] == "How to say it."
    assert "title" not in json.dumps(properties["city"])


@READERS
def test_values(reader: Any) -> None:
    arguments = reader(read_signature(forecast), strict=True)
    values = arguments.parse(
        '{"city": "Oslo", "days": 3, "unit": "f", "share": 1, "tags": ["a"], "mode": "long", '
        '"place": {"city": "Bergen"}, "limits": {"x": 1}, "anything": [1, null]}'
    )
    assert values["city"] == "Oslo"
    assert values["days"] == 3
    assert values["unit"] is Unit.FAHRENHEIT
    assert values["share"] == 1.0
    assert values["tags"] == ["a"]
    assert values["mode"] == "long"
    assert values["place"] == Place("Bergen")
    assert values["limits"] == {"x": 1}
    assert values["anything"] == [1, None]


@READERS
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[1]", "must be a JSON object, not an array"),
        ('"x"', "not a string"),
        ("1", "not a number"),
        ("true", "not a boolean"),
        ("null", "not null"),
        ("[" * 100_000, "not valid JSON"),
        ('{"days": 1, "unit": "c"}', "city"),
        ('{"city": 1, "days": 1, "unit": "c"}', "city"),
        ('{"city": "x", "days": "many", "unit": "c"}', "days"),
        ('{"city": "x", "days": 1, "unit": "k"}', "unit"),
        ('{"city": "x", "days": 1, "unit": "c", "mode": "mid"}', "mode"),
        ('{"city": "x", "days": 1, "unit": "c", "tags": "a"}', "tags"),
        ('{"city": "x", "days": 1, "unit": "c", "limits": 5}', "limits"),
        ('{"city": "x", "days": 1, "unit": "c", "place": {}}', "city"),
        ('{"city": "x", "days": 1, "unit": "c", "extra": 1}', "extra"),
        ('{"city": "x", "days": 1, "unit": "c", "loud": "perhaps"}', "loud"),
    ],
)
def test_what_does_not_fit(reader: Any, text: str, words: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=words) as caught:
        reader(read_signature(forecast), strict=True).parse(text)
    assert caught.value.fault == "provider"


def test_refusals_do_not_repeat_what_was_said() -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        ModelArguments(read_signature(forecast), strict=True).parse('{"city": "x", "days": "my secret"}')
    assert "secret" not in str(caught.value)


@READERS
def test_not_strict_ignores_what_it_does_not_know(reader: Any) -> None:
    def act(one: int) -> None: ...

    arguments = reader(read_signature(act), strict=False)
    assert arguments.schema.get("additionalProperties") is not False
    assert arguments.parse('{"one": 1, "two": 2}') == {"one": 1}


@READERS
@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_arguments(reader: Any, text: str) -> None:
    def act() -> None: ...

    arguments = reader(read_signature(act), strict=True)
    assert arguments.schema["properties"] == {}
    assert arguments.parse(text) == {}


@READERS
def test_names_that_a_model_could_not_have(reader: Any) -> None:
    def act(copy: int, _id: int, model_config: int, schema: int = 4) -> None: ...

    arguments = reader(read_signature(act), strict=True)
    assert list(arguments.schema["properties"]) == ["copy", "_id", "model_config", "schema"]
    parsed = arguments.parse('{"copy": 1, "_id": 2, "model_config": 3}')
    assert parsed == {"copy": 1, "_id": 2, "model_config": 3, "schema": 4}


@READERS
def test_a_default_that_json_cannot_hold(reader: Any) -> None:
    marker = object()

    def act(one: Any = marker) -> None: ...

    arguments = reader(read_signature(act), strict=True)
    assert "default" not in arguments.schema["properties"]["one"]
    assert arguments.parse("")["one"] is marker


@READERS
def test_a_type_without_a_schema(reader: Any) -> None:
    class Strange: ...

    def act(one: Strange) -> None: ...

    act.__annotations__["one"] = Strange
    with pytest.raises(UserError, match="tool 'act' has a parameter without a schema"):
        reader(read_signature(act), strict=True)


def test_pydantic_is_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(one: int) -> None: ...

    assert isinstance(arguments_of(read_signature(act), strict=True), ModelArguments)
    assert isinstance(value_of(Place), TypeArguments)
    monkeypatch.setitem(sys.modules, "pydantic", None)
    assert isinstance(arguments_of(read_signature(act), strict=True), PlainArguments)
    assert isinstance(value_of(Place), PlainValue)


def test_pydantic_constraints_and_models() -> None:
    class Order(BaseModel):
        dish: str
        price: Decimal = Decimal(1)

    def act(order: Order, guests: Annotated[int, Field(ge=1, description="How many.")]) -> None: ...

    act.__annotations__["order"] = Order
    arguments = ModelArguments(read_signature(act), strict=True)
    assert arguments.schema["properties"]["guests"]["minimum"] == 1
    assert arguments.schema["properties"]["guests"]["description"] == "How many."
    parsed = arguments.parse('{"order": {"dish": "soup", "price": 2.5}, "guests": 2}')
    assert parsed == {"order": Order(dish="soup", price=Decimal("2.5")), "guests": 2}
    with pytest.raises(InvalidArgumentsError, match=r"guests: .*greater than or equal to 1"):
        arguments.parse('{"order": {"dish": "soup"}, "guests": 0}')


@pytest.mark.parametrize("reader", [TypeArguments, PlainValue])
def test_one_value(reader: Any) -> None:
    arguments = reader(Place)
    assert arguments.schema["required"] == ["city"]
    assert arguments.parse('{"city": "Oslo"}') == Place("Oslo")
    with pytest.raises(InvalidArgumentsError, match="city"):
        arguments.parse("")
    with pytest.raises(InvalidArgumentsError, match="not valid JSON"):
        arguments.parse("{")
    with pytest.raises(UserError, match="is no JSON object"):
        reader(int)


def test_one_value_without_a_schema() -> None:
    class Strange: ...

    with pytest.raises(UserError, match="has no schema"):
        TypeArguments(Strange)
    with pytest.raises(UserError, match="not known without pydantic"):
        PlainValue(Strange)


def test_json_arguments_are_not_checked() -> None:
    arguments = JsonArguments({"type": "object"})
    assert arguments.parse('{"a": 1}') == {"a": 1}
    assert read_json("\n") == {}


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (object, {}),
        (None, {"type": "null"}),
        (Unit, {"enum": ["c", "f"]}),
        (list, {"type": "array"}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": {}}),
        (dict, {"type": "object"}),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (Annotated[int, ["not hashable"]], {"type": "integer"}),
        (
            Booking,
            {
                "type": "object",
                "properties": {"day": {"type": "string"}, "people": {"type": "integer"}},
                "required": ["day"],
            },
        ),
    ],
)
def test_plain_schema(annotation: Any, schema: Any) -> None:
    assert schema_of(annotation) == schema


@pytest.mark.parametrize("annotation", [tuple[int, str], dict[int, str], set[int], complex])
def test_plain_schema_refuses(annotation: Any) -> None:
    with pytest.raises(UserError, match="not known without pydantic"):
        schema_of(annotation)


@pytest.mark.parametrize(
    ("annotation", "value", "result"),
    [
        (object, [1], [1]),
        (None, None, None),
        (int, 2.0, 2),
        (float, 2, 2.0),
        (list, [1, "a"], [1, "a"]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (dict, {"a": 1}, {"a": 1}),
        (int | str, "a", "a"),
        (Annotated[int, ["not hashable"]], 1, 1),
        (Literal[1, "1"], "1", "1"),
        (Booking, {"day": "Friday"}, {"day": "Friday"}),
        (Booking, {"day": "Friday", "people": 2, "more": 1}, {"day": "Friday", "people": 2}),
        (Wish, {"place": {"city": "Oslo"}}, {"place": Place("Oslo")}),
    ],
)
def test_plain_values(annotation: Any, value: Any, result: Any) -> None:
    converted = convert(annotation, value, "x")
    assert converted == result
    assert type(converted) is type(result)


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (None, 1, "x: should be null"),
        (int, True, "x: should be a integer"),
        (int, 2.5, "x: should be a integer"),
        (float, False, "x: should be a number"),
        (list[int], ["a"], r"x\[0\]: should be a integer"),
        (dict[str, int], {"a": "b"}, r"x\.a: should be a integer"),
        (int | None, "a", "x: should be a integer or x: should be null"),
        (Literal[1], True, "x: should be one of 1"),
        (Place, {}, r"x\.city: missing"),
        (Booking, {"people": 2}, r"x\.day: missing"),
        (Booking, {"day": "Friday", "people": "two"}, r"x\.people: should be a integer"),
        (Wish, {"note": "none"}, r"x\.place: missing"),
    ],
)
def test_plain_values_refuse(annotation: Any, value: Any, words: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=words):
        convert(annotation, value, "x")
