"""Tokens, estimated: the same input always counts the same.

The embedded server has no tokeniser of the service's models. Its counts use the figures
the service publishes: one token per 100 ms of user audio, one per 50 ms of assistant audio;
text counts one token per four characters (rounded up), an image 85 (`low`) or 765 tokens.
Nothing is cached here, so `cached_tokens` is always 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .items import ServerItem

__all__ = ["TokenCount", "audio_tokens", "count_items", "text_tokens", "transcription_usage", "usage_to_wire"]


@dataclass(slots=True)
class TokenCount:
    """Tokens by modality."""

    text: int = 0
    audio: int = 0
    image: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.text + self.audio + self.image


def text_tokens(text: str) -> int:
    """Tokens of a text."""
    return -(-len(text) // 4)


def audio_tokens(duration_ms: float, *, assistant: bool) -> int:
    """Tokens of audio, begun units included."""
    return int(-(-duration_ms // (50 if assistant else 100)))


def _count_part(count: TokenCount, part: Mapping[str, Any]) -> None:
    if part.get("type") == "input_image":
        count.image += 85 if part.get("detail") == "low" else 765
    else:
        count.text += text_tokens(part.get("text") or "")


def count_items(items: Iterable[ServerItem], instructions: str = "") -> TokenCount:
    """Tokens of what a response is made from."""
    count = TokenCount(text=text_tokens(instructions))
    for item in items:
        for part in item.content:
            _count_part(count, part)
        for sound in item.audio.values():
            assistant = item.wire.get("role") == "assistant"
            count.audio += audio_tokens(sound.duration_ms, assistant=assistant)
        for name in ("arguments", "output", "name"):
            count.text += text_tokens(item.wire.get(name) or "")
    return count


def usage_to_wire(given: TokenCount, made: TokenCount) -> dict[str, Any]:
    """`response.usage`."""
    return {
        "total_tokens": given.total + made.total,
        "input_tokens": given.total,
        "output_tokens": made.total,
        "input_token_details": {
            "text_tokens": given.text,
            "audio_tokens": given.audio,
            "image_tokens": given.image,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": made.text, "audio_tokens": made.audio},
    }


def transcription_usage(model: str | None, text: str, seconds: float) -> dict[str, Any]:
    """Usage of a transcription: tokens for the gpt-4o family, seconds for the others."""
    if not (model or "").startswith("gpt-4o"):
        return {"type": "duration", "seconds": round(seconds, 3)}
    heard, made = audio_tokens(seconds * 1000, assistant=False), text_tokens(text)
    return {
        "type": "tokens",
        "total_tokens": heard + made,
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": made,
    }
