"""The Worker: a door, and a Durable Object for each call.

`js` is imported inside functions: what a module holds on to at import goes into the deployment's snapshot, and a
JavaScript object must not.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import Any
from urllib.parse import urlsplit

from relay import relay_page, relay_phone
from workers import DurableObject, Response, WorkerEntrypoint

from voxwire.carriers.workers import AcceptedWebSocket

TWIML = '<Response><Connect><Stream url="wss://{host}/phone/{token}"/></Connect></Response>'


class Default(WorkerEntrypoint):
    """`POST /twiml/TOKEN` for Twilio, WebSockets on `/phone/TOKEN` and `/page/TOKEN`."""

    async def fetch(self, request: Any) -> Any:
        parts = urlsplit(request.url)
        kind, _, token = parts.path.strip("/").partition("/")
        # Whoever gets in talks at your expense.
        if not hmac.compare_digest(token.encode(), str(self.env.CALL_TOKEN).encode()):
            return Response("There is nothing here.", status=404)
        if kind == "twiml":
            return Response(
                TWIML.format(host=parts.netloc, token=token), headers={"Content-Type": "text/xml"}
            )
        if kind in ("phone", "page") and request.headers.get("Upgrade") == "websocket":
            return await self.env.CALLS.get(self.env.CALLS.newUniqueId()).fetch(request)
        return Response("Connect a WebSocket.", status=426)


class Call(DurableObject):
    """One call: the caller's socket and the one to the Realtime API live and end together in here."""

    async def fetch(self, request: Any) -> Any:
        from js import WebSocketPair

        client, server = WebSocketPair.new().object_values()
        relay = relay_phone if urlsplit(request.url).path.startswith("/phone") else relay_page
        self._socket = AcceptedWebSocket(server)
        # Kept: a task that nobody holds may be collected in mid-call.
        self._call = asyncio.ensure_future(self._run(relay))
        return Response(None, status=101, web_socket=client)

    async def _run(self, relay: Any) -> None:
        try:
            await relay(self._socket, api_key=str(self.env.OPENAI_API_KEY))
        except Exception as error:  # noqa: BLE001 - there is nobody left to raise it to
            print(f"the call ended: {type(error).__name__}: {error}")
        finally:
            await self._socket.close_socket()
