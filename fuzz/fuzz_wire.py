"""Throw text at everything that reads wire events; only the documented errors may come back.

    python fuzz/fuzz_wire.py --seconds 60
    python fuzz/fuzz_wire.py --atheris corpus/        # coverage-guided, where atheris is installed

Messages are valid ones, mutated, and plain noise; the run is repeatable with `--seed`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from voxwire.errors import ConfigError, WireError
from voxwire.protocol.config import SessionConfig, changed_only, input_format, merge_wire, output_format
from voxwire.protocol.events import RawEvent, parse_client_event, parse_server_event
from voxwire.protocol.wire import decode, decode_audio, encode

SEEDS = [
    {
        "type": "response.output_audio.delta",
        "event_id": "e",
        "response_id": "r",
        "item_id": "i",
        "delta": "AAAA",
    },
    {
        "type": "conversation.item.added",
        "item": {"id": "i", "type": "message", "role": "user", "content": []},
    },
    {"type": "input_audio_buffer.speech_started", "item_id": "i", "audio_start_ms": 1.0},
    {"type": "error", "error": {"message": "no", "event_id": None}},
    {"type": "rate_limits.updated", "rate_limits": [{"name": "tokens", "remaining": 1e9}]},
    {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 120},
    {
        "type": "session.update",
        "session": {
            "voice": "marin",
            "modalities": ["text", "audio"],
            "turnDetection": {"type": "server_vad", "threshold": 0.5, "silenceDurationMs": 0},
            "audio": {"input": {"format": "pcm16", "transcription": None}, "output": {"speed": 1.25}},
            "tools": [
                {"type": "mcp", "server_label": "s", "require_approval": {"never": {"tool_names": ["a"]}}}
            ],
            "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
            "tracing": "auto",
        },
    },
]
PIECES = [
    b"null",
    b"NaN",
    b"1e999",
    b"-1",
    b"[" * 60,
    b"{}",
    b'"\\ud800"',
    b"\xff",
    b"9" * 4400,
    b'"auto"',
    b"true",
    b"[]",
]


def check(message: bytes) -> bool:
    """Read one message in every way; True if it was a wire event."""
    try:
        event = decode(message, 1_000_000)
    except WireError:
        return False
    assert decode(encode(event)) == event
    for parse in (parse_server_event, parse_client_event):
        typed = parse(event)
        again = parse(typed.to_wire())
        assert again == typed or isinstance(typed, RawEvent), typed
    for value in event.values():
        if isinstance(value, str):
            with contextlib.suppress(WireError):
                decode_audio(value)
    session = event.get("session")
    if isinstance(session, dict):
        check_session(session)
    return True


def check_session(session: dict) -> None:
    input_format(session)
    output_format(session)
    try:
        config = SessionConfig.from_dict(session)
    except ConfigError:
        return
    sent = config.to_wire()
    assert SessionConfig.from_dict(sent) == config
    wanted = merge_wire(SEEDS[-1]["session"], sent)
    assert merge_wire(sent, changed_only(sent, wanted)) == merge_wire(sent, wanted)


def mutate(rng: random.Random) -> bytes:
    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(200))
    data = bytearray(json.dumps(rng.choice(SEEDS)).encode())
    for _ in range(rng.randrange(4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.randrange(12))
        choice = rng.randrange(4)
        if choice == 0:
            # A whole value for another, so that what comes out is often still JSON.
            colon = data.find(b": ", start)
            stop = min((at for at in (data.find(c, colon) for c in (b",", b"}")) if at > 0), default=end)
            if colon > 0:
                data[colon + 2 : stop] = rng.choice(PIECES)
        elif choice == 1:
            del data[start:end]
        elif choice == 2:
            data[start:start] = rng.choice(PIECES)
        else:
            data[start:end] = rng.randbytes(end - start)
    return bytes(data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", nargs="?", const="", metavar="CORPUS")
    options = parser.parse_args()
    if options.atheris is not None:
        import atheris

        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *filter(None, [options.atheris])], check)
        atheris.Fuzz()
        return 0
    rng = random.Random(options.seed)
    total = taken = 0
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        message = mutate(rng)
        try:
            taken += check(message)
        except BaseException:
            print(f"seed {options.seed}, message {total}: {message!r}", file=sys.stderr)
            raise
        total += 1
    print(f"{total} messages, {taken} of them wire events")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
