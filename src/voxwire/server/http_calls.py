"""The HTTP endpoints of calls. Source: Realtime API reference, `calls`."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from .auth import Refusal, find_key
from .engine.schema import any_mapping, integer, obj, text
from .service import DEFAULT_MODEL, RealtimeService

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["control_call", "create_call", "read_body", "read_json"]

SDP_TYPE = "application/sdp"
_FORM_TYPE = "multipart/form-data"
_REJECT = obj({"status_code": integer(300, 699)})
_REFER = obj({"target_uri": text(2048, 1)}, required=("target_uri",))
BUSY = 603
"""The SIP status of a rejection that names none (Decline, RFC 3261, 21.6.2)."""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body of a request.

    Raises:
        Refusal: it is too long (413).
    """
    return b"".join([chunk async for chunk in _bounded(request, max_bytes)])


async def read_json(request: Request, max_bytes: int) -> Any:
    """The body of a request as JSON; an empty one is an empty object.

    Raises:
        Refusal: it is too long (413), or no JSON (400).
    """
    return _json(await read_body(request, max_bytes), "body")


def _json(raw: bytes | str, what: str) -> Any:
    try:
        return json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as exc:
        raise Refusal(400, f"The {what} is not valid JSON: {exc}", code="invalid_json") from None


async def _bounded(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise Refusal(
                413,
                f"The body is longer than the {max_bytes} bytes that this server takes.",
                code="request_too_large",
            )
        yield chunk


# -- a new call -------------------------------------------------------------------------------


async def create_call(service: RealtimeService, request: Request) -> Response:
    """`POST /v1/realtime/calls`: an SDP offer, raw or in a form with the session; answers with ours."""
    from starlette.responses import Response

    template = service.keys.check(find_key(request.headers), time.time())
    offer, session = await _read_offer(request, service.limits.call_body_bytes)
    if not offer.strip():
        raise Refusal(400, "There is no SDP offer in the request.", code="missing_sdp", param="sdp")
    model = request.query_params.get("model")
    if not model and template is None and session is None:
        raise Refusal(
            400,
            "You must provide a model parameter, for example "
            f"'?model={DEFAULT_MODEL}', or a session in a form beside the SDP.",
            code="missing_model",
            param="model",
        )
    service.prepare()
    call_id, answer = await service.answer_call(
        offer,
        model or DEFAULT_MODEL,
        template=template,
        overrides=session,
        loopback=_from_this_machine(request),
    )
    location = f"{request.url.path.rstrip('/')}/{call_id}"
    return Response(answer, 201, {"Location": location}, SDP_TYPE)


async def _read_offer(request: Request, max_bytes: int) -> tuple[str, Mapping[str, Any] | None]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == SDP_TYPE:
        return _decoded(await read_body(request, max_bytes)), None
    if kind == _FORM_TYPE:
        return await _read_form(request, max_bytes)
    raise Refusal(
        415,
        f"Unsupported content type {kind or 'none'!r}. Send the SDP offer as '{SDP_TYPE}', or as '{_FORM_TYPE}' "
        "with the fields 'sdp' and 'session'.",
        code="unsupported_content_type",
    )


async def _read_form(request: Request, max_bytes: int) -> tuple[str, Mapping[str, Any] | None]:
    from starlette.formparsers import MultiPartException, MultiPartParser

    # The stream is bounded, so the whole form is, wherever in it the bytes are.
    stream = _bounded(request, max_bytes)
    parser = MultiPartParser(request.headers, stream, max_files=2, max_fields=2, max_part_size=max_bytes)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as exc:  # KeyError: no boundary
        raise Refusal(400, f"The form cannot be read: {exc}", code="invalid_form") from None
    fields: dict[str, str] = {}
    try:
        for name, value in form.multi_items():
            if name not in ("sdp", "session") or name in fields:
                problem = "is there twice" if name in fields else "is unknown; there are 'sdp' and 'session'"
                raise Refusal(
                    400, f"The form field '{name[:64]}' {problem}.", code="invalid_form", param=name[:64]
                )
            fields[name] = value if isinstance(value, str) else _decoded(await value.read())
    finally:
        await form.close()
    session = any_mapping(_json(fields["session"], "session"), "session") if "session" in fields else None
    return fields.get("sdp", ""), session


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Refusal(400, "The SDP offer is not UTF-8.", code="invalid_offer", param="sdp") from None


def _from_this_machine(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:  # a test client, or a Unix socket: no address
        return False


# -- calls there are --------------------------------------------------------------------------


async def control_call(service: RealtimeService, request: Request) -> Response:
    """`DELETE /v1/realtime/calls/{id}`, and `POST` with `/hangup`, `/accept`, `/reject`, `/refer`."""
    from starlette.responses import Response

    service.keys.check(find_key(request.headers), time.time(), api_key_only=True)
    action: str = request.path_params.get("action", "hangup")
    limit = service.limits.call_body_bytes
    body: Any = {} if action == "hangup" else await read_json(request, limit)
    call = service.calls.find(request.path_params["call_id"])
    match action:
        case "hangup":
            call.hang_up()
        case "accept":
            call.accept(any_mapping(body, "session"))
        case "reject":
            call.reject(_REJECT(body, "").get("status_code", BUSY))
        case "refer":
            call.refer(_REFER(body, "")["target_uri"])
        case _:
            raise Refusal(404, f"There is nothing at '.../{action[:64]}'.", code="unknown_url")
    return Response(status_code=200)
