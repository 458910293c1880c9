"""A receptionist on a Twilio number.

    TWILIO_AUTH_TOKEN=... OPENAI_API_KEY=... python app.py https://example.ngrok.app

Twilio's voice webhook for the number is https://example.ngrok.app/incoming (POST). `call.py` tries it
without Twilio, without a key and without a network.
"""

import os
import sys
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from voxwire import RealtimeAgent, RealtimeSession, TwilioRealtimeTransportLayer, tool
from voxwire.calls import twiml, verify_twilio


@tool
async def get_weather(city: str) -> str:
    """Return the weather for a city.

    Args:
        city: The city's name, without the country.
    """
    return f"It is sunny in {city}."


agent = RealtimeAgent(name="Ava", instructions="You are Ava, a receptionist. Be brief.", tools=[get_weather])


def create_app(public_url: str, auth_token: str, config: Any = None, **model: Any) -> Starlette:
    """The two endpoints that Twilio calls; `model` are options of the transport (`url`, `api_key`, ...)."""

    async def incoming(request: Request) -> Response:
        form = parse_qsl((await request.body()).decode(), keep_blank_values=True)
        signature = request.headers.get("x-twilio-signature")
        if not verify_twilio(f"{public_url}/incoming", form, signature, auth_token):
            return Response("not signed by Twilio", status_code=403)
        answer = twiml(f"{public_url}/media", {"caller": dict(form).get("From", "unknown")})
        return Response(answer, media_type="text/xml")

    async def media(websocket: WebSocket) -> None:
        url = "ws" + public_url.removeprefix("http") + "/media"
        if not verify_twilio(url, None, websocket.headers.get("x-twilio-signature"), auth_token):
            await websocket.close(1008)
            return
        await websocket.accept()
        transport = TwilioRealtimeTransportLayer(twilio_websocket=websocket, **model)
        transport.on("dtmf", lambda event: tell(f"pressed {event.digit}"))

        def tell(what: str) -> None:
            print(f"{transport.call_sid}: {what}", flush=True)

        call = await transport.started()
        tell(f"{call.custom_parameters['caller']} calls")
        session = RealtimeSession(agent, transport=transport, config=config)
        session.on("user_transcript", lambda event: tell(f"caller: {event.text}"))
        session.on("agent_end", lambda event: event.text and tell(f"{event.agent.name}: {event.text}"))
        async with session:  # ends with the call, and the call with it
            await session.wait_closed()
        tell("ended")

    return Starlette(routes=[Route("/incoming", incoming, methods=["POST"]), WebSocketRoute("/media", media)])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    app = create_app(sys.argv[1].rstrip("/"), os.environ["TWILIO_AUTH_TOKEN"])
    uvicorn.run(app, port=8080)
