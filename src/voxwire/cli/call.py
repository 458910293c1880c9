"""`voxwire call`: a telephone call by SIP from the terminal, and the conversation in words."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..audio.base import AudioSink
from ..audio.devices import DeviceEvent
from ..audio.live_sources import SequenceSource
from ..audio.wav import read_wav
from ..errors import ConfigError, DeviceError, MissingExtraError
from ..server.sip.phone import SipPhone, host_for
from ..server.sip.telephone_event import KEYS, MAX_DIGITS
from ..server.speech import registry
from .call_sound import Ears
from .call_stage import CallStage, Clip, Plan
from .paths import check_file
from .running import IMPOSSIBLE, run_until_stopped
from .serve import parse_component
from .talk_audio import Ends, MeteredSource, Sound, device_of, open_sound, ways_out

__all__ = ["CallOptions", "call", "run"]

SILENT_SECONDS: Final = 30.0
"""After which a line on which nothing comes is given up."""
_TRANSPORT: Final = re.compile(r";transport=([^;?]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What was asked for on the command line; see `voxwire call --help`."""

    uri: str
    audio: Sequence[Path] = ()
    dtmf: str = ""
    record: Path | None = None
    user: str = "caller"
    password: str | None = field(default=None, repr=False)
    codecs: Sequence[str] = ()
    transport: str | None = None
    headers: Sequence[str] = ()
    timeout: float = 60.0
    duration: float | None = None
    pause: float = 1.5
    transcriber: str | None = None
    vad: str | None = None
    prompts: Sequence[str] = ()
    phrases: Path | None = None
    input: str | None = None
    output: str | None = None
    echo_cancellation: bool = True
    plain: bool = False


def run(options: CallOptions) -> int:
    """Call, talk, hang up.

    Returns:
        0 if a conversation was held, 1 if the line broke or an answer did not come, 2 without devices, 130 after Ctrl-C.

    Raises:
        VoxwireError: an option cannot be used, or the call was refused or not answered.
        KeyboardInterrupt: Ctrl-C or SIGTERM, before there was a call.
    """
    return run_until_stopped(call(options))


async def call(options: CallOptions) -> int:
    """As `run`, in an event loop; cancelled, it hangs up and returns."""
    plan = _plan(options)
    phrases = _phrases(options)
    vad, transcriber = _component("vad", options.vad), _component("transcriber", options.transcriber)
    stages: list[CallStage] = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transcriber.close)
        phone = await stack.enter_async_context(await _phone(options, plan.uri))
        try:
            source, sink, about = await _sound(options, stages, stack)
            ears = Ears((vad(), vad()), transcriber, phrases)
            stage = CallStage(plan, phone, ears, MeteredSource(source), sink)
            stages.append(stage)
            for note in (*about, *_poor_ears(options, phrases)):
                stage.remark(note)
            status = await stage.hold()
        except (DeviceError, MissingExtraError) as error:
            instead = f"voxwire call {options.uri} --audio question.wav"
            print(ways_out("call", error, [instead]), file=sys.stderr)
            return IMPOSSIBLE
    if options.record is not None and stage.answered:
        print(f"recorded in {options.record}: you left, they right")
    return status


# -- from options to parts ------------------------------------------------------------------------


def _plan(options: CallOptions) -> Plan:
    unknown = next((key for key in options.dtmf.upper() if key not in KEYS), None)
    if unknown is not None:
        raise ConfigError(f"--dtmf {options.dtmf!r}: a telephone has no key {unknown!r}; it has {KEYS}")
    if len(options.dtmf) > MAX_DIGITS:
        raise ConfigError(f"--dtmf takes at most {MAX_DIGITS} keys, not {len(options.dtmf)}")
    if options.record is not None:
        check_file("--record", options.record)
    return Plan(
        uri=_with_transport(options.uri, options.transport),
        clips=tuple(_clip(path) for path in options.audio),
        keys=options.dtmf,
        headers=tuple(_header(text) for text in options.headers),
        ring_seconds=options.timeout,
        duration=options.duration,
        pause_seconds=options.pause,
        record=options.record,
        plain=options.plain,
    )


def _with_transport(uri: str, wanted: str | None) -> str:
    """The URI that says how it is to be reached."""
    if wanted is None:
        return uri
    if wanted.lower() not in ("udp", "tcp"):
        raise ConfigError(f"--transport {wanted!r} is unknown; choose udp or tcp")
    said = _TRANSPORT.search(uri)
    if said is not None and said[1].lower() != wanted.lower():
        raise ConfigError(f"--transport {wanted} and {uri} contradict each other")
    return uri if said is not None else f"{uri};transport={wanted.lower()}"


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigError(f"--header {text!r} must be NAME: VALUE")
    return name.strip(), value.strip()


def _clip(path: Path) -> Clip:
    """A recording, with the words that stand in a .txt file beside it."""
    try:
        audio = read_wav(path)
    except OSError as error:
        raise ConfigError(f"--audio {path} cannot be read: {error.strerror or error}") from error
    if not audio.pcm:
        raise ConfigError(f"--audio {path} is empty")
    beside = path.with_suffix(".txt")
    words = _read(beside, "the words of --audio") if beside.is_file() else ""
    return Clip(path, audio, " ".join(words.split()) or None)


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path} cannot be read: {error}") from error


def _phrases(options: CallOptions) -> tuple[str, ...]:
    lines = _read(options.phrases, "--phrases").splitlines() if options.phrases is not None else []
    return tuple(line.strip() for line in (*options.prompts, *lines) if line.strip())


def _component(kind: str, spec: str | None) -> Any:
    name, settings = parse_component(kind, spec or "auto")
    return registry.resolve(kind, name, **settings)


async def _phone(options: CallOptions, uri: str) -> SipPhone:
    return SipPhone(
        host=await host_for(uri),
        user=options.user,
        password=options.password,
        codecs=list(options.codecs) or None,
        takes_transfers=True,
        silent_seconds=SILENT_SECONDS,
    )


async def _sound(
    options: CallOptions, stages: list[CallStage], stack: AsyncExitStack
) -> tuple[Any, AudioSink | None, tuple[str, ...]]:
    """What speaks, what the other side is heard with, and what to say of them."""
    if options.audio:
        clip = SequenceSource()
        stack.push_async_callback(clip.close)
        return clip, None, ()
    ends = Ends(
        device_of(options.input), device_of(options.output), echo_cancellation=options.echo_cancellation
    )
    sound: Sound = await open_sound(ends, _device_news(stages))
    stack.push_async_callback(sound.close)
    return sound.source, sound.sink, (sound.about, *sound.notes)


def _device_news(stages: list[CallStage]) -> Callable[[DeviceEvent], None]:
    def tell(event: DeviceEvent) -> None:
        if stages:
            stages[0].device_changed(event)

    return tell


def _poor_ears(options: CallOptions, phrases: Sequence[str]) -> list[str]:
    """What to know of the words that will be shown."""
    if (options.transcriber or "auto") != "auto":
        return []
    name = registry.default("transcriber").name
    if name == "none":
        return ["there will be no words: pip install 'voxwire[server]' for a transcriber that works offline"]
    if name == "pocketsphinx" and not phrases:
        return ["words are guessed by pocketsphinx, better if it knows what may be said: --prompt, --phrases"]
    return []
