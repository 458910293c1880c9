"""The event log: every wire event of both directions, one JSON object per line, without audio and keys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

__all__ = ["EventLog", "shortened"]

Direction = Literal["sent", "received"]

_AUDIO = {"audio", "delta"}
_SECRET = {"api_key", "apikey", "authorization", "client_secret", "headers", "password", "token"}
_DELTAS = ("response.output_audio.delta", "response.audio.delta")


def shortened(event: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without payloads: base64 audio and pictures as their size, values that may be secret as `<hidden>`.

    `audio` anywhere, and `delta` in an audio delta, become `<N bytes>`, N being the size of the audio itself.
    """
    audio_delta = event.get("type") in _DELTAS
    return {key: _short(key, value, audio_delta=audio_delta) for key, value in event.items()}


def _short(key: str, value: Any, *, audio_delta: bool = False) -> Any:
    if key.lower() in _SECRET and value:
        return "<hidden>"
    if isinstance(value, str):
        if key == "audio" or (key == "delta" and audio_delta):
            return f"<{_decoded_size(value)} bytes>"
        if value.startswith("data:"):
            header, _, data = value.partition(",")
            return f"{header},<{_decoded_size(data)} bytes>"
        return value
    if isinstance(value, Mapping):
        return {name: _short(name, part) for name, part in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_short("", part) for part in cast("list[object]", value)]
    return value


def _decoded_size(base64: str) -> int:
    return len(base64) * 3 // 4 - base64[-2:].count("=")


class EventLog:
    """Writes events as they happen, so that the log of a crash is complete.

    Each line: `t_ms` (ms since the recording began), `direction`, `type`, `event`.

    Args:
        path: replaced if it exists.
        secrets: texts that must not be in the file, wherever they come from.

    Raises:
        OSError: if the file cannot be written; also from `write`.
    """

    def __init__(self, path: Path, secrets: Iterable[str] = ()) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._secrets = [json.dumps(secret)[1:-1] for secret in secrets if secret]
        self.counts: dict[Direction, int] = {"sent": 0, "received": 0}

    def write(self, direction: Direction, event: Mapping[str, Any], t_ms: float) -> None:
        """Append one event."""
        line = json.dumps(
            {
                "t_ms": round(t_ms, 1),
                "direction": direction,
                "type": event.get("type"),
                "event": shortened(event),
            }
        )
        for secret in self._secrets:
            line = line.replace(secret, "<hidden>")
        self._file.write(line + "\n")
        self.counts[direction] += 1

    def close(self) -> None:
        """Finish the file; idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
