"""What must not be in a log: sound and pictures become their size, keys are hidden, words can be masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from .codec import STANDARD

__all__ = ["HIDDEN", "SECRET_KEYS", "WORD_KEYS", "Redaction", "masked", "restored_audio"]

HIDDEN: Final = "<hidden>"

SECRET_KEYS: Final = frozenset(
    {"api_key", "apikey", "authorization", "client_secret", "headers", "password", "secret", "token"}
)
"""Fields, in any case of letters, whose values are never written."""

WORD_KEYS: Final = frozenset(
    {"arguments", "delta", "full_transcript", "logprobs", "output", "text", "transcript"}
)
"""Fields that hold what somebody said or wrote, or what a tool was told and answered."""

_AUDIO_DELTAS: Final = ("response.output_audio.delta", "response.audio.delta")
_SIZE: Final = re.compile(r"<(\d+) bytes>")
_SHORTENED: Final = re.compile(r"<(\d+ bytes|broken base64, \d+ characters)>")


def masked(text: str) -> str:
    """Words of the same length that say nothing: letters become x, digits 1; the rest stays.

    What stays is what decisions hang on: lengths, the ends of words, and that JSON is JSON.
    """
    return "".join(map(_masked_character, text))


def _masked_character(character: str) -> str:
    if character.isascii():
        return "x" if character.isalpha() else "1" if character.isdigit() else character
    return "\u00d7" if character.isalnum() else character


def restored_audio(event: Mapping[str, Any]) -> dict[str, Any]:
    """An audio delta that was shortened, with silence of the same size; other events as they are."""
    size = _SIZE.fullmatch(str(event.get("delta"))) if event.get("type") in _AUDIO_DELTAS else None
    if size is None:
        return dict(event)
    return {**event, "delta": STANDARD.b64encode(bytes(int(size[1])))}


@dataclass(frozen=True, slots=True)
class Redaction:
    """What to leave out of a log. To apply it twice is to apply it once.

    Attributes:
        transcripts: mask the words of both sides and the arguments and outputs of tools (`masked`), so that a
            log can be passed on. Instructions and tool descriptions stay.
        secret_keys, word_keys: the fields that are hidden or masked.
        secrets: texts that must not be in the log, wherever they come from.
    """

    transcripts: bool = False
    secret_keys: frozenset[str] = SECRET_KEYS
    word_keys: frozenset[str] = WORD_KEYS
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """A wire event, or anything made of JSON, without what must not be seen.

        `audio` anywhere, and `delta` in an audio delta, become `<N bytes>`, N being the size of the audio itself.
        """
        audio_delta = event.get("type") in _AUDIO_DELTAS
        return {key: self._value(key, value, audio_delta=audio_delta) for key, value in event.items()}

    def line(self, entry: Mapping[str, Any]) -> str:
        """One line of a log, as JSON, without the secrets."""
        line = json.dumps(entry, ensure_ascii=False)
        for secret in self.secrets:
            if secret:
                line = line.replace(json.dumps(secret, ensure_ascii=False)[1:-1], HIDDEN)
        return line

    def with_secrets(self, secrets: Iterable[str]) -> Redaction:
        """The same, and these texts are hidden as well."""
        return Redaction(
            self.transcripts, self.secret_keys, self.word_keys, (*self.secrets, *filter(None, secrets))
        )

    def _value(self, key: str, value: Any, *, audio_delta: bool = False) -> Any:
        if value and key.lower() in self.secret_keys:
            return HIDDEN
        if isinstance(value, str):
            return self._text(key, value, audio_delta=audio_delta)
        if isinstance(value, Mapping):
            return {
                name: self._value(str(name), part) for name, part in cast("Mapping[str, Any]", value).items()
            }
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            # The parts of a list of words are words.
            return [self._value(key, part) for part in cast("Sequence[object]", value)]
        return value

    def _text(self, key: str, text: str, *, audio_delta: bool) -> str:
        if key == "audio" or (key == "delta" and audio_delta):
            return _size_of(text)
        if text.startswith("data:"):
            header, _, data = text.partition(",")
            return f"{header},{_size_of(data)}"
        return masked(text) if self.transcripts and key in self.word_keys else text


def _size_of(base64: str) -> str:
    if _SHORTENED.fullmatch(base64):
        return base64
    try:
        return f"<{len(STANDARD.b64decode(base64))} bytes>"
    except ValueError:
        return f"<broken base64, {len(base64)} characters>"
