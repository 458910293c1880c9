"""How a configuration object is declared, checked, read and written.

A class lists its fields as dataclass fields with a rule. A rule takes a value that is neither UNSET nor
None and the path it is at, and returns it in its one internal form or raises
`ConfigError`. Rules refuse only what no service can take: names of models, voices or modes
stay open.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, NoReturn, Self, TypeAlias, TypeVar, cast

from ..errors import ConfigError
from .unset import UNSET, UnsetType

__all__ = [
    "ConfigObject",
    "Rule",
    "Setting",
    "camel_case",
    "flag",
    "items",
    "nested",
    "number",
    "plain_object",
    "refuse",
    "rule",
    "text",
    "whole",
]

T = TypeVar("T")
Setting: TypeAlias = T | UnsetType | None
"""A value, None for JSON null, or UNSET to leave the setting alone."""

Rule: TypeAlias = Callable[[Any, str], Any]


def camel_case(name: str) -> str:
    """`turn_detection` as the JavaScript SDK spells it: `turnDetection`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def refuse(path: str, value: object, expected: str) -> NoReturn:
    """Raise the `ConfigError` of a value that cannot be used."""
    # Of a container only the type: it may hold a key or somebody's words.
    shown = (
        repr(value)
        if isinstance(value, (str, int, float, bool, type(None)))
        else f"of type {type(value).__name__}"
    )
    raise ConfigError(f"{path} is {shown if len(shown) <= 60 else shown[:57] + '...'}; it must be {expected}")


def rule(check: Rule, *, null: bool = True) -> Mapping[str, Any]:
    """The metadata of a field that keeps this rule.

    Args:
        null: whether the wire knows null there; if not, None means UNSET.
    """
    return {"rule": check, "null": null}


class _Spec(NamedTuple):
    rule: Rule
    null: bool


class _Table(NamedTuple):
    fields: Mapping[str, _Spec]
    names: Mapping[str, str]  # wire names and their camel case to field names


_TABLES: dict[type[ConfigObject], _Table] = {}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ConfigObject:
    """Base of the configuration objects.

    Attributes:
        extra: fields this version does not know; sent as they are.
    """

    path: ClassVar[str] = ""
    """Where the object stands in the session, for error messages."""

    type_name: ClassVar[str] = ""
    """The wire's `type`, where the object has one."""

    extra: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def __repr__(self) -> str:
        # Only what is set, and nothing of tools and unknown fields, which may hold keys.
        shown: list[str] = []
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if value is not UNSET and (item.name != "extra" or value):
                shown.append(f"{item.name}={value!r}" if item.repr else f"{item.name}=...")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __post_init__(self) -> None:
        for name, spec in _table(type(self)).fields.items():
            value = getattr(self, name)
            where = f"{self.path}.{name}".lstrip(".")
            if name in self.extra:
                raise ConfigError(
                    f"extra holds {name!r}; pass it to {type(self).__name__} as {name}= instead"
                )
            if value is UNSET:
                continue
            if value is not None:
                object.__setattr__(self, name, spec.rule(value, where))
            elif not spec.null:
                object.__setattr__(self, name, UNSET)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Self:
        """Read the wire's object; JavaScript spellings work as well, the wire's win.

        Raises:
            ConfigError: if this is no mapping, or a value cannot be used.
        """
        if not isinstance(cast("object", mapping), Mapping):
            refuse(cls.path or "config", mapping, f"{cls.__name__}(...) or a dict")
        mapping = cls._normalised(mapping)
        names = _table(cls).names
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in mapping.items():
            name = names.get(key)
            if value is UNSET or (key == "type" and cls.type_name):
                continue
            if name is None:
                extra[key] = value
            elif key == name or mapping.get(name, UNSET) is UNSET:
                known[name] = value
        return cls(**known, extra=extra)

    @classmethod
    def _normalised(cls, mapping: Mapping[str, Any]) -> Mapping[str, Any]:
        """The mapping with other spellings than camel case turned into the wire's."""
        return mapping

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The names of the settings, as on the wire."""
        return tuple(_table(cls).fields)

    def to_wire(self) -> dict[str, Any]:
        """The wire's object: only what is set, and `extra`. A new dict."""
        wire: dict[str, Any] = {"type": self.type_name} if self.type_name else {}
        for name in _table(type(self)).fields:
            value = getattr(self, name)
            if value is not UNSET:
                wire[name] = _to_wire(value)
        return {**wire, **{key: _to_wire(value) for key, value in self.extra.items()}}


def _to_wire(value: Any) -> Any:
    # Also for an AudioFormat, which is no ConfigObject.
    if hasattr(value, "to_wire"):
        return value.to_wire()
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value).items()
        return {key: _to_wire(child) for key, child in pairs if child is not UNSET}
    if isinstance(value, (list, tuple)):
        return [_to_wire(child) for child in cast("list[Any]", value)]
    return value


def _table(cls: type[ConfigObject]) -> _Table:
    table = _TABLES.get(cls)
    if table is None:
        own = [item for item in dataclasses.fields(cls) if item.metadata]
        table = _TABLES[cls] = _Table(
            {item.name: _Spec(item.metadata["rule"], item.metadata["null"]) for item in own},
            {spelling: item.name for item in own for spelling in (item.name, camel_case(item.name))},
        )
    return table


def text(value: Any, path: str) -> str:
    """A string, possibly empty."""
    return value if isinstance(value, str) else refuse(path, value, "a string")


def flag(value: Any, path: str) -> bool:
    """True or False."""
    return value if isinstance(value, bool) else refuse(path, value, "True or False")


def number(low: float, high: float = math.inf) -> Rule:
    """A finite number from `low` to `high`."""
    expected = f"between {low:g} and {high:g}" if math.isfinite(high) else f"a number, at least {low:g}"

    def check(value: Any, path: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            refuse(path, value, expected)
        return value if low <= value <= high and value != math.inf else refuse(path, value, expected)

    return check


def whole(unit: str, low: int = 0) -> Rule:
    """A whole number of `unit`, at least `low`."""
    expected = f"a whole number of {unit}, at least {low}"

    def check(value: Any, path: str) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            refuse(path, value, expected)
        return value

    return check


def plain_object(value: Any, path: str) -> Mapping[str, Any]:
    """Any JSON object, kept as given."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else refuse(path, value, "a dict")


def items(each: Rule) -> Rule:
    """A list of values that each keep the rule; kept as a tuple."""

    def check(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            refuse(path, value, "a list")
        return tuple(each(item, f"{path}[{i}]") for i, item in enumerate(cast("list[Any]", value)))

    return check


def nested(cls: type[ConfigObject]) -> Rule:
    """An object of this class, or a dict it can be read from."""

    def check(value: Any, path: str) -> ConfigObject:
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls.from_dict(cast("Mapping[str, Any]", value))
        refuse(path, value, f"{cls.__name__}(...) or a dict")

    return check
