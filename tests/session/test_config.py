"""What is sent first, and what an agent changes. Numbers are those of the JavaScript SDK's behaviours."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from voxwire import (
    AudioConfig,
    AudioOutput,
    Prompt,
    RealtimeAgent,
    RealtimeSession,
    RunContext,
    SessionConfig,
    UserError,
    handoff,
    tool,
)
from voxwire.session.config import AgentSettings, TracingOptions, agent_update, first_config
from voxwire.testing import ScriptedRealtimeTransport

compute = RealtimeSession.compute_initial_session_config


def function() -> None:
    """Act."""


act = tool(name="act")(function)


async def test_defaults() -> None:
    """16: with transcription."""
    assert await compute(RealtimeAgent("A")) == {
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "semantic_vad"},
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}},
        },
        "tracing": "auto",
    }


async def test_the_users_settings_are_laid_over_the_defaults() -> None:
    config = {"audio": {"input": {"turn_detection": None, "format": "g711_ulaw"}}, "max_output_tokens": 50}
    wire = await compute(RealtimeAgent("A", instructions="Speak."), config=config)
    assert wire["audio"]["input"]["turn_detection"] is None
    assert wire["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert wire["audio"]["input"]["transcription"] == {"model": "gpt-4o-mini-transcribe"}
    assert wire["max_output_tokens"] == 50
    assert wire["instructions"] == "Speak."


@pytest.mark.parametrize(
    ("config", "voice"),
    [
        (None, "agents"),
        (SessionConfig(audio=AudioConfig(output=AudioOutput(voice="configs"))), "configs"),
        ({"voice": "older"}, "older"),
        ({"voice": "older", "audio": {"output": {"voice": "configs"}}}, "configs"),
    ],
)
async def test_voice(config: Any, voice: str) -> None:
    """15: the configuration's, in the newer spelling first, then the agent's."""
    wire = await compute(RealtimeAgent("A", voice="agents"), config=config)
    assert wire["audio"]["output"] == {"format": {"type": "audio/pcm", "rate": 24000}, "voice": voice}


async def test_model() -> None:
    assert "model" not in await compute(RealtimeAgent("A"))
    assert (await compute(RealtimeAgent("A"), config={"model": "one"}))["model"] == "one"
    assert (await compute(RealtimeAgent("A"), config={"model": "one"}, model="two"))["model"] == "two"


@pytest.mark.parametrize(
    ("options", "tracing"),
    [
        ({}, "auto"),
        ({"config": {"tracing": None}}, None),
        ({"config": {"tracing": {"workflow_name": "theirs"}}}, {"workflow_name": "theirs"}),
        ({"workflow_name": "w"}, {"workflow_name": "w"}),
        ({"workflow_name": "w", "config": {"tracing": None}}, {"workflow_name": "w"}),
        (
            {"workflow_name": "w", "group_id": "g", "trace_metadata": {"a": "b"}},
            {"workflow_name": "w", "group_id": "g", "metadata": {"a": "b"}},
        ),
        ({"tracing_disabled": True}, None),
    ],
)
async def test_tracing(options: dict[str, Any], tracing: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert (await compute(RealtimeAgent("A"), **options))["tracing"] == tracing
    assert not caplog.records


@pytest.mark.parametrize(
    ("options", "tracing", "words"),
    [
        ({"tracing_disabled": True, "workflow_name": "w", "group_id": "g"}, None, "with tracing_disabled"),
        ({"trace_metadata": {}}, "auto", "without workflow_name"),
    ],
)
def test_tracing_without_effect(
    options: dict[str, Any], tracing: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """18: a warning when the group or the metadata have nothing to belong to."""
    made = TracingOptions(
        options.get("tracing_disabled", False),
        options.get("workflow_name"),
        options.get("group_id"),
        options.get("trace_metadata"),
    )
    with caplog.at_level(logging.WARNING, "voxwire"):
        assert made.to_wire() == tracing
    assert words in caplog.text


async def test_functions_are_asked() -> None:
    """21: of prompt and instructions, plain or not."""
    context = {"user": "Ann"}

    def instructions(context: RunContext[Any], agent: RealtimeAgent) -> str:
        return f"{agent.name} talks to {context.context['user']}."

    async def prompt(context: RunContext[Any], agent: RealtimeAgent) -> dict[str, Any]:
        return {"promptId": "p", "variables": {"user": context.context["user"]}}

    wire = await compute(RealtimeAgent("A", instructions, prompt), context=context)
    assert wire["instructions"] == "A talks to Ann."
    assert wire["prompt"] == {"id": "p", "variables": {"user": "Ann"}}


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (RealtimeAgent("A", lambda context, agent: 5), "instructions function of agent 'A' gave int"),  # type: ignore[arg-type,return-value]
        (RealtimeAgent("A", prompt=5), "the prompt of agent 'A' must be a Prompt or a dict, got 5"),  # type: ignore[arg-type]
    ],
)
async def test_what_functions_must_give(agent: RealtimeAgent, words: str) -> None:
    with pytest.raises(UserError, match=words):
        await compute(agent)


async def test_nothing_overwrites_something() -> None:
    """No instructions are not the empty string: a prompt, or the configuration, has some."""
    wire = await compute(RealtimeAgent("A", prompt=Prompt(id="p")), config={"output_modalities": ["text"]})
    assert "instructions" not in wire
    assert wire["prompt"] == {"id": "p"}
    wire = await compute(RealtimeAgent("A"), config={"instructions": "Theirs.", "prompt": {"id": "q"}})
    assert wire["instructions"] == "Theirs."
    assert wire["prompt"] == {"id": "q"}
    wire = await compute(RealtimeAgent("A", "Mine."), config={"instructions": "Theirs."})
    assert wire["instructions"] == "Mine."


async def test_tools() -> None:
    mcp = {"type": "mcp", "server_label": "s", "server_url": "https://example.com"}
    agent = RealtimeAgent("A", tools=[act], handoffs=[RealtimeAgent("B")])
    wire = await compute(agent, config={"tools": [mcp]})
    assert [entry.get("name") for entry in wire["tools"]] == ["act", "transfer_to_B", None]
    assert wire["tools"][2] == mcp
    stray = {"type": "function", "name": "stray", "parameters": {"type": "object"}}
    with pytest.raises(UserError, match=r"function tool 'stray' is in config\.tools"):
        await compute(agent, config={"tools": [stray]})


async def test_what_is_not_enabled_is_not_offered() -> None:
    def on_weekdays(context: RunContext[Any], agent: RealtimeAgent) -> bool:
        return bool(context.context["weekday"])

    async def never(context: RunContext[Any], agent: RealtimeAgent) -> bool:
        return False

    agent = RealtimeAgent(
        "A",
        tools=[
            tool(name="act", is_enabled=on_weekdays)(function),
            tool(name="off", is_enabled=False)(function),
        ],
        handoffs=[handoff(RealtimeAgent("B"), is_enabled=never)],
    )
    wire = await compute(agent, context={"weekday": True})
    assert [entry["name"] for entry in wire["tools"]] == ["act"]
    assert "tools" not in await compute(agent, context={"weekday": False})


async def test_names_must_differ() -> None:
    """115: among what is enabled."""
    other = RealtimeAgent("B")
    agent = RealtimeAgent(
        "A",
        tools=[act, tool(name="transfer_to_B")(function), tool(name="act", is_enabled=False)(function)],
        handoffs=[other, other],
    )
    words = r"Duplicate Realtime tool name\(s\) found: 'transfer_to_B' \(function tool and 2 handoffs\)$"
    with pytest.raises(UserError, match=words):
        await compute(agent)


async def test_computing_leaves_a_transport_alone() -> None:
    transport = ScriptedRealtimeTransport()
    await compute(RealtimeAgent("A"), transport=transport)
    assert transport.calls == ()
    assert not transport.listeners.has("audio")


EMPTY = AgentSettings("", None, None, [])
FULL = AgentSettings("Speak.", {"id": "p"}, "marin", [{"type": "function", "name": "act"}])


def test_what_the_last_agent_had_is_cleared() -> None:
    before = first_config({}, FULL, TracingOptions())
    assert agent_update(before, {}, EMPTY) == {"instructions": "", "tools": [], "prompt": None}
    assert agent_update(first_config({}, EMPTY, TracingOptions()), {}, EMPTY) == {}


def test_only_the_agents_part_changes() -> None:
    """17: an audio format the user chose stays, as it is not mentioned."""
    user = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
    before = first_config(user, EMPTY, TracingOptions())
    assert agent_update(before, user, FULL) == {
        "instructions": "Speak.",
        "tools": [{"type": "function", "name": "act"}],
        "prompt": {"id": "p"},
        "audio": {"output": {"voice": "marin"}},
    }
