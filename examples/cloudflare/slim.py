"""Take out of a vendored voxwire what a Worker cannot use: servers, sockets, devices, the command line.

    python slim.py python_modules          # after `uv run pywrangler sync`

Each entry is a file or a folder of the package. What stays are the session, tools, MCP tools hosted by the service,
the transports for Cloudflare and for telephony over a WebSocket, and everything they import.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = (
    "__main__.py",
    "audio/devices.py",
    "audio/devices_keeper.py",
    "audio/devices_microphone.py",
    "audio/devices_playback.py",
    "audio/devices_portaudio.py",
    "audio/devices_speaker.py",
    "audio/devices_stream.py",
    "audio/echo.py",
    "audio/echo_duplex.py",
    "audio/push_to_talk.py",
    "carriers/memory_media.py",
    "carriers/picows.py",
    "carriers/signalling.py",
    "carriers/webrtc.py",
    "carriers/websocket.py",
    "cli",
    "integrations",
    "media/codecs.py",
    "media/comfort.py",
    "media/concealment.py",
    "media/delays.py",
    "media/g711_codec.py",
    "media/jitter.py",
    "media/jitter_steps.py",
    "media/libopus.py",
    "media/opus.py",
    "media/opus_packet.py",
    "media/packet_queue.py",
    "media/pitch.py",
    "media/placing.py",
    "media/receiving.py",
    "media/rtcp.py",
    "media/rtcp_stats.py",
    "media/rtp.py",
    "media/sending.py",
    "media/ticker.py",
    "recording",
    "rtc",
    "server",
    "session/telemetry.py",
    "testing",
    "transports/media.py",
    "transports/webrtc.py",
)


def kept(package: Path) -> Iterator[Path]:
    """The files of a voxwire folder that a Worker needs."""
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and not _left_out(name):
            yield path


def _left_out(name: str) -> bool:
    return any(name == entry or name.startswith(f"{entry}/") for entry in LEFT_OUT)


def main(folder: str) -> None:
    package = Path(folder) / "voxwire"
    if not (package / "_version.py").is_file():
        sys.exit(f"{package} is not there; vendor the packages first: uv run pywrangler sync")
    before = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
    for entry in LEFT_OUT:
        path = package / entry
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    after = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
    print(f"voxwire: {before // 1024} KiB before, {after // 1024} KiB now")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["python_modules"])
