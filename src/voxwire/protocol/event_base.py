"""What all typed wire events have in common: reading from a dict, writing to one.

An event class declares its fields once, as dataclass annotations; the tables that `read`
and `to_wire` work from are derived from them and kept per class. A field without a default is
required. A field whose default is None or UNSET may be absent on the wire, and is left out
of it again while it has that default.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

from .unset import UNSET

__all__ = ["ClientEvent", "RawEvent", "ServerEvent", "WireEvent", "read_event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireEvent:
    """Base of all typed wire events.

    Attributes:
        type: the event's name on the wire.
        event_id: the sender's identifier of this event; None if it gave none.
        extra: fields this version does not know, and optional ones of an unexpected type,
            untouched.
    """

    type: ClassVar[str] = ""
    event_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_wire(self) -> dict[str, Any]:
        """The wire event, as a new dict; objects inside it are shared with this event."""
        wire: dict[str, Any] = {"type": self.type}
        for name, spec in _fields_of(type(self)).items():
            value = getattr(self, name)
            if value is spec.absent:
                continue
            wire[name] = list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value
        # A known field in `extra` was of an unexpected type: the sender's value goes on, not the default.
        return {**wire, **self.extra, "type": self.type}


class ClientEvent(WireEvent):
    """Base of the events a client sends."""

    __slots__ = ()


class ServerEvent(WireEvent):
    """Base of the events the service sends."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RawEvent:
    """A wire event of a type this version does not know, or without a field it must have.

    Attributes:
        type: its `type`; empty if it has none.
        data: the whole wire event, untouched (the same object, not a copy).
    """

    type: str
    data: Mapping[str, Any]

    @property
    def event_id(self) -> str | None:
        """The sender's identifier, if it gave one."""
        value = self.data.get("event_id")
        return value if isinstance(value, str) else None

    def to_wire(self) -> dict[str, Any]:
        """The wire event, as a new dict."""
        return dict(self.data)


# Marks "cannot be read as that type", and for `absent` "never left out".
_NOTHING: Any = object()


class _Field(NamedTuple):
    read: Callable[[Any], Any]
    nullable: bool
    required: bool
    absent: Any


def _read_str(value: Any) -> Any:
    return value if isinstance(value, str) else _NOTHING


def _read_int(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else _NOTHING


def _read_number(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else _NOTHING


def _read_object(value: Any) -> Any:
    return cast("object", value) if isinstance(value, Mapping) else _NOTHING


def _read_list(read: Callable[[Any], Any], value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        return _NOTHING
    items = tuple(read(item) for item in cast("list[Any]", value))
    return _NOTHING if any(item is _NOTHING for item in items) else items


# By annotation, as it is written in the class.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "str": _read_str,
    "int": _read_int,
    "float": _read_number,
    "Mapping[str, Any]": _read_object,
    "tuple[Mapping[str, Any], ...]": functools.partial(_read_list, _read_object),
}


_TABLES: dict[type[WireEvent], Mapping[str, _Field]] = {}


def _fields_of(cls: type[WireEvent]) -> Mapping[str, _Field]:
    table = _TABLES.get(cls)
    if table is None:
        table = _TABLES[cls] = _build_table(cls)
    return table


def _build_table(cls: type[WireEvent]) -> Mapping[str, _Field]:
    table: dict[str, _Field] = {}
    for item in dataclasses.fields(cls):
        if item.name == "extra":
            continue
        kinds = str(item.type).split(" | ")
        default = item.default
        table[item.name] = _Field(
            read=_READERS[kinds[0]],
            nullable="None" in kinds,
            required=default is dataclasses.MISSING,
            absent=default if default is None or default is UNSET else _NOTHING,
        )
    return table


EventT = TypeVar("EventT", bound=WireEvent)


def read_event(cls: type[EventT], data: Mapping[str, Any]) -> EventT | None:
    """Read a wire event of a known type; None if a required field is missing or of another type."""
    table = _fields_of(cls)
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in data.items():
        if key == "type":
            continue
        spec = table.get(key)
        if spec is None:
            extra[key] = value
            continue
        got = None if value is None and spec.nullable else spec.read(value)
        if got is not _NOTHING:
            known[key] = got
        elif spec.required:
            return None
        else:
            extra[key] = value
    if any(spec.required and name not in known for name, spec in table.items()):
        return None
    return cls(**known, extra=extra)
