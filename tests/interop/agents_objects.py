"""Tools, handoffs and agents of `openai-agents`, run by a voxwire session against a Realtime server.

    python agents_objects.py URL API_KEY

Prints what happens as JSON lines; ends when an agent has said something.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from agents import (
    FunctionTool,
    RunContextWrapper,
    ToolGuardrailFunctionOutput,
    ToolOutputImage,
    ToolOutputText,
    function_tool,
    tool_input_guardrail,
    tool_output_guardrail,
)
from agents.realtime import RealtimeAgent, realtime_handoff
from agents.tool_context import ToolContext
from pydantic import BaseModel

import voxwire

# It says that there is no trace to attach a tool's error to; its own runner makes one.
logging.getLogger("openai.agents").setLevel(logging.CRITICAL)
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def show(kind: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"kind": kind, **fields}) + "\n")
    sys.stdout.flush()


@tool_input_guardrail
def no_capitals(data: Any) -> ToolGuardrailFunctionOutput:
    assert isinstance(data.context, ToolContext)
    if "OSLO" in data.context.tool_arguments:
        return ToolGuardrailFunctionOutput.reject_content("Do not shout.")
    return ToolGuardrailFunctionOutput.allow()


@tool_output_guardrail
async def no_secrets(data: Any) -> ToolGuardrailFunctionOutput:
    if "secret" in str(data.output):
        return ToolGuardrailFunctionOutput.reject_content("(withheld)")
    return ToolGuardrailFunctionOutput.allow()


@function_tool(tool_input_guardrails=[no_capitals], tool_output_guardrails=[no_secrets])
async def get_weather(ctx: ToolContext[Any], city: str) -> str:
    """Return the weather for a city.

    Args:
        city: The city's name.
    """
    assert isinstance(ctx, ToolContext)
    return f"It is {'secret' if city == 'Area 51' else 'sunny'} in {city}, {ctx.context['user']}."


async def risky(ctx: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str) -> bool:
    return bool(arguments["user_id"] > 5 and call_id)


@function_tool(needs_approval=risky)
def delete_account(user_id: int) -> str:
    """Delete an account."""
    return f"deleted {user_id}"


@function_tool(is_enabled=lambda ctx, agent: False)
def hidden() -> str:
    """Never offered."""
    return "no"


@function_tool
def look() -> list[ToolOutputText | ToolOutputImage]:
    """Take a picture."""
    return [ToolOutputText(text="A pixel:"), ToolOutputImage(image_url=PIXEL, detail="low")]


@function_tool(timeout=0.05)
async def slow() -> str:
    """Take too long."""
    await asyncio.Event().wait()
    return "never"


async def shout(ctx: ToolContext[Any], arguments: str) -> str:
    return json.loads(arguments)["word"].upper()  # type: ignore[no-any-return]


hand_made = FunctionTool(
    name="shout",
    description="Shout a word.",
    params_json_schema={"type": "object", "properties": {"word": {"type": "string"}}},
    on_invoke_tool=shout,
    strict_json_schema=False,
)


class Reason(BaseModel):
    why: str


def on_handoff(ctx: RunContextWrapper[Any], reason: Reason) -> None:
    show("on_handoff", why=reason.why, user=ctx.context["user"])


leo = RealtimeAgent(name="Leo", instructions=lambda ctx, agent: f"You are {agent.name}.", tools=[look])
mia = RealtimeAgent(name="Mia", instructions="You are Mia.", handoffs=[leo])
ava = voxwire.RealtimeAgent(
    "Ava",
    tools=[get_weather, delete_account, hidden, look, slow, hand_made],
    handoffs=[realtime_handoff(leo, on_handoff=on_handoff, input_type=Reason), mia],
)


async def main() -> None:
    session = voxwire.RealtimeSession(ava, transport="websocket", url=sys.argv[1], context={"user": "Kim"})
    said = asyncio.Event()

    def ended(event: voxwire.AgentEnd) -> None:
        if event.text:
            show("said", agent=event.agent.name, text=event.text)
            said.set()

    async def asked(request: voxwire.ToolApprovalRequested) -> None:
        show("approval", tool=request.tool.name, arguments=dict(request.arguments or {}))
        await session.approve(request)

    session.on("agent_end", ended)
    session.on("tool_approval_requested", asked)
    session.on("agent_tool_end", lambda event: show("tool", name=event.tool.name, output=event.result))
    session.on("error", lambda event: show("error", error=type(event.error).__name__))
    session.on(
        "agent_handoff",
        lambda event: show(
            "handoff", to=event.to_agent.name, tools=[t.name for t in event.to_agent.all_tools()]
        ),
    )
    await session.connect(api_key=sys.argv[2])
    offered = session.transport.session_config  # type: ignore[attr-defined]
    show("tools", names=[entry["name"] for entry in offered["tools"]])
    await session.send_message("Begin.")
    async with asyncio.timeout(30):
        await said.wait()
    show("instructions", text=session.transport.session_config["instructions"])  # type: ignore[attr-defined]
    images = [
        part.image_url
        for item in session.history
        if item.type == "message"
        for part in item.content
        if part.type == "input_image"
    ]
    show("images", count=len(images))
    await session.close()


asyncio.run(main())
