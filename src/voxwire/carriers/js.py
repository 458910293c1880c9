"""What a carrier needs of a JavaScript host, under Pyodide: a page, a Worker, Node.

Pyodide's own modules (`js`, `pyodide.ffi`) are imported when they are used: a Worker's deployment takes a snapshot of
what importing left in memory, and refuses one that holds JavaScript objects. Off Pyodide every name here still works as
far as it can, so that a carrier handed a Python double of a JavaScript object runs in any interpreter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

from ..errors import UserError

__all__ = ["Proxies", "js_host", "js_words", "on_javascript", "to_array", "to_bytes", "to_object"]

F = TypeVar("F", bound=Callable[..., Any])


def on_javascript() -> bool:
    """Whether this interpreter lives in a JavaScript host."""
    return sys.platform == "emscripten"


def js_host(feature: str) -> Any:
    """The global object of the host, as Pyodide's module `js`.

    Args:
        feature: what needs it, for the error.

    Raises:
        UserError: if there is none.
    """
    try:
        return import_module("js")
    except ImportError:
        raise UserError(
            f"{feature} runs in a JavaScript host only, under Pyodide, and this is {sys.platform}; "
            "elsewhere use OpenAIRealtimeWebSocket"
        ) from None


def js_words(error: BaseException) -> str:
    """What a `JsException` says, `TypeError: ...`; any other exception's type and message in the same form.

    A stack, which Pyodide may put into `str(error)`, is left out.
    """
    name = getattr(error, "name", None) or type(error).__name__
    message = getattr(error, "message", None) or str(error)
    return f"{name}: {message}" if message else str(name)


def to_object(value: Mapping[str, Any]) -> Any:
    """A plain JavaScript object (dicts within it as well); off Pyodide the mapping itself."""
    if not on_javascript():
        return value
    ffi, js = import_module("pyodide.ffi"), import_module("js")
    return ffi.to_js(value, dict_converter=js.Object.fromEntries)


def to_bytes(data: Any) -> bytes:
    """A copy of an ArrayBuffer or a typed array, which Python then owns."""
    return bytes(data.to_bytes()) if hasattr(data, "to_bytes") else bytes(data)


def to_array(data: bytes) -> Any:
    """A copy of the bytes as a Uint8Array, which JavaScript then owns; off Pyodide the bytes themselves."""
    return import_module("pyodide.ffi").to_js(data) if on_javascript() else data


class Proxies:
    """Python functions that JavaScript holds on to, until `destroy`.

    A function passed to JavaScript without a proxy dies with the call; one with a proxy that is never destroyed
    lives for ever. Keep one of these for each connection.
    """

    def __init__(self) -> None:
        self._made: list[Any] = []
        self._listening: list[tuple[Any, str, Any]] = []

    def proxy(self, function: F) -> F:
        """The function as JavaScript may keep it."""
        if not on_javascript():
            return function
        made = import_module("pyodide.ffi").create_proxy(function)
        self._made.append(made)
        return made  # type: ignore[no-any-return]

    def listen(self, target: Any, handlers: Mapping[str, Callable[[Any], object]]) -> None:
        """Add these event listeners to an EventTarget; `destroy` removes them."""
        for name, handler in handlers.items():
            made = self.proxy(handler)
            target.addEventListener(name, made)
            self._listening.append((target, name, made))

    def destroy(self) -> None:
        """Remove the listeners and let the functions go; idempotent, and allowed within one of the functions."""
        listening, self._listening = self._listening, []
        for target, name, handler in listening:
            target.removeEventListener(name, handler)
        made, self._made = self._made, []
        for each in made:
            each.destroy()
