"""Answers by an OpenAI-compatible chat model (Ollama, vLLM, llama.cpp, OpenAI), streamed over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from ...errors import ConnectError, ProviderError
from .base import Failure, Incomplete, ResponsePart, ResponseRequest, TextPart, ToolCallPart
from .chat_messages import chat_body
from .http_api import HttpApi
from .shapes import as_list, as_mapping

if TYPE_CHECKING:
    import httpx

__all__ = ["OpenAIResponder"]

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_MAX_LINE = 1 << 20
_MAX_CALLS = 128


class OpenAIResponder:
    """Sends the conversation to `POST /chat/completions` and passes on what comes back as it comes.

    Whatever goes wrong ends the response as a `Failure`; it never ends the session.

    Args:
        base_url, api_key, timeout: see `HttpApi`.
        model: the model's name on that server; the session's own model name is not used.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        self._api = HttpApi(base_url, api_key, timeout)
        self._model = model

    async def respond(self, request: ResponseRequest, /) -> AsyncIterator[ResponsePart]:
        """See `Responder.respond`."""
        import httpx

        body = chat_body(self._model, request)
        try:
            async with self._api.client.stream(
                "POST", self._api.url("chat/completions"), json=body
            ) as response:
                await self._api.check(response)
                async for part in _parts(response):
                    yield part
        except httpx.HTTPError as error:
            yield _failure(self._api.network_error(error))
        except (ProviderError, ConnectError) as error:
            yield _failure(error)

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._api.close()


def _failure(error: ProviderError | ConnectError) -> Failure:
    code = error.code if isinstance(error, ProviderError) else None
    return Failure(str(error), str(code or "server_error"))


async def _parts(response: httpx.Response) -> AsyncIterator[ResponsePart]:
    calls: dict[int, dict[str, str]] = {}
    reason: str | None = None
    async for event in _events(response):
        if event.get("error"):
            raise _stream_error(event["error"])
        choice = as_mapping(next(iter(as_list(event.get("choices"))), None))
        delta = as_mapping(choice.get("delta"))
        if delta.get("content"):
            yield TextPart(str(delta["content"]))
        for call in as_list(delta.get("tool_calls")):
            _collect(calls, as_mapping(call))
        reason = choice.get("finish_reason") or reason
    if reason is None and not calls:
        raise ProviderError("The model's answer broke off before its end.", retryable=True)
    if reason in _REASONS:
        # Its last call may be cut in the middle of its arguments.
        yield Incomplete(_REASONS[reason])
        return
    for index in sorted(calls):
        yield ToolCallPart(calls[index]["name"], calls[index]["arguments"] or "{}")


def _collect(calls: dict[int, dict[str, str]], delta: Mapping[str, Any]) -> None:
    index = int(delta.get("index") or 0)
    if index not in calls and len(calls) >= _MAX_CALLS:
        raise ProviderError(f"The model made more than {_MAX_CALLS} tool calls in one response.")
    call = calls.setdefault(index, {"name": "", "arguments": ""})
    function = as_mapping(delta.get("function"))
    call["name"] += function.get("name") or ""
    call["arguments"] += function.get("arguments") or ""


def _stream_error(error: Any) -> ProviderError:
    known = as_mapping(error)
    code = known.get("code")
    return ProviderError(str(known.get("message") or error), code=None if code is None else str(code))


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a server-sent event stream (WHATWG HTML, section 9.2)."""
    data: list[str] = []
    async for line in response.aiter_lines():
        if len(line) > _MAX_LINE:
            raise ProviderError(f"The model sent a line of more than {_MAX_LINE} characters.")
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            text, data = "\n".join(data), []
            if text.strip() == "[DONE]":
                return
            yield _object(text)
    if data and "".join(data).strip() != "[DONE]":
        yield _object("\n".join(data))


def _object(text: str) -> dict[str, Any]:
    try:
        event = json.loads(text)
    except ValueError as error:
        raise ProviderError(f"The model sent something that is not JSON: {text[:200]!r}") from error
    if not isinstance(event, dict):
        raise ProviderError(f"The model sent {text[:200]!r} instead of an object.")
    return cast("dict[str, Any]", event)
