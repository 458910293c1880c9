"""A receptionist on a phone number: takes a webhook for every call, answers it, books, puts through, hangs up.

    OPENAI_API_KEY=... OPENAI_WEBHOOK_SECRET=whsec_... OFFICE=tel:+15550100 python receptionist.py

is for calls that the service carries. With an address for SIP it needs no key and no network, since voxwire's own
server is the service: call `sip:ava@127.0.0.1:5060` with any softphone.

    python receptionist.py 127.0.0.1:5060
"""

import asyncio
import os
import secrets
import socket
import sys
from base64 import b64encode
from contextlib import suppress

import uvicorn

from voxwire import (
    RealtimeAgent,
    RealtimeSession,
    Receptionist,
    RejectCall,
    RunContext,
    end_call,
    tool,
    transfer_call,
)
from voxwire.calls import Calls, IncomingCall, WebhookApp, webhook_app
from voxwire.server import EmbeddedServer
from voxwire.server.speech.responder_script import ScriptResponder

CONFIG = {
    "audio": {
        "input": {
            # What callers are likely to say helps the recogniser, above all the offline one.
            "transcription": {
                "model": "gpt-4o-mini-transcribe",
                "language": "en",
                "prompt": "Please book a table for two on Friday.\nPlease let me talk to the storyteller.\nThank you, goodbye.",
            }
        }
    }
}
SCRIPT = """
turns:
  - say: Hello! This is Ava. How can I help you?
  - when: is booked
    do: [{say: Your table for two is booked on Friday.}]
  - when: book a table
    do: [{tool_call: {name: book_table, arguments: {day: Friday, people: 2}}}]
  - when: storyteller
    do: [{say: I will put you through.}, {tool_call: {name: transfer_call, arguments: {target: storyteller}}}]
  - when: goodbye
    do: [{say: "Thank you for calling, goodbye."}, {tool_call: {name: end_call}}]
otherwise: {say: You can book a table or talk to the storyteller.}
"""


@tool
def book_table(context: RunContext[IncomingCall], day: str, people: int) -> str:
    """Book a table at the restaurant.

    Args:
        day: The day of the week.
        people: How many people will come.
    """
    tell(context.context, f"{people} people on {day}, for {context.context.from_.user}")
    return f"A table for {people} is booked on {day} at seven o'clock."


def tell(call: IncomingCall, what: str) -> None:
    print(f"{call.call_id}: {what}", flush=True)


def create_app(calls: Calls, secret: str, office: str) -> WebhookApp:
    """The endpoint for webhooks; `office` is where the storyteller can be reached."""
    ava = RealtimeAgent(
        "Ava",
        instructions="You are Ava. You answer the phone of a restaurant where stories are told. Be brief.",
        tools=[book_table, transfer_call(calls, {"storyteller": office}), end_call(calls)],
    )
    receptionist = Receptionist(calls, model="gpt-realtime", config=CONFIG)

    @receptionist.incoming(from_="anonymous")
    def nameless(call: IncomingCall) -> RejectCall:
        tell(call, "declined")
        return RejectCall(603)

    @receptionist.default
    def anybody(call: IncomingCall) -> RealtimeAgent:
        tell(call, f"{call.from_.user} calls {call.to.user}")
        return ava

    @receptionist.on_session
    def follow(session: RealtimeSession, call: IncomingCall) -> None:
        session.on("user_transcript", lambda event: tell(call, f"caller: {event.text}"))
        session.on("agent_end", lambda event: event.text and tell(call, f"{event.agent.name}: {event.text}"))
        session.on("audio_stopped", lambda event: tell(call, "cut off" if event.interrupted else "heard"))
        session.on(
            "connection_change",
            lambda event: (
                event.status == "disconnected" and tell(call, f"over: {event.reason or event.error}")
            ),
        )

    return webhook_app(receptionist, secret=secret)


async def offline(sip: str, office: str) -> None:
    """Be the service as well: take calls at `sip`, and answer as the script says."""
    secret = "whsec_" + b64encode(secrets.token_bytes(24)).decode()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hook = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        script = ScriptResponder(text=SCRIPT)
        async with (
            EmbeddedServer(sip=sip, webhook=hook, webhook_secret=secret, responder=script) as server,
            Calls(server.api_key, base_url=server.http_url) as calls,
        ):
            print(f"call sip:ava@{server.sip_address}", flush=True)
            web = uvicorn.Server(uvicorn.Config(create_app(calls, secret, office), log_level="warning"))
            # As a task of its own, so that Ctrl-C, which uvicorn raises again at its end, comes before the clean-up and not in it.
            await asyncio.create_task(web.serve(sockets=[listener]))


def main() -> None:
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    office = os.environ.get("OFFICE", "tel:+15550100")
    if len(sys.argv) == 2:
        with suppress(KeyboardInterrupt):
            asyncio.run(offline(sys.argv[1], office))
        return
    calls = Calls(lambda: os.environ["OPENAI_API_KEY"])
    uvicorn.run(create_app(calls, os.environ["OPENAI_WEBHOOK_SECRET"], office), port=8000)


if __name__ == "__main__":
    main()
