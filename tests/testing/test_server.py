from __future__ import annotations

import asyncio
import base64
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from voxwire.errors import MissingExtraError, UserError
from voxwire.testing import ScriptedServer, UnexpectedEventError, response_events


async def join(server, **more):
    socket = await connect(server.url, proxy=None, compression=None, **more)
    return socket, await server.accept()


async def tell(socket, type, **fields):
    await socket.send(json.dumps({"type": type, **fields}))


async def read(socket):
    return json.loads(await asyncio.wait_for(socket.recv(), 5))


async def test_it_greets_and_merges_the_session():
    async with ScriptedServer() as server:
        socket, service = await join(server)
        greeting = asyncio.ensure_future(service.greet({"audio": {"output": {"voice": "marin"}}}))
        created = await read(socket)
        assert created["type"] == "session.created"
        assert created["event_id"] == "event_1"
        await tell(
            socket, "session.update", session={"instructions": "Hi", "audio": {"output": {"speed": 2}}}
        )
        updated = await read(socket)
        assert updated["type"] == "session.updated"
        assert updated["session"]["audio"] == {"output": {"voice": "marin", "speed": 2}}
        assert updated["session"]["instructions"] == "Hi"
        assert (await greeting)["session"]["instructions"] == "Hi"
        await socket.close()


async def test_expect_is_ordered_and_matches():
    async with ScriptedServer() as server:
        socket, service = await join(
            server, subprotocols=["other", "realtime"], additional_headers={"X-A": "b"}
        )
        assert socket.subprotocol == "realtime"
        assert service.subprotocols == ("other", "realtime")
        assert service.headers["x-a"] == "b"
        service.ignored = {"noise"}
        await tell(socket, "noise")
        await tell(socket, "a", deep={"x": 1, "y": 2})
        await tell(socket, "a", n=3)
        await tell(socket, "b")
        assert (await service.expect("a", {"deep": {"x": 1}}))["deep"]["y"] == 2
        await service.expect("a", lambda event: event["n"] == 3)
        assert [event["type"] for event in service.received][:2] == ["noise", "a"]
        await service.expect("b")
        await socket.close()


@pytest.mark.parametrize(
    ("sent", "wanted", "matcher", "words"),
    [
        ("b", "a", None, "expected 'a', got"),
        ("a", "a", {"n": 1}, "not as expected"),
        ("a", "a", {"type": {"x": 1}}, "not as expected"),
        (None, "a", None, "no 'a' within"),
    ],
)
async def test_a_broken_expectation_lists_what_arrived(sent, wanted, matcher, words):
    async with ScriptedServer(timeout=0.1) as server:
        socket, service = await join(server)
        if sent:
            await tell(socket, sent, long="x" * 500)
        with pytest.raises(UnexpectedEventError, match=words) as caught:
            await service.expect(wanted, matcher)
        assert ("0: {" in str(caught.value)) == bool(sent)
        assert len(caught.value.received) == (1 if sent else 0)
        await socket.close()


async def test_a_client_that_left_is_told_apart_from_a_slow_one():
    async with ScriptedServer() as server:
        socket, service = await join(server)
        await tell(socket, "last")
        await socket.close(4001, "bye")
        await service.expect("last")
        for _ in range(2):
            with pytest.raises(UnexpectedEventError, match=r"left \(code 4001\)"):
                await service.expect("more")
        assert service.close_reason == "bye"


async def test_what_is_not_json_is_kept():
    async with ScriptedServer() as server:
        socket, service = await join(server)
        await socket.send("{broken")
        assert (await service.expect("(not a wire event)"))["text"] == "{broken"
        await service.send_text("{broken too")
        assert await socket.recv() == "{broken too"
        await socket.close()


async def test_refusals_are_used_up_in_order():
    async with ScriptedServer() as server:
        server.refuse(401, {"error": {"message": "no"}})
        server.refuse(503, "busy", headers={"Retry-After": "3"})
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url, proxy=None)
        assert caught.value.response.status_code == 401
        assert json.loads(caught.value.response.body) == {"error": {"message": "no"}}
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url, proxy=None)
        assert caught.value.response.headers["Retry-After"] == "3"
        socket, _ = await join(server)
        assert len(server.connections) == 1
        await socket.close()


async def test_close_and_drop_differ():
    async with ScriptedServer() as server:
        socket, service = await join(server)
        await service.close(4000, "enough")
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
        assert caught.value.rcvd.code == 4000
        socket, service = await join(server)
        service.drop()
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
        assert caught.value.rcvd is None
        assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_reading_can_be_paused():
    async with ScriptedServer(timeout=0.1) as server:
        socket, service = await join(server)
        service.pause_reading()
        await tell(socket, "a")
        with pytest.raises(UnexpectedEventError):
            await service.expect("a")
        service.resume_reading()
        await service.expect("a", timeout=5)
        await socket.close()


async def test_more_events_than_kept_wait_in_the_network():
    async with ScriptedServer(keep=3) as server:
        socket, service = await join(server)
        for n in range(20):
            await tell(socket, "a", n=n)
        for n in range(20):
            await service.expect("a", {"n": n})
        assert [event["n"] for event in service.received] == [17, 18, 19]
        await socket.close()


async def test_nobody_connecting_is_a_failure():
    async with ScriptedServer() as server:
        with pytest.raises(AssertionError, match="nobody connected"):
            await server.accept(0.01)
    with pytest.raises(UserError, match="not running"):
        _ = ScriptedServer().url


async def test_the_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "websockets.asyncio.server", None)
    with pytest.raises(MissingExtraError, match="websockets"):
        await ScriptedServer().__aenter__()


async def test_respond_sends_a_whole_response():
    async with ScriptedServer() as server:
        socket, service = await join(server)
        await service.respond(audio=bytes(9600), text="Hello there.", response_id="r", item_id="i")
        events = [await read(socket)]
        while events[-1]["type"] != "response.done":
            events.append(await read(socket))
        assert [event["type"] for event in events] == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            *["response.output_audio_transcript.delta"] * 2,
            *["response.output_audio.delta"] * 2,
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
        assert len({event["event_id"] for event in events}) == len(events)
        await socket.close()


def test_audio_and_transcript_arrive_whole():
    audio = bytes(range(256)) * 50
    events = list(response_events(response_id="r", item_id="i", audio=audio, text="abc", piece_bytes=1000))
    deltas = [base64.b64decode(e["delta"]) for e in events if e["type"] == "response.output_audio.delta"]
    assert b"".join(deltas) == audio
    assert max(map(len, deltas)) == 1000
    words = [e["delta"] for e in events if e["type"] == "response.output_audio_transcript.delta"]
    assert "".join(words) == "abc"
    (item,) = events[-1]["response"]["output"]
    assert item["content"] == [{"type": "output_audio", "transcript": "abc"}]


def test_a_text_reply_has_no_audio_events():
    events = list(response_events(response_id="r", item_id="i", text="abc", usage={"total_tokens": 3}))
    assert not [event for event in events if "audio" in event["type"]]
    assert "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta") == "abc"
    assert events[-1]["response"]["usage"] == {"total_tokens": 3}


def test_a_function_call_streams_its_arguments():
    events = list(response_events(response_id="r", item_id="i", call=("tool", '{"a": 1}'), call_id="call_9"))
    deltas = [e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta"]
    assert "".join(deltas) == '{"a": 1}'
    (item,) = events[-1]["response"]["output"]
    assert (item["type"], item["name"], item["call_id"], item["arguments"]) == (
        "function_call",
        "tool",
        "call_9",
        '{"a": 1}',
    )


async def test_it_ends_though_a_client_waits_for_room():
    async with asyncio.timeout(10):
        async with ScriptedServer(keep=1) as server:
            async with connect(server.url, subprotocols=["realtime"]) as client:
                for _ in range(5):
                    await client.send('{"type": "input_audio_buffer.commit"}')
                service = await server.accept()
                while not service.received:
                    await asyncio.sleep(0.005)
        assert service.closed.is_set()
