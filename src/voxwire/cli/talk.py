"""`voxwire talk`: a conversation with an agent, by microphone and loudspeaker."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..agent import RealtimeAgent
from ..audio.base import AudioSource
from ..audio.push_to_talk import PushToTalk
from ..errors import ConfigError, DeviceError, MissingExtraError
from ..protocol.redaction import Redaction
from ..protocol.unset import UNSET
from ..recording.recorder import Recorder
from ..session.session import RealtimeSession
from .demo import poor_speech
from .demo_agents import make_agents
from .dialogue import built_in_prompt
from .paths import check_file, make_folder
from .place import Place, choose_wire, key_for, make_config, open_service, open_transport
from .running import IMPOSSIBLE, run_until_stopped
from .talk_audio import Ends, MeteredSource, device_of, open_sound, ways_out
from .talk_stage import TalkStage

__all__ = ["TalkOptions", "load_agent", "run"]


@dataclass(frozen=True, slots=True)
class TalkOptions:
    """What was asked for on the command line; see `voxwire talk --help`."""

    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    voice: str | None = None
    transport: str | None = None
    agent: str | None = None
    prompt: str | None = None
    input: str | None = None
    output: str | None = None
    audio_in: Path | None = None
    audio_out: Path | None = None
    push_to_talk: bool = False
    echo_cancellation: bool = True
    record: Path | None = None
    plain: bool = False


def run(options: TalkOptions) -> int:
    """Talk until somebody has enough.

    Returns:
        0 after `q` or the end of the file, 1 if the connection ended or nobody answered, 2 without devices,
        130 after Ctrl-C.

    Raises:
        VoxwireError: an option cannot be used, or there is no connection.
    """
    if options.push_to_talk and options.audio_in is not None:
        raise ConfigError(
            "--push-to-talk needs somebody to press a key, and --audio-in speaks by itself; choose one"
        )
    wire = choose_wire(options.transport, options.url)
    place = Place(options.url, key_for(options.url, options.api_key), options.model, wire=wire)
    if options.audio_out is not None:
        check_file("--audio-out", options.audio_out)
    if options.record is not None:
        make_folder("--record", options.record, "recording.wav", "events.jsonl", "report.html")
    ends = Ends(
        device_of(options.input),
        device_of(options.output),
        options.audio_in,
        options.audio_out,
        options.echo_cancellation,
    )
    agent = load_agent(options.agent)
    if options.voice is not None:
        agent = replace(agent, voice=options.voice)
    try:
        return run_until_stopped(_talk(options, place, ends, agent))
    except DeviceError as error:
        return _impossible(error, ends)


def load_agent(name: str | None) -> RealtimeAgent:
    """The agent that is meant; None for those of the demo.

    Args:
        name: `module:attribute`, looked for in the current folder as well; a function without arguments is called.

    Raises:
        ConfigError: it is not there, or no agent.
    """
    if name is None:
        return make_agents()
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ConfigError(f"--agent {name!r} must be module:name, for example my_agents:concierge")
    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"--agent {name!r} cannot be loaded: {error}") from error
    if callable(found) and not isinstance(found, RealtimeAgent):
        found = found()
    if not isinstance(found, RealtimeAgent):
        raise ConfigError(f"--agent {name!r} is {type(found).__name__}, and not a RealtimeAgent")
    return found


def _impossible(error: DeviceError | MissingExtraError, ends: Ends) -> int:
    instead = ["voxwire demo      a conversation that needs no devices"]
    if ends.audio_in is None or ends.audio_out is None:
        instead.insert(0, "voxwire talk --audio-in question.wav --audio-out answer.wav")
    print(ways_out("talk", error, instead), file=sys.stderr)
    return IMPOSSIBLE


async def _talk(options: TalkOptions, place: Place, ends: Ends, agent: RealtimeAgent) -> int:
    notes = [] if not place.embedded else poor_speech()
    stages: list[TalkStage] = []
    try:
        sound = await open_sound(ends, lambda event: stages[0].device_changed(event) if stages else None)
    except MissingExtraError as error:
        return _impossible(error, ends)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(sound.close)
        url, key = await stack.enter_async_context(open_service(place))
        metered = MeteredSource(sound.source)
        push = _behind_key(metered, stages) if options.push_to_talk else None
        transport = open_transport(place, url, key, push or metered, sound.sink)
        prompt = _prompt(options, place)
        config = make_config(place, prompt=prompt, turn_detection=None if push else UNSET)
        session = RealtimeSession(agent, transport=transport, config=config, context={})
        recorder = _recorder(session, options.record, key)
        await stack.enter_async_context(recorder)
        stage = TalkStage(session, recorder, sound, metered, push, plain=options.plain)
        stages.append(stage)
        for note in (*notes, *sound.notes):
            stage.remark(f"note: {note}")
        if place.embedded and prompt:
            stage.remark(f"the embedded server listens for: {' '.join(prompt.split())}")
        stage.remark(f"{sound.about}, over {place.wire}, to {place.address(url)}")
        end = await stage.hold(ends.audio_in)
        await recorder.close()
    for line in (*end.lines, *([f"recorded in {options.record}"] if options.record else ())):
        print(line)
    return end.status


def _behind_key(source: AudioSource, stages: list[TalkStage]) -> PushToTalk:
    def commit() -> Awaitable[None]:
        return stages[0].commit()

    # "nothing" while the key is up: there is nobody at the service who would have to hear a pause.
    return PushToTalk(source, released="nothing", on_commit=commit)


def _prompt(options: TalkOptions, place: Place) -> str:
    """What the transcriber may expect; the embedded one hears little else."""
    if options.prompt is None and place.embedded and options.agent is None:
        return built_in_prompt()
    return options.prompt or ""


def _recorder(session: RealtimeSession, folder: Path | None, key: str | None) -> Recorder:
    wanted = folder is not None
    redaction = Redaction(secrets=(key,) if key else ())
    return Recorder(session, folder or Path(), audio=wanted, log=wanted, report=wanted, redaction=redaction)
