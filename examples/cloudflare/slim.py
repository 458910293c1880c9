"""Take out of a vendored voxwire what a Worker cannot use: servers, sockets, devices, the command line.

    python slim.py python_modules          # after `uv run pywrangler sync`

Each entry is a pattern for files, or a folder, of the package. What stays are the session, tools, MCP tools hosted by the service,
the transports for Cloudflare and for telephony over a WebSocket, and everything they import.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = (
    "__main__.py",
    "audio/devices*.py",
    "audio/echo*.py",
    "audio/push_to_talk.py",
    "carriers/browser.py",
    "carriers/browser_[!h]*.py",
    "carriers/memory_media.py",
    "carriers/picows.py",
    "carriers/signalling.py",
    "carriers/webrtc.py",
    "carriers/websocket.py",
    "cli",
    "integrations",
    "media/[!g_ls]*.py",
    "media/g711_codec.py",
    "media/libopus.py",
    "media/sending.py",
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
    dropped = {path for entry in LEFT_OUT for path in package.glob(entry)}
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and dropped.isdisjoint((path, *path.parents)):
            yield path


def main(folder: str) -> None:
    package = Path(folder) / "voxwire"
    if not (package / "_version.py").is_file():
        sys.exit(f"{package} is not there; vendor the packages first: uv run pywrangler sync")
    before = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
    for path in [path for entry in LEFT_OUT for path in package.glob(entry)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    after = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
    print(f"voxwire: {before // 1024} KiB before, {after // 1024} KiB now")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["python_modules"])
