"""Any voxwire transport under `agents.realtime.RealtimeRunner` of the package `openai-agents`.

    from voxwire import OpenAIRealtimeWebSocket
    from voxwire.integrations.openai_agents import as_realtime_model

    runner = RealtimeRunner(agent, model=as_realtime_model(OpenAIRealtimeWebSocket()))

`openai-agents` is imported when `as_realtime_model` is called, and only here.
"""

from __future__ import annotations

import types
from functools import cache
from importlib import import_module
from typing import Any

from ..errors import MissingExtraError
from ..transports.base import RealtimeTransportLayer
from .agents_model import TransportModel

__all__ = ["as_realtime_model"]


def as_realtime_model(transport: RealtimeTransportLayer) -> Any:
    """A `RealtimeModel` for `RealtimeRunner(agent, model=...)` that talks through this transport.

    What their interface has no word for (muting, history, MCP, keys on the phone) is reached by
    `model.transport`, and its events come to listeners of the model as `RealtimeModelOtherEvent`.

    Returns:
        An `agents.realtime.RealtimeModel`; its attribute `transport` is yours.

    Raises:
        MissingExtraError: if `openai-agents` is not installed.
    """
    return _model_class()(transport)


@cache
def _model_class() -> Any:
    """`TransportModel` as a subclass of theirs, made where theirs can be imported."""
    try:
        realtime = import_module("agents.realtime")
        events = import_module("agents.realtime.model_events")
        items = import_module("agents.realtime.items")
        usage = import_module("agents.usage")
    except ImportError as error:
        raise MissingExtraError("The adapter for RealtimeRunner", "openai-agents", "openai-agents") from error
    # The names they do not export are in the submodules.
    names = {name: getattr(module, name) for module in (items, events, realtime) for name in _public(module)}
    theirs = types.SimpleNamespace(**{**names, "Usage": usage.Usage})

    def body(namespace: dict[str, Any]) -> None:
        namespace["theirs"] = theirs
        namespace["__module__"] = __name__
        namespace["__doc__"] = TransportModel.__doc__

    return types.new_class("TransportRealtimeModel", (TransportModel, realtime.RealtimeModel), exec_body=body)


def _public(module: types.ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]
