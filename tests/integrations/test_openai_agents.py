from __future__ import annotations

import abc
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from voxwire import MissingExtraError
from voxwire.integrations import openai_agents
from voxwire.integrations.agents_model import TransportModel
from voxwire.integrations.openai_agents import as_realtime_model
from voxwire.testing import ScriptedRealtimeTransport


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    openai_agents._model_class.cache_clear()
    yield
    openai_agents._model_class.cache_clear()


def test_without_openai_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agents.realtime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'voxwire\[openai-agents\]'"):
        as_realtime_model(ScriptedRealtimeTransport())


def test_the_model_is_one_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it has no other class in common with theirs; the real package is in tests/interop."""

    class RealtimeModel(abc.ABC):
        @abc.abstractmethod
        async def connect(self, options: object) -> None: ...

    contents = {
        "agents": {},
        "agents.realtime": {"RealtimeModel": RealtimeModel, "Both": 1},
        "agents.realtime.model_events": {"Both": 2, "Usage": "imported there"},
        "agents.realtime.items": {"UserMessageItem": 3},
        "agents.usage": {"Usage": 4},
    }
    for name, values in contents.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    transport = ScriptedRealtimeTransport()
    model = as_realtime_model(transport)
    assert isinstance(model, RealtimeModel)
    assert isinstance(model, TransportModel)
    assert model.transport is transport
    assert (model.theirs.Both, model.theirs.UserMessageItem, model.theirs.Usage) == (1, 3, 4)
    assert type(model) is type(as_realtime_model(transport)), "made once"
