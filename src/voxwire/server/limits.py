"""What one server, and one session of it, may take."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..errors import ConfigError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds; every one is enforced and has its own error.

    Attributes:
        message_bytes: one client event, as UTF-8. Longer ones are answered with the error
            `message_too_large`; beyond twice this size `EmbeddedServer` closes with 1009.
        buffered_audio_ms: audio in the input buffer (`input_audio_buffer_full`).
        retained_audio_ms: audio kept with the items of a session, both sides together; the
            oldest is forgotten first and `conversation.item.retrieve` then has none.
        items: items of one conversation (`conversation_full`).
        responses: responses running at the same time in one session, out-of-band ones
            included (`too_many_responses`).
        sessions: open sessions of the server, calls among them (HTTP 429, `too_many_sessions`).
        calls: calls of the server (HTTP 429, `too_many_calls`); each costs CPU for its audio.
        sidebands: clients of a call besides its caller (HTTP 429, `too_many_sidebands`).
        call_body_bytes: SDP offer and session of a new call together (HTTP 413).
        call_connect_seconds: time from the answer until the caller is connected.
        ring_seconds: time in which an incoming call by SIP must be accepted (480).
        media_silent_seconds: time without any audio from the caller of a call by SIP; then it ends.
        sip_message_bytes: one SIP message.
        sip_dialogs: calls by SIP, those that ring or end among them (503).
        sip_invites_per_second: of one source (503).
        sip_connections: over TCP; one more is closed.
        playout_ms: audio that a response may be ahead of what a call has played.
        session_seconds: length of a session (`session_expired`, close code 1001).
        idle_seconds: time without any client event (`session_idle`, close code 1001).
        send_seconds: time in which a client must take what it is sent; a slower one is dropped.
        outgoing_bytes: text waiting for a slow client; responses pause beyond it.
        client_secrets: unexpired client secrets of the server (HTTP 429, `too_many_client_secrets`).
        responses_per_minute, tokens_per_minute: the rate limits that `rate_limits.updated` tells of;
            a response beyond them fails with `rate_limit_exceeded`.
        mcp_servers: hosted MCP servers that a session may name (`too_many_mcp_servers`).
        mcp_tools: tools that one of them may have (`mcp_list_tools_failed`).
        mcp_calls: MCP calls under way at the same time in one session; more fail.
        mcp_list_seconds, mcp_call_seconds: time for connecting and listing, and for one call.
        mcp_output_characters: of one result; the rest is cut off, and the model is told.
        transcription_seconds: time the transcriber may take after the end of an utterance.
        synthesis_seconds: time the synthesiser may take for one piece of audio.
    """

    message_bytes: int = 16 * 1024 * 1024
    buffered_audio_ms: int = 15 * 60 * 1000
    retained_audio_ms: int = 10 * 60 * 1000
    items: int = 2000
    responses: int = 8
    sessions: int = 1000
    calls: int = 40
    sidebands: int = 8
    call_body_bytes: int = 256 * 1024
    call_connect_seconds: float = 30
    ring_seconds: float = 60
    media_silent_seconds: float = 120
    sip_message_bytes: int = 65_535
    sip_dialogs: int = 200
    sip_invites_per_second: float = 20
    sip_connections: int = 100
    playout_ms: float = 30_000
    session_seconds: float = 60 * 60
    idle_seconds: float = 30 * 60
    send_seconds: float = 60
    outgoing_bytes: int = 1024 * 1024
    client_secrets: int = 10_000
    responses_per_minute: int = 1000
    tokens_per_minute: int = 4_000_000
    mcp_servers: int = 16
    mcp_tools: int = 512
    mcp_calls: int = 16
    mcp_list_seconds: float = 15
    mcp_call_seconds: float = 60
    mcp_output_characters: int = 100_000
    transcription_seconds: float = 30
    synthesis_seconds: float = 60

    def __post_init__(self) -> None:
        for field in fields(self):
            value: object = getattr(self, field.name)
            whole = field.type == "int"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number"
                raise ConfigError(f"limit {field.name} must be {kind}, not {value!r}")
            if not math.isfinite(value) or value <= 0:
                raise ConfigError(f"limit {field.name} must be positive and finite, not {value!r}")
