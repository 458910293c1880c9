"""Plays exact scenarios from a YAML file.

    turns:                                  # the n-th turn answers the n-th response of a session
      - say: Hello!
      - when: weather                       # a regular expression on what was said last
        do:
          - say: Let me look.
          - tool_call: {name: get_weather, arguments: {city: Tokyo}}
      - do: [{delay: 0.5}, {incomplete: max_output_tokens}]
      - error: {message: out of order, code: server_error}
      - disconnect: {code: 1011, reason: bye}
    otherwise: {say: I have nothing more to say.}

A response takes the turn of its own number if that has no `when` or its `when` matches; else the first
turn whose `when` matches; else `otherwise`; else it fails with the code `script_exhausted`. `when` is
searched, whatever the case of letters, in the last user message or tool output.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ...errors import ConfigError, MissingExtraError
from .base import (
    Delay,
    Disconnect,
    Failure,
    Incomplete,
    ResponsePart,
    ResponseRequest,
    TextPart,
    ToolCallPart,
)
from .conversation import read_conversation
from .shapes import as_list, as_mapping

__all__ = ["ScriptResponder", "Turn"]

_LINE = "__line__"


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of a script: when it applies, and its parts."""

    when: re.Pattern[str] | None
    parts: tuple[ResponsePart, ...]


class ScriptResponder:
    """Answers as a script says; stateless, so that many sessions can play the same script.

    Args:
        path: the YAML file.
        text: the script itself, instead of `path`.

    Raises:
        ConfigError: the script cannot be read or used; the message names file, line and turn.
        MissingExtraError: `pyyaml` is not installed.
    """

    def __init__(self, path: str | Path | None = None, *, text: str | None = None) -> None:
        source = str(path) if path is not None else "script"
        if text is None:
            if path is None:
                raise ConfigError("A script responder needs `path` (a YAML file) or `text`.")
            try:
                text = Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"The script {source!r} cannot be read: {error}") from error
        self._turns, self._otherwise = _Reader(source).read(text)

    async def respond(self, request: ResponseRequest, /) -> AsyncIterator[ResponsePart]:
        """See `Responder.respond`."""
        for part in self._parts(request):
            yield part

    async def close(self) -> None:
        """Nothing to release."""

    def _parts(self, request: ResponseRequest) -> tuple[ResponsePart, ...]:
        reading = read_conversation(request.items)
        text = " ".join(output for _, output in reading.outputs) or reading.user_text or ""
        number = request.response_number
        own = self._turns[number : number + 1]
        conditional = [turn for turn in self._turns if turn.when is not None]
        for turn in (*own, *conditional):
            if turn.when is None or turn.when.search(text):
                return turn.parts
        if self._otherwise is not None:
            return self._otherwise.parts
        message = (
            f"The script has no turn for response {number} (of {len(self._turns)}), last words: {text!r}."
        )
        return (Failure(message, "script_exhausted"),)


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source

    def read(self, text: str) -> tuple[list[Turn], Turn | None]:
        data = _load_yaml(text, self._source)
        if not isinstance(data, dict):
            raise ConfigError(
                f"{self._source}: a script is a mapping with `turns`, not a {type(data).__name__}."
            )
        script = cast("dict[str, Any]", data)
        line = script.pop(_LINE, 1)
        self._only(script, {"turns", "otherwise"}, line, "the script")
        turns = as_list(script.get("turns"))
        if not turns:
            raise self._error(line, "the script", "`turns` has to be a list with at least one turn")
        read = [self._turn(turn, f"turn {i}", line) for i, turn in enumerate(turns)]
        otherwise = script.get("otherwise")
        return read, None if otherwise is None else self._turn(otherwise, "otherwise", line)

    def _turn(self, data: Any, where: str, line: int) -> Turn:
        if not isinstance(data, dict):
            raise self._error(line, where, f"a turn is a mapping, not {data!r}")
        turn = dict(cast("dict[str, Any]", data))
        line = turn.pop(_LINE, line)
        when = turn.pop("when", None)
        pattern = self._pattern(when, where, line)
        if "do" in turn:
            self._only(turn, {"do"}, line, where)
            steps = as_list(turn["do"])
            if not steps:
                raise self._error(line, where, "`do` has to be a list with at least one step")
            parts = tuple(self._step(step, where, line) for step in steps)
        else:
            parts = (self._step(turn, where, line),)
        return Turn(pattern, parts)

    def _pattern(self, when: Any, where: str, line: int) -> re.Pattern[str] | None:
        if when is None:
            return None
        try:
            return re.compile(str(when), re.IGNORECASE)
        except re.error as error:
            raise self._error(line, where, f"`when` is no regular expression: {error}") from error

    def _step(self, data: Any, where: str, line: int) -> ResponsePart:
        step = dict(as_mapping(data))
        line = step.pop(_LINE, line)
        if len(step) != 1 or next(iter(step)) not in _STEPS:
            known = ", ".join(_STEPS)
            found = ", ".join(step) if step else repr(data)
            raise self._error(line, where, f"a step has exactly one of {known}; found: {found}")
        ((name, value),) = step.items()
        if isinstance(value, dict):
            value = {k: v for k, v in cast("dict[str, Any]", value).items() if k != _LINE}
        try:
            return _STEPS[name](value)
        except (TypeError, ValueError, KeyError) as error:
            reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            raise self._error(line, where, f"`{name}`: {reason}") from error

    def _only(self, data: Mapping[str, Any], known: set[str], line: int, where: str) -> None:
        if unknown := set(data) - known:
            names = ", ".join(sorted(map(repr, unknown)))
            raise self._error(line, where, f"{names} not understood; possible: {', '.join(sorted(known))}")

    def _error(self, line: int, where: str, message: str) -> ConfigError:
        return ConfigError(f"{self._source}, line {line}, {where}: {message}.")


def _say(value: Any) -> ResponsePart:
    if not isinstance(value, str | int | float):
        raise TypeError(f"a text expected, not {value!r}")
    return TextPart(str(value))


def _tool_call(value: Any) -> ResponsePart:
    call = _fields(value, {"name", "arguments"})
    arguments = call.get("arguments", {})
    # A text is sent as it is, also where it is no JSON: that, too, is a scenario.
    text = (
        arguments if isinstance(arguments, str) else json.dumps(_without_lines(arguments), ensure_ascii=False)
    )
    return ToolCallPart(str(call["name"]), text)


def _delay(value: Any) -> ResponsePart:
    seconds = float(value)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"seconds from 0 on expected, not {value!r}")
    return Delay(seconds)


def _error(value: Any) -> ResponsePart:
    if isinstance(value, str):
        return Failure(value)
    error = _fields(value, {"message", "code"})
    return Failure(str(error["message"]), str(error.get("code", "server_error")))


def _incomplete(value: Any) -> ResponsePart:
    if value not in {"max_output_tokens", "content_filter"}:
        raise ValueError(f"max_output_tokens or content_filter expected, not {value!r}")
    return Incomplete(str(value))


def _disconnect(value: Any) -> ResponsePart:
    closing = _fields({} if value is None else value, {"code", "reason"})
    code = closing.get("code", 1011)
    if code is not None and (not isinstance(code, int) or not 1000 <= code <= 4999):
        raise ValueError(f"a close code from 1000 to 4999 or null expected, not {code!r}")
    return Disconnect(code, str(closing.get("reason", "")))


_STEPS: dict[str, Callable[[Any], ResponsePart]] = {
    "say": _say,
    "tool_call": _tool_call,
    "delay": _delay,
    "error": _error,
    "incomplete": _incomplete,
    "disconnect": _disconnect,
}


def _fields(value: Any, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"a mapping with {', '.join(sorted(known))} expected, not {value!r}")
    fields = cast("dict[str, Any]", value)
    if unknown := set(fields) - known:
        raise ValueError(
            f"{', '.join(sorted(map(str, unknown)))} not understood; possible: {', '.join(sorted(known))}"
        )
    return fields


def _without_lines(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_lines(v) for k, v in cast("dict[str, Any]", value).items() if k != _LINE}
    if as_list(value):
        return [_without_lines(part) for part in as_list(value)]
    return value


def _load_yaml(text: str, source: str) -> Any:
    """The document, with the line of each mapping in it under `__line__`."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("Scripts", "server", "pyyaml") from error

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        loader.flatten_mapping(node)
        return {**loader.construct_mapping(node, deep=True), _LINE: node.start_mark.line + 1}

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ConfigError(f"{source}, line {line}: not YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not YAML: {error}.") from error
