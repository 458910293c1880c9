"""A realtime conversation as the body of a chat completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import ResponseRequest
from .conversation import content_parts, item_text
from .shapes import as_list, as_mapping

__all__ = ["chat_body"]


def chat_body(model: str, request: ResponseRequest) -> dict[str, Any]:
    """The JSON body for `POST /chat/completions`, streamed."""
    body: dict[str, Any] = {"model": model, "stream": True, "messages": _messages(request)}
    tools = [tool for tool in request.tools if tool.get("type", "function") == "function"]
    if tools:
        keys = ("name", "description", "parameters")
        functions = [{key: tool[key] for key in keys if tool.get(key) is not None} for tool in tools]
        body["tools"] = [{"type": "function", "function": function} for function in functions]
        body["tool_choice"] = _tool_choice(request.tool_choice)
    limit = request.options.get("max_output_tokens")
    if isinstance(limit, int):
        body["max_tokens"] = limit
    temperature = request.options.get("temperature")
    if isinstance(temperature, int | float):
        body["temperature"] = temperature
    return body


def _messages(request: ResponseRequest) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if request.instructions:
        messages.append({"role": "system", "content": request.instructions})
    answered = {item.get("call_id") for item in request.items if item.get("type") == "function_call_output"}
    for item in request.items:
        kind = item.get("type", "message")
        if kind == "message":
            messages.append(_message(item))
        elif kind == "function_call" and item.get("call_id") in answered:
            # A chat model refuses calls without an answer; those still running are left out.
            _add_call(messages, item)
        elif kind == "function_call_output":
            content = str(item.get("output", ""))
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
        elif kind == "mcp_call" and (item.get("output") or item.get("error")):
            _add_call(messages, {**item, "call_id": item.get("id")})
            content = str(item.get("output") or as_mapping(item.get("error")).get("message", "failed"))
            messages.append({"role": "tool", "tool_call_id": item.get("id"), "content": content})
    return _calls_before_outputs(messages)


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    role, text = item.get("role", "user"), item_text(item)
    images = [
        part["image_url"]
        for part in content_parts(item)
        if part.get("type") == "input_image" and part.get("image_url")
    ]
    if not images:
        return {"role": role, "content": text}
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    content += [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return {"role": role, "content": content}


def _add_call(messages: list[dict[str, Any]], item: Mapping[str, Any]) -> None:
    call = {
        "id": item.get("call_id"),
        "type": "function",
        "function": {"name": item.get("name", ""), "arguments": item.get("arguments") or "{}"},
    }
    if messages and messages[-1].get("tool_calls"):
        messages[-1]["tool_calls"].append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _calls_before_outputs(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outputs directly behind the calls they answer, as chat models demand it."""
    outputs = {m["tool_call_id"]: m for m in messages if m["role"] == "tool"}
    ordered: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "tool":
            continue
        ordered.append(message)
        ordered.extend(outputs[call["id"]] for call in as_list(message.get("tool_calls")))
    return ordered


def _tool_choice(choice: Any) -> Any:
    if wanted := as_mapping(choice):
        name = wanted.get("name") or as_mapping(wanted.get("function")).get("name")
        return {"type": "function", "function": {"name": name}} if name else "auto"
    return choice if choice in {"auto", "none", "required"} else "auto"
