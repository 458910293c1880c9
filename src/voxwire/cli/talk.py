"""`voxwire talk`: a conversation with an agent, by microphone and loudspeaker."""

from __future__ import annotations

import asyncio
import importlib
import signal
import sys
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
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
from .place import Place, choose_wire, key_for, make_config, open_service, open_transport
from .talk_audio import Ears, MeteredSource, device_of, open_sound, ways_out
from .talk_stage import End, TalkStage

__all__ = ["TalkOptions", "load_agent", "run"]

IMPOSSIBLE = 2
INTERRUPTED = 130


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
    ears = Ears(
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
        return asyncio.run(_talk(options, place, ears, agent))
    except DeviceError as error:
        print(ways_out(error, ears), file=sys.stderr)
        return IMPOSSIBLE


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


async def _talk(options: TalkOptions, place: Place, ears: Ears, agent: RealtimeAgent) -> int:
    notes = [] if not place.embedded else poor_speech()
    stages: list[TalkStage] = []
    try:
        sound = await open_sound(ears, lambda event: stages[0].device_changed(event) if stages else None)
    except MissingExtraError as error:
        print(ways_out(error, ears), file=sys.stderr)
        return IMPOSSIBLE
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
        end = await _unless_terminated(stage, ears.audio_in)
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


async def _unless_terminated(stage: TalkStage, file: Path | None) -> End:
    """SIGTERM ends the conversation as Ctrl-C does, so that the terminal is left as it was."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for the type checker: this is a coroutine
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    return await stage.hold(file)
