"""Rules for the values that come in several shapes: formats, tools, tool approval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, cast

from ..errors import ConfigError
from .config_base import Rule, camel_case, refuse
from .formats import AudioFormat, parse_format
from .unset import UNSET

__all__ = ["audio_format", "mode_or", "output_limit", "snake_keys", "tool"]

_PLAIN_FORMATS = ("audio/pcm", "audio/pcmu", "audio/pcma")
_MCP_FIELDS = (
    "server_label",
    "server_url",
    "server_description",
    "connector_id",
    "allowed_tools",
    "require_approval",
    "allowed_callers",
    "defer_loading",
    "tunnel_id",
)
_FILTER_FIELDS = ("tool_names", "read_only")


def snake_keys(mapping: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The mapping with these names in the wire's spelling, which wins over camel case; UNSET is left out."""
    spelled = {camel_case(name): name for name in names}
    result: dict[str, Any] = {}
    for key, value in mapping.items():
        name = spelled.get(key, key)
        if value is not UNSET and (name == key or mapping.get(name, UNSET) is UNSET):
            result[name] = value
    return result


def audio_format(value: Any, path: str) -> AudioFormat | Mapping[str, Any]:
    """A format in any spelling. An object of an unknown type, or with unknown fields, is kept as given."""
    spelled: object = value
    if isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        kind, rate = given.get("type"), given.get("rate")
        if isinstance(kind, str) and (kind not in _PLAIN_FORMATS or given.keys() - {"type", "rate"}):
            return given
        if isinstance(rate, float) and not math.isfinite(rate):
            spelled = {"type": kind}
    try:
        return parse_format(spelled)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def output_limit(value: Any, path: str) -> int | str:
    """`max_output_tokens`: a number of tokens, or `inf`."""
    if value == "inf" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return cast("int | str", value)
    return refuse(path, value, 'a whole number of tokens, at least 1, or "inf"')


def mode_or(kind: str) -> Rule:
    """A rule for a mode's name or an object (`kind` says which, for the error)."""

    def check(value: Any, path: str) -> str | Mapping[str, Any]:
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping):
            return cast("Mapping[str, Any]", value)
        return refuse(path, value, f"a string or {kind}")

    return check


def tool(value: Any, path: str) -> dict[str, Any]:
    """One tool as on the wire.

    `strict`, which tool definitions made for the other APIs carry, is left out: the
    Realtime API does not take it.
    """
    if not isinstance(value, Mapping):
        refuse(path, value, 'a dict with a "type", as on the wire')
    given = cast("Mapping[str, Any]", value)
    kind = given.get("type")
    if not isinstance(kind, str):
        refuse(f"{path}.type", kind, '"function" or "mcp"')
    if kind == "function":
        if not isinstance(given.get("name"), str):
            refuse(f"{path}.name", given.get("name"), "a string")
        return {key: item for key, item in given.items() if key != "strict" and item is not UNSET}
    if kind != "mcp":
        return dict(given)
    wire = snake_keys(given, _MCP_FIELDS)
    if isinstance(wire.get("allowed_tools"), Mapping):
        wire["allowed_tools"] = snake_keys(wire["allowed_tools"], _FILTER_FIELDS)
    if wire.get("require_approval") is not None:
        wire["require_approval"] = _approval_policy(wire["require_approval"], f"{path}.require_approval")
    return wire


def _approval_policy(value: Any, path: str) -> str | dict[str, Any]:
    """When the service asks before it calls an MCP tool: `always`, `never`, or a filter for each."""
    if value in ("always", "never"):
        return cast("str", value)
    expected = '"always", "never" or a dict with "always" and "never" filters'
    if not isinstance(value, Mapping):
        refuse(path, value, expected)
    given = cast("Mapping[str, Any]", value)
    if not given or given.keys() - {"always", "never"}:
        refuse(path, given, expected)
    policy = {key: _filter(given[key], f"{path}.{key}") for key in given if given[key] is not UNSET}
    both = set(policy.get("always", {}).get("tool_names", ())) & set(
        policy.get("never", {}).get("tool_names", ())
    )
    if both:
        raise ConfigError(f"{path} names {min(both)!r} under both 'always' and 'never'; choose one")
    return policy


def _filter(value: Any, path: str) -> dict[str, Any]:
    def wrong() -> NoReturn:
        refuse(path, value, 'a dict with "tool_names" (a list of strings), "read_only" (a bool) or both')

    if not isinstance(value, Mapping) or not value:
        wrong()
    given = cast("Mapping[str, Any]", value)
    wire = snake_keys(given, _FILTER_FIELDS)
    if len(wire) != len(given) or wire.keys() - set(_FILTER_FIELDS):
        wrong()
    names: Any = wire.get("tool_names", [])
    if not isinstance(names, (list, tuple)) or not isinstance(wire.get("read_only", False), bool):
        wrong()
    if not all(isinstance(name, str) and name for name in cast("list[Any]", names)):
        wrong()
    return wire
