"""History over the session: changed, kept, saved, and begun with. The service is the embedded server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from voxwire import (
    FunctionCallItem,
    InputAudio,
    InputText,
    MessageItem,
    OutputAudio,
    OutputText,
    RealtimeAgent,
    RealtimeSession,
    UserError,
)
from voxwire.protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    AudioStopped,
    HistoryAdded,
    ItemTruncation,
    UserSpeechStarted,
    UserSpeechStopped,
)
from voxwire.server import EmbeddedServer
from voxwire.server.speech.responder_script import ScriptResponder
from voxwire.session import item_times, seeding
from voxwire.testing import ScriptedRealtimeTransport

SAVED = (
    MessageItem("u1", "user", (InputAudio("What is the weather?"),)),
    FunctionCallItem("f1", "c1", "get_weather", '{"city": "Oslo"}', "sunny", "completed"),
    MessageItem("a1", "assistant", (OutputAudio("It is", "It is sunny.", 400),), "incomplete"),
    MessageItem("u2", "user", (InputText("Thanks"),)),
)


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    responder = ScriptResponder(text="turns: [{say: Indeed.}]")
    async with EmbeddedServer(
        responder=responder, synthesizer="tone", transcriber="none", vad="energy"
    ) as running:
        yield running


def session_at(server: EmbeddedServer, **options: Any) -> RealtimeSession:
    config = {"audio": {"input": {"turn_detection": None}}}
    return RealtimeSession(
        RealtimeAgent("Ava"), url=server.url, api_key="k", transport="websocket", config=config, **options
    )


async def until(condition: Any, timeout: float = 10.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


def ids(session: RealtimeSession) -> list[str]:
    return [item.item_id for item in session.history]


async def at_the_service(session: RealtimeSession, item_id: str) -> dict[str, Any]:
    """The item as the server has it, and what it says comes before it."""
    found: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    def listen(event: Any) -> None:
        if event["type"] == "conversation.item.retrieved" and not found.done():
            found.set_result(event["item"])

    session.transport.on("*", listen)
    await session.transport.send_event({"type": "conversation.item.retrieve", "item_id": item_id})
    item = await asyncio.wait_for(found, 10)
    session.transport.off("*", listen)
    return item


async def test_a_session_begins_with_a_saved_history(server: EmbeddedServer) -> None:
    async with session_at(server, history=SAVED) as session:
        assert ids(session) == ["u1", "f1", "a1", "u2"]
        call = session.history[1]
        assert isinstance(call, FunctionCallItem)
        await until(lambda: session.history[1].output == "sunny")  # type: ignore[union-attr]
        item = await at_the_service(session, "a1")
        assert item["content"] == [{"type": "output_text", "text": "It is"}]  # what was heard of it
        assert (await at_the_service(session, "u1"))["content"][0]["text"] == "What is the weather?"
        saved = session.export_history()
    fresh = session_at(server)
    await fresh.connect(history=saved)
    assert ids(fresh) == ["u1", "f1", "a1", "u2"]
    await fresh.close()
    await session.connect(history=())
    assert ids(session) == []
    await session.close()
    await session.connect()
    assert ids(session) == ["u1", "f1", "a1", "u2"]
    await session.close()


async def test_an_item_that_is_refused_is_an_error(server: EmbeddedServer) -> None:
    session = session_at(server, history=[*SAVED[:1], MessageItem("x" * 40, "user", (InputText("long id"),))])
    errors: list[Any] = []
    session.on("error", errors.append)
    await session.connect()
    assert ids(session) == ["u1"]
    assert len(errors) == 1
    await session.close()


async def test_update_history_keeps_the_order(server: EmbeddedServer) -> None:
    """Behaviour 35: a changed item stays where it was; here and at the service."""
    async with session_at(server, history=SAVED) as session:
        await until(lambda: getattr(session.history[1], "output_item_id", None))

        def edit(items: Any) -> Any:
            first, *rest = items
            return [
                replace(first, content=(InputText("And in Rome?"),)),
                *rest,
                MessageItem("z", "user", (InputText("!"),)),
            ]

        added = asyncio.Event()
        session.on("history_added", lambda event: added.set() if event.item.item_id == "z" else None)
        await session.update_history(edit)
        await asyncio.wait_for(added.wait(), 10)
        assert ids(session) == ["u1", "f1", "a1", "u2", "z"]
        assert session.history[0].text == "And in Rome?"  # type: ignore[union-attr]
        created: list[dict[str, Any]] = []
        session.transport.on("*", created.append)
        await session.update_history(lambda items: [items[3], items[0], items[4]])
        await until(lambda: ids(session) == ["u2", "u1", "z"])
        assert not [event for event in created if event["type"] == "error"]


@pytest.mark.parametrize("store", [False, True])
async def test_audio_is_kept_if_wanted(server: EmbeddedServer, store: bool) -> None:
    """Behaviour 40."""
    pcm = bytes(range(256)) * 40
    async with session_at(server, history_store_audio=store) as session:
        done = asyncio.Event()
        session.on("agent_end", lambda _: done.set())
        await session.send_audio(pcm, commit=True)
        await until(lambda: session.history)
        await session.transport.request_response()
        await asyncio.wait_for(done.wait(), 10)
        user, agent = session.history
        for item in (user, agent):
            await at_the_service(session, item.item_id)
        spoken, said = (item.content[0] for item in session.history)  # type: ignore[union-attr]
        if store:
            assert base64.b64decode(spoken.audio) == pcm  # type: ignore[union-attr]
            assert len(said.audio) > 1000  # type: ignore[union-attr, arg-type]
        else:
            assert (spoken.audio, said.audio) == (None, None)  # type: ignore[union-attr]
        assert said.transcript == "Indeed."  # type: ignore[union-attr]


async def test_export(server: EmbeddedServer) -> None:
    async with session_at(server) as session:
        stopped = asyncio.Event()
        session.on("audio_stopped", lambda _: stopped.set())
        await session.send_message("Is it?")
        await asyncio.wait_for(stopped.wait(), 20)
        assert session.export_history("text") == "User: Is it?\nAgent: Indeed.\n"
        captions = session.export_history("webvtt")
        assert captions.startswith("WEBVTT\n\n00:00:0")
        assert "<v User>Is it?\n\n" in captions
        assert captions.endswith("<v Agent>Indeed.\n")
        assert len(session._clock.times) == 2
        with pytest.raises(UserError, match="'pdf'"):
            session.export_history("pdf")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("history", "words"),
    [("{}", "voxwire_history"), ([SAVED[0], SAVED[0]], "twice"), ([{"type": "message"}], "made of items")],
)
def test_what_is_no_history(history: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        RealtimeSession(RealtimeAgent("Ava"), transport=ScriptedRealtimeTransport(), history=history)


async def test_another_transport_is_given_the_items() -> None:
    transport = ScriptedRealtimeTransport()
    empty = MessageItem("e", "user", (InputAudio(),))  # has nothing that could be told
    session = RealtimeSession(RealtimeAgent("Ava"), transport=transport, history=[*SAVED, empty])
    await session.connect()
    (call,) = [call for call in transport.calls if call.method == "reset_history"]
    assert (call["old"], call["new"]) == ((), SAVED)
    await session.close()


async def test_nobody_waits_for_ever(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "PATIENCE", 0.01)
    session = session_at(server)
    await session.connect()

    async def nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(session.transport, "reset_history", nothing)
    await seeding.seed(session.transport, SAVED)
    assert ids(session) == []
    await session.close()


async def test_times_of_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the captions are made of: heard, cut, said and written."""
    monkeypatch.setattr(item_times, "MAX_ITEMS", 4)
    transport = ScriptedRealtimeTransport()
    clock = item_times.ItemClock(transport)
    now = [0.0]
    monkeypatch.setattr(item_times.ItemClock, "_now", lambda _self: now[0])
    clock.attach()
    clock.attach()
    await transport.connect()
    now[0] = 1000
    transport.emit(UserSpeechStarted("u1", 500))
    transport.emit(HistoryAdded(MessageItem("u1", "user", (InputAudio(),))))
    now[0] = 3000
    transport.emit(UserSpeechStopped("u1", 2600))
    assert clock.times["u1"] == (900, 3000, True)
    now[0] = 4000
    for item_id in ("a1", "a1", "a2"):
        transport.emit(AudioEvent(bytes(48 * 500), item_id, "r1"))
    assert clock.times["a1"] == (4000, 5000, True)
    assert clock.times["a2"] == (5000, 5500, True)
    now[0] = 4600
    transport.emit(AudioInterrupted((ItemTruncation("a1", 0, 600), ItemTruncation("a2", 0, 0))))
    transport.emit(AudioStopped(interrupted=True))
    assert clock.times["a1"] == (4000, 4600, True)
    assert clock.times["a2"] == (4600, 4600, True)
    now[0] = 6000
    transport.emit(AudioEvent(bytes(48 * 500), "a3", "r2"))
    now[0] = 6700
    transport.emit(AudioStopped())
    assert clock.times["a3"] == (6000, 6500, True)
    transport.emit(HistoryAdded(MessageItem("u2", "user", (InputText("x"),))))
    transport.emit(HistoryAdded(MessageItem("a4", "assistant", (OutputText("x"),))))
    assert list(clock.times) == ["a1", "a2", "a3", "u2"]
    assert clock.times["u2"] == (6700, None, False)
    clock.detach()
    transport.emit(UserSpeechStarted("u9", 500))
    assert "u9" not in clock.times
    await transport.close()


async def test_where_the_history_cannot_be_sent_the_connection_is_closed() -> None:
    transport = ScriptedRealtimeTransport()
    session = RealtimeSession(RealtimeAgent("Ava"), transport=transport, history=SAVED)
    transport.fail_next_call("reset_history", UserError("not like this"))
    with pytest.raises(UserError, match="not like this"):
        await session.connect()
    assert transport.status == "disconnected"
    assert await session.wait_closed() is not None
    await session.connect()  # once more
    await session.close()


async def test_a_connect_that_is_cancelled_while_it_sends_the_history_closes_the_connection() -> None:
    sending = asyncio.Event()

    class Slow(ScriptedRealtimeTransport):
        async def reset_history(self, old: Any, new: Any) -> None:
            sending.set()
            await asyncio.Event().wait()

    transport = Slow()
    session = RealtimeSession(RealtimeAgent("Ava"), transport=transport, history=SAVED)
    connecting = asyncio.create_task(session.connect())
    await sending.wait()
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert transport.status == "disconnected"
