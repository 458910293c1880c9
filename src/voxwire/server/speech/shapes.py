"""Values of unknown JSON as the shape that is needed, or empty; sets of words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["as_list", "as_mapping", "word_set"]


def as_mapping(value: object) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    if not isinstance(value, Mapping):
        return {}
    mapping: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
    return mapping


def as_list(value: object) -> list[Any]:
    """`value` as a list if it is one, else an empty list."""
    if not isinstance(value, list | tuple):
        return []
    items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return items


def word_set(words: str) -> frozenset[str]:
    """The words of a text, for tables that are easier to read as one."""
    return frozenset(words.split())
