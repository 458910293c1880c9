"""Pictures as results of tools."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from ..errors import UserError

__all__ = ["ToolImage", "image_message", "split_images"]

_DETAILS: Final = (None, "auto", "low", "high")


@dataclass(frozen=True, slots=True)
class ToolImage:
    """A picture that a tool returns, alone or in a list with texts and other pictures.

    The Realtime API has only text in a tool's output, so pictures become a message of the
    user just before it, in one go with the output: the model's next response sees both.

    Args:
        source: the bytes of the file, a `data:image/...` URL, or an http(s) address.
        media_type: of bytes.
        detail: how closely the model looks: `auto`, `low` or `high`.

    Raises:
        UserError: if it is none of these.
    """

    source: str | bytes = field(repr=False)
    media_type: str = "image/png"
    detail: Literal["auto", "low", "high"] | None = None

    def __post_init__(self) -> None:
        source = cast("object", self.source)
        if isinstance(source, str) and not source.startswith(("data:image/", "https://", "http://")):
            raise UserError(
                f"an image must be a data:image/... URL or an http(s) address, got {source[:40]!r}"
            )
        if not isinstance(source, (str, bytes)) or not source:
            raise UserError(f"an image must be bytes or a URL, got {type(source).__name__}")
        if not self.media_type.startswith("image/"):
            raise UserError(f"media_type must be image/..., got {self.media_type!r}")
        if self.detail not in _DETAILS:
            raise UserError(f"detail must be 'auto', 'low', 'high' or None, got {self.detail!r}")

    @property
    def url(self) -> str:
        """The address, or the bytes as a data URL."""
        if isinstance(self.source, str):
            return self.source
        return f"data:{self.media_type};base64,{base64.b64encode(self.source).decode()}"

    def to_wire(self) -> dict[str, Any]:
        """The picture as a content part."""
        part = {"type": "input_image", "image_url": self.url}
        return part if self.detail is None else {**part, "detail": self.detail}


def split_images(result: Any) -> tuple[Any, tuple[ToolImage, ...]]:
    """A result without its pictures, and the pictures.

    A list is looked through, but not what is inside its elements. What is left of a result that
    consisted of pictures says how many there were.
    """
    if isinstance(result, ToolImage):
        return _said(1), (result,)
    if not isinstance(result, (list, tuple)):
        return result, ()
    entries = cast("Sequence[Any]", result)
    images = tuple(entry for entry in entries if isinstance(entry, ToolImage))
    if not images:
        return entries, ()
    rest = [entry for entry in entries if not isinstance(entry, ToolImage)]
    if all(isinstance(entry, str) for entry in rest):
        return "\n".join([*rest, _said(len(images))]), images
    return [*rest, _said(len(images))], images


def _said(count: int) -> str:
    return "(an image, in the message before)" if count == 1 else f"({count} images, in the message before)"


def image_message(tool_name: str, images: Sequence[ToolImage]) -> dict[str, Any]:
    """The message that brings the pictures, as `send_message` takes it."""
    words = {"type": "input_text", "text": f"Returned by the tool {tool_name}:"}
    return {"role": "user", "content": [words, *(image.to_wire() for image in images)]}
