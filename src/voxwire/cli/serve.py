"""`voxwire serve`: the embedded server in the foreground."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from ..errors import ConfigError
from ..server.limits import Limits
from ..server.options import ServerOptions
from ..server.serve import EmbeddedServer
from ..server.speech import registry
from .running import INTERRUPTED

__all__ = [
    "ServeOptions",
    "make_options",
    "parse_component",
    "parse_ice_server",
    "parse_limits",
    "parse_ports",
    "parse_sip_user",
    "run",
    "serve_until_stopped",
]

_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What was asked for on the command line; see `voxwire serve --help`."""

    host: str = "127.0.0.1"
    port: int = 8089
    api_keys: Sequence[str] = field(default=(), repr=False)
    script: Path | None = None
    components: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    voice: str = "marin"
    pace: float | None = None
    mcp_servers: Sequence[str] = ()
    cors_origins: Sequence[str] | None = None
    ice_servers: Sequence[str] = field(default=(), repr=False)
    public_address: str | None = None
    udp_ports: str | None = None
    rtc_backend: str | None = None
    sip: str | None = None
    sip_users: Sequence[str] = field(default=(), repr=False)
    sip_digest: Sequence[str] = ("MD5",)
    webhook: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    max_sessions: int | None = None
    limits: Sequence[str] = ()
    log_level: str = "warning"


def run(options: ServeOptions) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Returns:
        0 if it has served and stopped in order, 130 if it was not given the time to.

    Raises:
        VoxwireError: an option cannot be used, or the address is taken.
    """
    _log_to_stderr(options.log_level)
    try:
        asyncio.run(serve_until_stopped(options))
    except asyncio.CancelledError:  # before it served, or a second time
        return INTERRUPTED
    return 0


async def serve_until_stopped(options: ServeOptions) -> None:
    """Serve until this task is cancelled, which SIGINT and SIGTERM do; then return.

    Raises:
        VoxwireError: as `run`.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker: this is a coroutine
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows: Ctrl-C arrives as a cancellation anyway
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
    prepared = make_options(options)
    try:
        async with EmbeddedServer(host=options.host, port=options.port, options=prepared) as server:
            print("\n".join(_greeting(server, options)), flush=True)
            with suppress(asyncio.CancelledError):
                await server.wait_closed()
            task.uncancel()
            print("Stopping.", flush=True)
    finally:
        for made in (prepared.transcriber, prepared.responder, prepared.synthesizer):
            if made is not None and not isinstance(made, str):
                await made.close()


def _greeting(server: EmbeddedServer, options: ServeOptions) -> list[str]:
    keys = len(server.options.api_keys)
    key_hint = (
        f"one of the {keys} keys given"
        if keys > 1
        else "the one given"
        if keys
        else "none needed; any will do"
    )
    speech = ", ".join(f"{kind} {name}" for kind, name in _chosen(options).items())
    lines = [
        "voxwire serves the Realtime API. Ctrl-C stops it.",
        f"  WebSocket  {server.url}?model=gpt-realtime",
        f"  HTTP       {server.http_url}",
        f"  WebRTC     {_calls_hint(server)}",
        f"  Key        {key_hint}",
        f"  Speech     {speech}",
    ]
    if options.sip is not None:
        lines.insert(4, f"  Phone      sip:voxwire@{server.sip_address} (UDP and TCP)")
    if options.mcp_servers:
        lines.append(f"  MCP        {', '.join(options.mcp_servers)}")
    if options.sip is not None and not options.sip_users and not _is_loopback(server.sip_host):
        lines.append("  Warning    everyone who reaches the phone line may call: no --sip-user is set")
    if not keys and not _is_loopback(options.host):
        lines.append(f"  Warning    {options.host} can be reached by others, and no --api-key is set")
    lines.append(f"  Try it     voxwire demo --url {server.url}" + (" --api-key ..." if keys else ""))
    return lines


def _calls_hint(server: EmbeddedServer) -> str:
    if any(find_spec(name) for name in ("aiortc", "wrtc")):
        return f"{server.http_url}/realtime/calls"
    return "not installed; pip install 'voxwire[webrtc]'"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _chosen(options: ServeOptions) -> dict[str, str]:
    chosen = {
        kind: (options.components.get(kind) or "auto").partition(",")[0]
        for kind in ("vad", "transcriber", "responder", "synthesizer")
    }
    if options.script is not None:
        chosen["responder"] = f"script {options.script}"
    return {kind: registry.default(kind).name if name == "auto" else name for kind, name in chosen.items()}


# -- from text to options ---------------------------------------------------------------------


def make_options(options: ServeOptions) -> ServerOptions:
    """The server's options.

    Raises:
        ConfigError: something cannot be used; names the choices.
        MissingExtraError: a component needs a package that is not installed.
    """
    components = dict(options.components)
    if options.script is not None:
        if components.get("responder"):
            raise ConfigError("--script is a responder; give either --script or --responder")
        components["responder"] = None
    made: dict[str, Any] = {}
    for kind, spec in components.items():
        if spec:
            name, settings = parse_component(kind, spec)
            made[kind] = registry.resolve(kind, name, **settings) if settings else _known(kind, name)
    if options.script is not None:
        from ..server.speech.responder_script import ScriptResponder

        made["responder"] = ScriptResponder(options.script)
    limits = parse_limits(options.limits)
    if options.max_sessions is not None:
        limits["sessions"] = options.max_sessions
    return ServerOptions(
        **made,
        api_keys=tuple(options.api_keys),
        limits=Limits(**limits),
        pace=options.pace,
        voice=options.voice,
        mcp_servers=tuple(options.mcp_servers),
        cors_origins=options.cors_origins,
        ice_servers=tuple(parse_ice_server(entry) for entry in options.ice_servers),
        public_address=options.public_address,
        udp_ports=None if options.udp_ports is None else parse_ports(options.udp_ports),
        rtc_backend=options.rtc_backend,
        sip=options.sip,
        sip_users=dict(parse_sip_user(entry) for entry in options.sip_users),
        sip_digest=tuple(options.sip_digest),
        webhook=options.webhook,
        webhook_secret=options.webhook_secret,
    )


def _known(kind: str, name: str) -> str:
    """The name; refused here, where an option can be named, if there is no such component."""
    if name != "auto" and ":" not in name and name not in (known := registry.choices(kind)):
        raise ConfigError(
            f"--{kind} {name!r} is unknown; choose auto, {', '.join(known)}, or module:attribute"
        )
    return name


def parse_component(kind: str, spec: str) -> tuple[str, dict[str, Any]]:
    """`NAME[,option=value...]` as name and options; numbers, true, false and null are read as such.

    Raises:
        ConfigError: an option has no value.
    """
    name, *pairs = spec.split(",")
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"--{kind} {spec!r}: {pair!r} is not option=value")
        settings[key] = _scalar(value)
    return _known(kind, name.strip()), settings


def _scalar(text: str) -> Any:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value if value is None or isinstance(value, (bool, int, float)) else text


def parse_ports(text: str) -> tuple[int, int]:
    """`FIRST-LAST`, or one port.

    Raises:
        ConfigError: these are no ports.
    """
    first, _, last = text.partition("-")
    try:
        return int(first), int(last or first)
    except ValueError:
        raise ConfigError(f"--udp-ports {text!r} must be FIRST-LAST, for example 40000-40100") from None


def parse_ice_server(text: str) -> dict[str, str]:
    """`URL[,username=...,credential=...]` as the mapping that browsers take.

    Raises:
        ConfigError: an option has no value, or is not one of these.
    """
    url, *pairs = text.split(",")
    server = {"urls": url}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if name not in ("username", "credential") or not equals:
            raise ConfigError(f"--ice-server {url}: only username=... and credential=... may follow the URL")
        server[name] = value
    return server


def parse_sip_user(text: str) -> tuple[str, str]:
    """`NAME:PASSWORD`.

    Raises:
        ConfigError: one of them is missing; the password is not said.
    """
    name, _, password = text.partition(":")
    if not name or not password:
        raise ConfigError("--sip-user must be NAME:PASSWORD")
    return name, password


def parse_limits(pairs: Sequence[str]) -> dict[str, Any]:
    """`NAME=NUMBER` for any field of `Limits`.

    Raises:
        ConfigError: no such limit, or no number.
    """
    known = {entry.name for entry in fields(Limits)}
    limits: dict[str, Any] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        if name not in known:
            raise ConfigError(f"--limit {pair!r}: choose one of {', '.join(sorted(known))}")
        number = cast("object", _scalar(value))
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ConfigError(f"--limit {pair!r} must be {name}=NUMBER")
        limits[name] = number
    return limits


def _log_to_stderr(level: str) -> None:
    if level not in _LEVELS:
        raise ConfigError(f"--log-level {level!r} is unknown; choose one of {', '.join(_LEVELS)}")
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
