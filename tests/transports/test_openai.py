"""The commands of a transport, as they are seen on the wire."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from voxwire.errors import ConnectionLost, UserError, WireError
from voxwire.protocol.items import InputText, MessageItem
from voxwire.protocol.transport_events import FunctionCall, McpApprovalRequest
from voxwire.transports.openai import OpenAIRealtimeBase, counting_ids

PICTURE = "data:image/png;base64,AAAA"


async def test_behaviour_33_pictures(bench: Any) -> None:
    client, service = await bench.pair()
    await client.add_image(PICTURE, detail="low", trigger_response=False)
    event = await service.expect("conversation.item.create")
    assert event["item"]["content"] == [{"type": "input_image", "image_url": PICTURE, "detail": "low"}]
    message = {"content": [{"type": "input_image", "image": PICTURE, "provider_data": {"detail": "high"}}]}
    await client.send_message(message, {"extra": 1})
    event = await service.expect("conversation.item.create", {"extra": 1})
    assert event["item"]["content"] == [{"type": "input_image", "image_url": PICTURE, "detail": "high"}]
    await service.expect("response.create")
    with pytest.raises(UserError, match="data:image"):
        await client.add_image("picture.png")
    with pytest.raises(UserError, match="'content' list"):
        await client.send_message({"role": "user"})


async def test_a_tool_call_and_its_output(bench: Any) -> None:
    client, service = await bench.pair()
    calls: list[FunctionCall] = []
    client.on("function_call", calls.append)
    await service.respond(call=("get_weather", '{"city": "Paris"}'))
    await bench.until(lambda: calls)
    await bench.until(lambda: client.usage.requests)
    await client.send_function_call_output(calls[0], "sunny")
    output = await service.expect("conversation.item.create")
    assert output["item"] == {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    await service.expect("response.create")
    assert client.history[0].output == "sunny"  # type: ignore[union-attr]


async def test_updates_interruptions_and_raw_events(bench: Any) -> None:
    client, service = await bench.pair()
    await client.update_session_config({"instructions": "new"})
    update = await service.expect("session.update")
    assert update["session"] == {"type": "realtime", "instructions": "new"}
    await client.update_session_config({"instructions": "new"})
    await client.request_response({"instructions": "x"})
    await service.expect("response.create", {"response": {"instructions": "x"}})
    await client.send_event({"type": "response.create", "event_id": "mine"})
    await service.send({"type": "response.created", "response": {"id": "r1"}})
    await bench.until(lambda: client._engine.responses.active_id == "r1")
    await client.interrupt()
    await service.expect("response.cancel", {"response_id": "r1"})
    await service.send({"type": "response.done", "response": {"id": "r1", "status": "cancelled"}})
    await service.expect("response.create", {"event_id": "mine"})


async def test_history_and_approvals(bench: Any) -> None:
    client, service = await bench.pair()
    asked: list[McpApprovalRequest] = []
    client.on("mcp_approval_request", asked.append)
    item = {"id": "q", "type": "mcp_approval_request", "server_label": "s", "name": "t", "arguments": "{}"}
    await service.send({"type": "conversation.item.done", "item": item})
    await bench.until(lambda: asked)
    await client.send_mcp_response(asked[0], True)
    answer = await service.expect("conversation.item.create", {"previous_item_id": "q"})
    assert answer["item"]["approve"] is True
    assert "reason" not in answer["item"]  # 34
    new = MessageItem("m", "user", (InputText("hi"),))
    await client.reset_history(client.history, [*client.history, new])
    create = await service.expect("conversation.item.create", {"previous_item_id": "q"})
    assert create["item"]["id"] == "m"


async def test_an_event_that_is_not_json_reaches_nobody(bench: Any) -> None:
    client, service = await bench.pair()
    with pytest.raises((UserError, WireError)):
        await client.send_event({"type": "response.create", "response": {"x": object()}})
    await client.send_event({"type": "response.create"})
    assert "response" not in await service.expect("response.create")


async def test_a_slow_network_is_felt_by_the_sender(bench: Any) -> None:
    client, service = await bench.pair()
    service.pause_reading()

    async def talk() -> None:
        while client.status == "connected":
            await client.send_audio(bytes(48_000))

    talking = asyncio.create_task(talk())
    for _ in range(50):
        await asyncio.sleep(0.002)
    assert not talking.done()
    assert client._link.carrier._link.transport.get_write_buffer_size() < 1_000_000
    service.resume_reading()
    service.ignored.add("input_audio_buffer.append")
    await client.close()
    with contextlib.suppress(ConnectionLost):
        await asyncio.wait_for(talking, 5)


def test_the_base_needs_an_address() -> None:
    with pytest.raises(TypeError, match="abstract"):
        OpenAIRealtimeBase(carrier=lambda: None)  # type: ignore[abstract, arg-type, return-value]


def test_ids_are_unique() -> None:
    one, two = counting_ids(), counting_ids()
    ids = {make("event") for make in (one, two) for _ in range(100)}
    assert len(ids) == 200
    assert max(map(len, ids)) <= 32  # the service takes no longer ones for items
