"""Commands and their options; what they do is imported when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from .app_call import call

__all__ = ["app"]

app = typer.Typer(
    name="voxwire",
    help="Realtime voice agents: a demo, a conversation, a call, a server, and a look at this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from .._version import __version__

        print(f"voxwire {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See `app`."""


_Texts: TypeAlias = list[str] | None
_Paths: TypeAlias = list[Path] | None
_Transport: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="webrtc or websocket. Default: webrtc where it is installed, unless the URL says ws(s)://.",
        metavar="NAME",
    ),
]


@app.command()
def demo(
    *,
    audio: Annotated[
        _Paths,
        typer.Option(help="Ask what this WAV file says, instead of the built-in dialogue. Repeatable."),
    ] = None,
    text: Annotated[_Texts, typer.Option(help="Type this question instead. Repeatable.")] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Talk to this server instead of the embedded one: ws(s):// or http(s)://."),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="Its key. Alone, it means OpenAI. Environment: VOXWIRE_DEMO_API_KEY.",
            envvar="VOXWIRE_DEMO_API_KEY",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Its model.")] = None,
    transport: _Transport = None,
    out: Annotated[Path, typer.Option(help="Folder for recording, log and report.")] = Path("demo-out"),
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live view.")] = False,
    max_seconds: Annotated[float, typer.Option(min=1, help="Give up after this long.")] = 180.0,
) -> None:
    """Hold a spoken conversation, in real time, and report on it.

    Without options it needs no key, no network and no sound device: recorded questions are asked of the
    embedded server. Two agents, two tools, a handoff, and an interruption. The exit status says whether
    each of these happened.
    """
    from .demo import DemoOptions, run

    options = DemoOptions(
        audio=tuple(audio or ()),
        text=tuple(text or ()),
        url=url,
        api_key=api_key,
        model=model,
        transport=transport,
        out=out,
        plain=plain,
        max_seconds=max_seconds,
    )
    raise typer.Exit(run(options))


@app.command()
def talk(
    *,
    url: Annotated[
        str | None,
        typer.Option(help="Talk to this server instead of the embedded one: http(s):// or ws(s)://."),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="Its key. Alone, it means OpenAI. Environment: VOXWIRE_TALK_API_KEY.",
            envvar="VOXWIRE_TALK_API_KEY",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Its model.")] = None,
    voice: Annotated[str | None, typer.Option(help="The first agent's voice.")] = None,
    transport: _Transport = None,
    agent: Annotated[
        str | None,
        typer.Option(help="A RealtimeAgent, or a function that makes one.", metavar="MODULE:NAME"),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="What you are going to say, roughly; helps the transcriber.", metavar="TEXT"),
    ] = None,
    input: Annotated[
        str | None, typer.Option(help="Microphone: a name, a part of one, or an index.", metavar="DEVICE")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Loudspeaker, likewise.", metavar="DEVICE")] = None,
    audio_in: Annotated[
        Path | None,
        typer.Option(help="Say what is in this WAV file, in place of the microphone.", metavar="FILE"),
    ] = None,
    audio_out: Annotated[
        Path | None,
        typer.Option(help="Speak into this WAV file, in place of the loudspeaker.", metavar="FILE"),
    ] = None,
    push_to_talk: Annotated[
        bool, typer.Option("--push-to-talk", help="The space bar begins and ends a turn.")
    ] = False,
    echo_cancellation: Annotated[
        bool, typer.Option(help="Keep the loudspeaker out of the microphone.")
    ] = True,
    record: Annotated[
        Path | None, typer.Option(help="Record into this folder: both voices, log, report.", metavar="FOLDER")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live view.")] = False,
) -> None:
    """Talk with an agent, by microphone and loudspeaker.

    Without options the two agents of the demo answer, from the embedded server. Keys: m mutes, space or i
    interrupts, q quits.
    """
    from .talk import TalkOptions, run

    options = TalkOptions(
        url=url,
        api_key=api_key,
        model=model,
        voice=voice,
        transport=transport,
        agent=agent,
        prompt=prompt,
        input=input,
        output=output,
        audio_in=audio_in,
        audio_out=audio_out,
        push_to_talk=push_to_talk,
        echo_cancellation=echo_cancellation,
        record=record,
        plain=plain,
    )
    raise typer.Exit(run(options))


app.command()(call)


@app.command()
def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8089,
    api_key: Annotated[
        _Texts,
        typer.Option(
            help="A key that opens sessions; without one, everyone who reaches the port may. Repeatable.",
            envvar="VOXWIRE_API_KEYS",
        ),
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="Answer as this YAML file says.", metavar="FILE")
    ] = None,
    responder: Annotated[
        str | None, typer.Option(help="Who decides what to say: NAME[,option=value...].", metavar="NAME")
    ] = None,
    transcriber: Annotated[
        str | None, typer.Option(help="Speech to text: NAME[,option=value...].", metavar="NAME")
    ] = None,
    synthesizer: Annotated[
        str | None, typer.Option(help="Text to speech: NAME[,option=value...].", metavar="NAME")
    ] = None,
    vad: Annotated[
        str | None, typer.Option(help="Voice activity detection: NAME[,option=value...].", metavar="NAME")
    ] = None,
    voice: Annotated[str, typer.Option(help="The voice of sessions that name none.")] = "marin",
    pace: Annotated[
        float | None,
        typer.Option(
            help="How fast audio is sent, 1 is real time. Default: as fast as it is made.", metavar="X"
        ),
    ] = None,
    mcp_allow: Annotated[
        _Texts,
        typer.Option(
            help="An MCP server that sessions may name as a hosted tool. Repeatable.", metavar="URL"
        ),
    ] = None,
    cors_origin: Annotated[
        _Texts,
        typer.Option(
            help="A web page's origin that may open calls, or '*'. Repeatable. Default: pages of this machine.",
            metavar="ORIGIN",
        ),
    ] = None,
    ice_server: Annotated[
        _Texts,
        typer.Option(
            help="A STUN or TURN server for calls: URL[,username=...,credential=...]. Repeatable.",
            metavar="URL",
            envvar="VOXWIRE_ICE_SERVERS",
        ),
    ] = None,
    public_address: Annotated[
        str | None,
        typer.Option(help="Offer callers this IP address in place of the local one (NAT).", metavar="IP"),
    ] = None,
    udp_ports: Annotated[
        str | None, typer.Option(help="Local UDP ports for calls, or one.", metavar="FIRST-LAST")
    ] = None,
    rtc_backend: Annotated[
        str | None, typer.Option(help="Peer connections by aiortc or wrtc.", metavar="NAME")
    ] = None,
    sip: Annotated[
        str | None,
        typer.Option(help="Take phone calls by SIP at this address, UDP and TCP.", metavar="IP:PORT"),
    ] = None,
    sip_user: Annotated[
        _Texts,
        typer.Option(
            help="Who may call by SIP; without one, everyone who reaches the port may. Repeatable.",
            metavar="NAME:PASSWORD",
            envvar="VOXWIRE_SIP_USERS",
        ),
    ] = None,
    sip_digest: Annotated[
        _Texts,
        typer.Option(help="Ask for passwords by MD5 (default) or SHA-256. Repeatable.", metavar="NAME"),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            help="Tell this address of incoming calls by SIP, and wait for it to accept them.", metavar="URL"
        ),
    ] = None,
    webhook_secret: Annotated[
        str | None,
        typer.Option(help="Signs what it is told: whsec_...", envvar="VOXWIRE_WEBHOOK_SECRET"),
    ] = None,
    max_sessions: Annotated[int | None, typer.Option(help="Sessions open at a time.")] = None,
    limit: Annotated[
        _Texts, typer.Option(help="Any other limit, NAME=NUMBER. Repeatable.", metavar="NAME=NUMBER")
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "warning",
) -> None:
    """Run a Realtime server on this machine, without a key or a network.

    Any client of the Realtime API can use it. NAME is one of those that `voxwire doctor` lists, or
    `module:attribute`; for example: --responder openai,model=llama3.2,base_url=http://127.0.0.1:11434/v1
    """
    from .serve import ServeOptions, run

    options = ServeOptions(
        host=host,
        port=port,
        api_keys=tuple(key for entry in api_key or () for key in entry.split()),
        script=script,
        components={
            "responder": responder,
            "transcriber": transcriber,
            "synthesizer": synthesizer,
            "vad": vad,
        },
        voice=voice,
        pace=pace,
        mcp_servers=tuple(mcp_allow or ()),
        cors_origins=tuple(cors_origin) if cors_origin else None,
        ice_servers=tuple(ice_server or ()),
        public_address=public_address,
        udp_ports=udp_ports,
        rtc_backend=rtc_backend,
        sip=sip,
        sip_users=tuple(sip_user or ()),
        sip_digest=tuple(sip_digest or ("MD5",)),
        webhook=webhook,
        webhook_secret=webhook_secret,
        max_sessions=max_sessions,
        limits=tuple(limit or ()),
        log_level=log_level,
    )
    raise typer.Exit(run(options))


@app.command()
def replay(
    log: Annotated[Path, typer.Argument(help="A log of a recorder: events.jsonl.", metavar="LOG.JSONL")],
    show: Annotated[int, typer.Option(min=0, help="How many differences to print.")] = 10,
) -> None:
    """Feed a recorded log through the engine again; status 1 if it decides otherwise than it did.

    Needs no server and no network. A log that is replayed with another version of voxwire shows what that
    version changed.
    """
    from .replay import run

    raise typer.Exit(run(log, show=show))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what works on this machine and what is missing; status 1 if the demo cannot run."""
    from .doctor import run

    raise typer.Exit(run(as_json=as_json))
