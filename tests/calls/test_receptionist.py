"""Who answers the phone: routes by themselves, and calls from webhook to hang-up over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse

from voxwire import (
    IgnoreCall,
    OpenAIRealtimeSIP,
    OpenAIRealtimeWebSocket,
    RealtimeAgent,
    RealtimeSession,
    Receptionist,
    RejectCall,
    RunContext,
    end_call,
    tool,
)
from voxwire.calls import Calls, WebhookEvent, sign, webhook_app
from voxwire.errors import ConnectError, ProviderError, UserError
from voxwire.session.phone.routes import make_route

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
AVA = RealtimeAgent("Ava", instructions="You are Ava.")
GONE = JSONResponse({"error": {"message": "No such call.", "code": "call_not_found"}}, 404)


# -- routes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({}, True),
        ({"to": "+15551230000"}, True),
        ({"to": "+1 (555) 123-0000"}, True),
        ({"to": "sip:+15551230000@SIP.example.com"}, True),
        ({"to": "+15551230001"}, False),
        ({"to": "15551230000"}, False),
        ({"to": ["+1", "+15551230000"]}, True),
        ({"to": re.compile(r"\+1555\d+")}, True),
        ({"to": re.compile(r"555")}, False),
        ({"to": re.compile(r"sip:.*@sip\.example\.com")}, True),
        ({"from_": "+14155550111"}, True),
        ({"from_": "anonymous"}, False),
        ({"header": "x-team"}, True),
        ({"header": "X-Absent"}, False),
        ({"header": ("X-Team", "sales")}, True),
        ({"header": ("X-Team", "SALES")}, False),
        ({"header": ("X-Team", re.compile("(?i)SALES|help"))}, True),
        ({"header": {"X-Team": "sales", "X-Tier": "1"}}, False),
        ({"header": {"X-Team": "sales", "Call-ID": "7"}}, True),
        ({"when": lambda call: call.call_id == "rtc_1"}, True),
        ({"to": "+15551230000", "when": lambda _call: 0}, False),
        ({"to": "+15551230000", "from_": "bob"}, False),
    ],
)
def test_conditions(incoming: Any, conditions: dict[str, Any], fits: bool) -> None:
    call = incoming(**{"X-Team": "sales", "Call-ID": "7"})
    given = {"to": None, "from_": None, "header": None, "when": None, **conditions}
    assert make_route(lambda _call: None, **given).matches(call) is fits


@pytest.mark.parametrize(
    "conditions",
    [
        {"to": ""},
        {"to": []},
        {"to": 7},
        {"to": [7]},
        {"from_": [None]},
        {"header": ("a", "b", "c")},
        {"header": (1, 2)},
    ],
)
def test_conditions_that_mean_nothing(conditions: dict[str, Any]) -> None:
    receptionist = Receptionist(Calls("sk-x"))
    with pytest.raises((UserError, TypeError)):
        receptionist.incoming(**conditions)(lambda _call: None)


async def test_the_first_route_that_fits_decides(phone: Any, incoming: Any) -> None:
    seen: list[str] = []
    async with phone.control() as calls:
        receptionist = Receptionist(calls)

        @receptionist.default
        def nobody_else(_call: Any) -> RejectCall:
            seen.append("default")
            return RejectCall()

        @receptionist.incoming(to="+15551230000")
        async def first(_call: Any) -> RejectCall:
            seen.append("first")
            return RejectCall(486)

        @receptionist.incoming()
        def second(call: Any) -> IgnoreCall | None:
            seen.append("second")
            return IgnoreCall() if call.call_id == "rtc_2" else None

        await receptionist(incoming("rtc_1"))
        await receptionist(incoming("rtc_2", To="sip:bob@example.com"))
        await receptionist(incoming("rtc_3", To="sip:bob@example.com"))
        await receptionist(WebhookEvent(type="batch.completed"))
    assert seen == ["first", "second", "second"]
    assert phone.requests == [("reject", {"status_code": 486})]


async def test_no_route_fits(phone: Any, incoming: Any) -> None:
    async with phone.control() as calls:
        receptionist = Receptionist(calls)
        receptionist.incoming(to="nobody")(lambda _call: AVA)
        await receptionist(incoming())
        assert phone.requests == [], "it rings on"
        receptionist.default(lambda _call: RejectCall(480))
        await receptionist(incoming())
    assert phone.requests == [("reject", {"status_code": 480})]


async def test_answers_that_are_none(phone: Any, incoming: Any) -> None:
    async with phone.control() as calls:
        receptionist = Receptionist(calls)
        receptionist.default(lambda _call: "Ava")
        with pytest.raises(UserError, match="must give a RealtimeAgent"):
            await receptionist(incoming())
    with pytest.raises(UserError, match="300 to 699"):
        RejectCall(200)
    with pytest.raises(UserError, match="max_calls"):
        Receptionist(calls, max_calls=0)
    with pytest.raises(UserError, match="make_session"):
        Receptionist(calls, model="m", make_session=lambda _agent, _call: None)  # type: ignore[arg-type, return-value]


# -- calls ---------------------------------------------------------------------------------------


async def test_from_the_webhook_to_the_hang_up(phone: Any, serving: Any, until: Any) -> None:
    """The whole of it: signed webhook, accept, sideband, greeting, a tool that knows the call, goodbye."""

    @tool
    async def who_calls(context: RunContext[Any]) -> str:
        """Who is calling."""
        return str(context.context.from_.number)

    async with phone.control() as calls:
        receptionist = Receptionist(calls, config={"voice": "cedar"}, model="gpt-realtime-mini")
        agent = RealtimeAgent("Ava", instructions="You are Ava.", tools=[who_calls, end_call(calls)])
        ended: list[Any] = []

        @receptionist.incoming(to="+15551230000")
        async def sales(_call: Any) -> RealtimeAgent:
            return agent

        @receptionist.on_session
        def listen(session: RealtimeSession, call: Any) -> None:
            session.on(
                "connection_change", lambda event: ended.append((call.call_id, event.status, event.reason))
            )

        headers = [
            {"name": "From", "value": "sip:+14155550111@example.com"},
            {"name": "To", "value": "sip:+15551230000@sip.example.com"},
        ]
        data = {"call_id": "rtc_1", "sip_headers": headers}
        body = json.dumps({"type": "realtime.call.incoming", "id": "evt_1", "data": data}).encode()
        app = webhook_app(receptionist, secret=SECRET)
        async with serving(app, lifespan="on") as url, httpx.AsyncClient(trust_env=False) as client:
            signed = sign(body, SECRET, webhook_id="wh_1", now=time.time())
            assert (await client.post(url, content=body, headers=signed)).status_code == 200

            line = await phone.line("rtc_1")
            [accepted] = phone.commands("accept")
            assert (accepted["model"], accepted["instructions"]) == ("gpt-realtime-mini", "You are Ava.")
            assert accepted["audio"]["output"] == {"voice": "cedar"}
            update = (await line.expect("session.update"))["session"]
            assert {key: value for key, value in update.items() if key != "tracing"} == accepted
            greeting = await line.expect("response.create")
            assert "instructions" not in greeting.get("response", {})
            assert list(receptionist.active) == ["rtc_1"]

            await line.speak("resp_1", call=("who_calls", "{}"))
            assert (await line.expect("conversation.item.create"))["item"]["output"] == "+14155550111"
            await line.send("output_audio_buffer.stopped", response_id="resp_1")
            await line.expect("response.create")
            await line.speak("resp_2", call=("end_call", "{}"))
            await line.send("output_audio_buffer.stopped", response_id="resp_2")
            await until(lambda: not receptionist.active)
            await until(lambda: app.running == 0)
    assert [command for command, _ in phone.requests] == ["accept", "hangup"]
    assert ended[-1] == ("rtc_1", "disconnected", "ended by hangup")


async def test_greetings(phone: Any, incoming: Any) -> None:
    async with phone.control() as calls:
        told = Receptionist(calls, greeting="Say hello in French.")
        task = asyncio.create_task(told.answer(incoming("rtc_1"), AVA))
        line = await phone.line("rtc_1")
        assert (await line.expect("response.create"))["response"] == {"instructions": "Say hello in French."}
        await line.hang_up()
        await task

        silent = Receptionist(calls, greeting=False)
        task = asyncio.create_task(silent.answer(incoming("rtc_2"), AVA))
        line = await phone.line("rtc_2")
        await line.expect("session.update")
        await line.hang_up()
        await task
        assert "response.create" not in [event["type"] for event in line.received]


@pytest.mark.parametrize("status", [404, 409, 410])
async def test_a_caller_who_has_gone(phone: Any, incoming: Any, status: int) -> None:
    async with phone.control() as calls:
        receptionist = Receptionist(calls)
        phone.refuse("accept", JSONResponse({}, status))
        await receptionist.answer(incoming(), AVA)
        receptionist.default(lambda _call: RejectCall())
        phone.refuse("reject", JSONResponse({}, status))
        await receptionist(incoming())
    assert [command for command, _ in phone.requests] == ["accept", "reject"]
    assert receptionist.active == {}


async def test_a_caller_who_goes_between_accept_and_attach(phone: Any, incoming: Any) -> None:
    async with phone.control() as calls:
        receptionist = Receptionist(calls)
        receptionist.on_session(lambda _session, call: phone.calls.discard(call.call_id))
        phone.refuse("hangup", GONE)
        await receptionist.answer(incoming(), AVA)
    assert [command for command, _ in phone.requests] == ["accept", "hangup"]


async def test_a_call_that_cannot_be_accepted(phone: Any, incoming: Any) -> None:
    async with phone.control() as calls:
        receptionist = Receptionist(calls)
        phone.refuse("accept", JSONResponse({"error": {"message": "Unknown parameter.", "param": "x"}}, 400))
        with pytest.raises(ProviderError, match="Unknown parameter"):
            await receptionist.answer(incoming(), AVA)
    assert [command for command, _ in phone.requests] == ["accept"]
    assert receptionist.active == {}


async def test_a_session_that_cannot_attach_hangs_up(phone: Any, incoming: Any) -> None:
    """Else the caller would talk to a model without tools, or to nobody."""

    async with phone.control() as calls:
        receptionist = Receptionist(
            calls,
            make_session=lambda agent, _call: RealtimeSession(
                agent,
                transport=OpenAIRealtimeSIP(url="ws://127.0.0.1:9/v1/realtime", api_key="sk-x", proxy=None),
            ),
        )
        with pytest.raises(ConnectError):
            await receptionist.answer(incoming(), AVA)
        phone.refuse("hangup", JSONResponse({}, 500))
        with pytest.raises(ConnectError):
            await receptionist.answer(incoming(), AVA)
    assert [command for command, _ in phone.requests] == ["accept", "hangup"] * 2


async def test_a_hook_that_raises_hangs_up(phone: Any, incoming: Any) -> None:
    async with phone.control() as calls:
        receptionist = Receptionist(calls)

        @receptionist.on_session
        async def hook(_session: Any, _call: Any) -> None:
            raise LookupError("no such caller")

        with pytest.raises(LookupError):
            await receptionist.answer(incoming(), AVA)
    assert [command for command, _ in phone.requests] == ["accept", "hangup"]


async def test_one_call_too_many_is_busy(phone: Any, incoming: Any) -> None:
    async with phone.control() as calls:
        receptionist = Receptionist(calls, max_calls=1)
        task = asyncio.create_task(receptionist.answer(incoming("rtc_1"), AVA))
        line = await phone.line("rtc_1")
        await receptionist.answer(incoming("rtc_1"), AVA)  # told twice
        await receptionist.answer(incoming("rtc_2"), AVA)
        assert phone.commands("reject") == [{"status_code": 486}]
        assert len(phone.commands("accept")) == 1
        await line.hang_up()
        await task
        assert receptionist.active == {}


async def test_cancelling_hangs_up(phone: Any, incoming: Any) -> None:
    async with phone.control() as calls:
        receptionist = Receptionist(calls)
        task = asyncio.create_task(receptionist.answer(incoming(), AVA))
        line = await phone.line("rtc_1")
        await line.expect("response.create")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await line.closed.wait()
    assert [command for command, _ in phone.requests] == ["accept", "hangup"]


async def test_sessions_of_the_users(phone: Any, incoming: Any) -> None:
    async with phone.control() as calls:
        wrong = Receptionist(
            calls,
            make_session=lambda agent, _call: RealtimeSession(agent, transport=OpenAIRealtimeWebSocket()),
        )
        with pytest.raises(UserError, match="needs transport=OpenAIRealtimeSIP"):
            await wrong.answer(incoming(), AVA)
        assert phone.requests == []

        def make(agent: RealtimeAgent, call: Any) -> RealtimeSession:
            transport = OpenAIRealtimeSIP(url=calls.realtime_url, api_key="sk-calls", proxy=None)
            return RealtimeSession(agent, transport=transport, context={"caller": call.from_.number})

        receptionist = Receptionist(calls, make_session=make)
        task = asyncio.create_task(receptionist.answer(incoming(), AVA))
        line = await phone.line("rtc_1")
        assert receptionist.active["rtc_1"].context.context == {"caller": "+14155550111"}
        await line.expect("response.create")
        await line.hang_up()
        await task


async def test_many_calls_at_once_leave_nothing_behind(phone: Any, incoming: Any) -> None:
    async with phone.control() as calls:
        receptionist = Receptionist(calls)
        tasks = [asyncio.create_task(receptionist.answer(incoming(f"rtc_{n}"), AVA)) for n in range(20)]
        lines = [await phone.line(f"rtc_{n}") for n in range(20)]
        for line in lines:
            await line.expect("response.create")
        assert len(receptionist.active) == 20
        await asyncio.gather(*(line.hang_up() for line in lines))
        await asyncio.gather(*tasks)
    assert receptionist.active == {}


def test_the_default_address_is_left_to_the_transport(incoming: Any) -> None:
    """Which takes the key of the environment for it."""
    session = Receptionist(Calls())._session_for(AVA, incoming())
    assert session.transport.url is None  # type: ignore[attr-defined]
