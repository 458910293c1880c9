"""The options of `voxwire call`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["call"]


def call(
    *,
    uri: Annotated[str, typer.Argument(help="Whom: sip:NAME@HOST[:PORT].", metavar="SIP-URI")],
    audio: Annotated[
        list[Path] | None,
        typer.Option(
            help="Say what is in this WAV file, in place of the microphone; its words may stand in a .txt file "
            "beside it. Repeatable: each one when the other side has finished.",
            metavar="FILE",
        ),
    ] = None,
    dtmf: Annotated[
        str, typer.Option(help="Keys to press when the call is answered: 0-9 * # A-D.", metavar="KEYS")
    ] = "",
    record: Annotated[
        Path | None, typer.Option(help="Record both sides: you left, they right.", metavar="FILE.wav")
    ] = None,
    user: Annotated[str, typer.Option(help="Your name on the line.", metavar="NAME")] = "caller",
    password: Annotated[
        str | None,
        typer.Option(
            help="For lines that ask for one, with --user. Environment: VOXWIRE_SIP_PASSWORD.",
            envvar="VOXWIRE_SIP_PASSWORD",
            show_envvar=False,
            metavar="TEXT",
        ),
    ] = None,
    codec: Annotated[
        list[str] | None,
        typer.Option(
            help="opus, PCMU or PCMA. Repeatable, the best one first. Default: all there are.", metavar="NAME"
        ),
    ] = None,
    transport: Annotated[
        str | None, typer.Option(help="udp (default) or tcp, unless the URI says.", metavar="NAME")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="A further header of the call, for example 'X-Team: sales'. Repeatable."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for the other side to answer.")] = 60.0,
    duration: Annotated[
        float | None, typer.Option(min=0.1, help="Hang up after this many seconds.", metavar="SECONDS")
    ] = None,
    pause: Annotated[
        float,
        typer.Option(min=0.1, help="Silence, in seconds, after which the other side has finished."),
    ] = 1.5,
    transcriber: Annotated[
        str | None,
        typer.Option(help="Speech to text, as of `voxwire serve`: NAME[,option=value...].", metavar="NAME"),
    ] = None,
    vad: Annotated[
        str | None, typer.Option(help="Voice activity detection: NAME[,option=value...].", metavar="NAME")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="What either side may say; helps the transcriber. Repeatable.", metavar="TEXT"),
    ] = None,
    phrases: Annotated[
        Path | None, typer.Option(help="The same from a file, a phrase in each line.", metavar="FILE")
    ] = None,
    input: Annotated[
        str | None, typer.Option(help="Microphone: a name, a part of one, or an index.", metavar="DEVICE")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Loudspeaker, likewise.", metavar="DEVICE")] = None,
    echo_cancellation: Annotated[
        bool, typer.Option(help="Keep the loudspeaker out of the microphone.")
    ] = True,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live view.")] = False,
) -> None:
    """Call a telephone by SIP, and read along.

    For example the line of `voxwire serve --sip 127.0.0.1:5060`:
    voxwire call sip:agent@127.0.0.1 --audio question.wav

    Without --audio you talk, by microphone and loudspeaker. While you do, 0-9 * and # press keys, h holds, m mutes,
    q hangs up; Ctrl-C hangs up as well. Status 1: nobody took the call, or it broke off.
    """
    from .call import CallOptions, run

    options = CallOptions(
        uri=uri,
        audio=tuple(audio or ()),
        dtmf=dtmf,
        record=record,
        user=user,
        password=password,
        codecs=tuple(codec or ()),
        transport=transport,
        headers=tuple(header or ()),
        timeout=timeout,
        duration=duration,
        pause=pause,
        transcriber=transcriber,
        vad=vad,
        prompts=tuple(prompt or ()),
        phrases=phrases,
        input=input,
        output=output,
        echo_cancellation=echo_cancellation,
        plain=plain,
    )
    raise typer.Exit(run(options))
