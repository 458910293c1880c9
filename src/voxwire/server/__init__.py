"""The embedded Realtime service.

`EmbeddedServer` runs it inside the current event loop, `create_app` gives the ASGI application.
Everything is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app, service_of
    from .limits import Limits
    from .options import ServerOptions
    from .serve import EmbeddedServer

__all__ = ["EmbeddedServer", "Limits", "ServerOptions", "create_app", "service_of"]

_HOME = {
    "EmbeddedServer": "serve",
    "Limits": "limits",
    "ServerOptions": "options",
    "create_app": "app",
    "service_of": "app",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
