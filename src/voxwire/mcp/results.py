"""What an MCP server answers, as results of tools and as text for the model. Pure.

Source: Model Context Protocol, `CallToolResult` and its content blocks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from ..errors import Fault, VoxwireError
from ..tools.images import ToolImage

__all__ = ["McpToolError", "error_text", "image_or_text", "result_text", "result_value"]


class McpToolError(VoxwireError):
    """A tool of an MCP server failed, or the server refused the call.

    Attributes:
        code: the JSON-RPC error code, where the protocol itself refused; None for the tool's own failure.
    """

    fault: ClassVar[Fault] = "peer"

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def _content(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = result.get("content")
    blocks = cast("Sequence[object]", given) if isinstance(given, (list, tuple)) else ()
    return [cast("Mapping[str, Any]", block) for block in blocks if isinstance(block, Mapping)]


def error_text(result: Mapping[str, Any]) -> str | None:
    """The words of a result that says it is an error; None for any other."""
    return (result_text(result) or "the tool failed") if result.get("isError") else None


def result_text(result: Mapping[str, Any]) -> str:
    """All of a result as text: pictures and sounds are only mentioned."""
    return "\n".join(_words(result, _content(result)))


def result_value(result: Mapping[str, Any]) -> str | list[str | ToolImage]:
    """A result as a tool returns it: text, or text and pictures in order.

    Raises:
        McpToolError: if it is an error.
    """
    error = error_text(result)
    if error is not None:
        raise McpToolError(error)
    blocks = _content(result)
    if not any(isinstance(image_or_text(block), ToolImage) for block in blocks):
        return "\n".join(_words(result, blocks))
    return [image_or_text(block) for block in blocks]


def _words(result: Mapping[str, Any], blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    if not blocks and result.get("structuredContent") is not None:
        return [json.dumps(result["structuredContent"], ensure_ascii=False)]
    return [_text(block) for block in blocks]


def image_or_text(block: Mapping[str, Any]) -> str | ToolImage:
    """One content block: a picture if it is one we can show, else text."""
    media_type, data = block.get("mimeType"), block.get("data")
    if block.get("type") != "image" or not isinstance(data, str) or not data:
        return _text(block)
    kind = media_type if isinstance(media_type, str) and media_type.startswith("image/") else "image/png"
    return ToolImage(f"data:{kind};base64,{data}")


def _text(block: Mapping[str, Any]) -> str:
    match block.get("type"):
        case "text":
            return str(block.get("text") or "")
        case "image" | "audio" as kind:
            return f"[{kind}: {block.get('mimeType') or 'unknown type'}]"
        case "resource_link":
            return f"{block.get('title') or block.get('name') or 'resource'}: {block.get('uri') or ''}"
        case "resource":
            return _resource(block.get("resource"))
        case _:
            return json.dumps(dict(block), ensure_ascii=False, default=str)


def _resource(given: object) -> str:
    resource = cast("Mapping[str, Any]", given if isinstance(given, Mapping) else {})
    text = resource.get("text")
    if isinstance(text, str):
        return text
    return f"[resource: {resource.get('uri') or 'unnamed'}, {resource.get('mimeType') or 'binary'}]"
