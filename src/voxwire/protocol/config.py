"""The session's configuration.

Every field is UNSET by default, which leaves the setting alone; None sends JSON null. Values
are checked where no service could take them, and kept in one form: `format="pcm16"` and
`format=PCM16` are equal. Source of fields and limits: Realtime API reference,
`session.update` and the session object (GA).

    SessionConfig(audio=AudioConfig(input=AudioInput(format="pcm16", turn_detection=ServerVad(threshold=0.4))))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, cast

from .config_base import (
    ConfigObject,
    Rule,
    Setting,
    flag,
    items,
    nested,
    number,
    plain_object,
    refuse,
    rule,
    text,
    whole,
)
from .config_legacy import to_ga
from .config_merge import (
    changed_only,
    creates_response,
    input_format,
    interrupt_response,
    merge_wire,
    output_format,
    transcribes,
)
from .config_values import audio_format, mode_or, output_limit, snake_keys, tool
from .formats import PCM16, AudioFormat
from .unset import UNSET, UnsetType

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_SESSION",
    "AudioConfig",
    "AudioInput",
    "AudioOutput",
    "FormatLike",
    "NoiseReduction",
    "Prompt",
    "Reasoning",
    "SemanticVad",
    "ServerVad",
    "SessionConfig",
    "TokenLimits",
    "Tracing",
    "Transcription",
    "Truncation",
    "TurnDetection",
    "changed_only",
    "coerce_config",
    "creates_response",
    "input_format",
    "interrupt_response",
    "merge_wire",
    "output_format",
    "transcribes",
]

DEFAULT_MODEL = "gpt-realtime"

FormatLike: TypeAlias = AudioFormat | str | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Transcription(ConfigObject):
    """Have the user's speech transcribed.

    Attributes:
        language, languages: ISO 639-1 codes; which of the two a model takes differs.
        prompt: text to guide the model.
        keywords: words or phrases to expect.
        delay: how long to wait for better text: `minimal`, `low`, `medium`, `high`, `xhigh`.
    """

    path: ClassVar[str] = "audio.input.transcription"
    model: Setting[str] = field(default=UNSET, metadata=rule(text))
    language: Setting[str] = field(default=UNSET, metadata=rule(text))
    languages: Setting[Sequence[str]] = field(default=UNSET, metadata=rule(items(text)))
    prompt: Setting[str] = field(default=UNSET, metadata=rule(text))
    keywords: Setting[Sequence[str]] = field(default=UNSET, metadata=rule(items(text)))
    delay: Setting[str] = field(default=UNSET, metadata=rule(text))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NoiseReduction(ConfigObject):
    """Have noise removed from the input: `near_field` (headset) or `far_field` (laptop, room)."""

    path: ClassVar[str] = "audio.input.noise_reduction"
    type: Setting[str] = field(default=UNSET, metadata=rule(text))
    strength: Setting[float] = field(default=UNSET, metadata=rule(number(0)))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ServerVad(ConfigObject):
    """Turns end after a silence.

    Attributes:
        threshold: how sure the detector must be, 0 to 1.
        prefix_padding_ms: audio kept from before the speech, ms.
        silence_duration_ms: the silence that ends a turn, ms.
        idle_timeout_ms: have the model speak up when the user has been silent for so long, ms.
        create_response: whether the end of a turn starts a response.
        interrupt_response: whether a user who begins to speak stops the reply.
    """

    path: ClassVar[str] = "audio.input.turn_detection"
    type_name: ClassVar[str] = "server_vad"
    threshold: Setting[float] = field(default=UNSET, metadata=rule(number(0, 1)))
    prefix_padding_ms: Setting[int] = field(default=UNSET, metadata=rule(whole("ms")))
    silence_duration_ms: Setting[int] = field(default=UNSET, metadata=rule(whole("ms")))
    idle_timeout_ms: Setting[int] = field(default=UNSET, metadata=rule(whole("ms")))
    create_response: Setting[bool] = field(default=UNSET, metadata=rule(flag))
    interrupt_response: Setting[bool] = field(default=UNSET, metadata=rule(flag))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SemanticVad(ConfigObject):
    """Turns end when the user seems to have finished.

    Attributes:
        eagerness: `low`, `medium`, `high` or `auto`.
        create_response, interrupt_response: as in `ServerVad`.
    """

    path: ClassVar[str] = "audio.input.turn_detection"
    type_name: ClassVar[str] = "semantic_vad"
    eagerness: Setting[str] = field(default=UNSET, metadata=rule(text))
    create_response: Setting[bool] = field(default=UNSET, metadata=rule(flag))
    interrupt_response: Setting[bool] = field(default=UNSET, metadata=rule(flag))
    model_version: Setting[str] = field(default=UNSET, metadata=rule(text))


TurnDetection: TypeAlias = ServerVad | SemanticVad | Mapping[str, Any]


def _turn_detection(value: Any, path: str) -> TurnDetection | UnsetType:
    if isinstance(value, (ServerVad, SemanticVad)):
        return value
    if not isinstance(value, Mapping):
        refuse(path, value, "ServerVad(...), SemanticVad(...), a dict or None")
    given = {k: v for k, v in cast("Mapping[str, Any]", value).items() if v is not UNSET}
    for cls in (ServerVad, SemanticVad):
        if given.get("type") == cls.type_name:
            return cls.from_dict(given)
    # A kind this version does not know is not checked, only spelled as the wire does. With
    # nothing in it, it says nothing, as in the JavaScript SDK.
    return snake_keys(given, (*ServerVad.field_names(), *SemanticVad.field_names())) or UNSET


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AudioInput(ConfigObject):
    """What the user says: its format and what happens to it.

    Attributes:
        turn_detection: None switches it off; then commit and ask for responses yourself.
    """

    path: ClassVar[str] = "audio.input"
    format: Setting[FormatLike] = field(default=UNSET, metadata=rule(audio_format))
    transcription: Setting[Transcription | Mapping[str, Any]] = field(
        default=UNSET, metadata=rule(nested(Transcription))
    )
    noise_reduction: Setting[NoiseReduction | Mapping[str, Any]] = field(
        default=UNSET, metadata=rule(nested(NoiseReduction))
    )
    turn_detection: Setting[TurnDetection] = field(default=UNSET, metadata=rule(_turn_detection))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AudioOutput(ConfigObject):
    """What the agent says.

    Attributes:
        voice: a name, or `{"id": ...}` of a custom voice; fixed once the agent has spoken.
        speed: 0.25 to 1.5.
    """

    path: ClassVar[str] = "audio.output"
    format: Setting[FormatLike] = field(default=UNSET, metadata=rule(audio_format))
    voice: Setting[str | Mapping[str, Any]] = field(
        default=UNSET, metadata=rule(mode_or("a dict with an id"))
    )
    speed: Setting[float] = field(default=UNSET, metadata=rule(number(0.25, 1.5)))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AudioConfig(ConfigObject):
    """Audio in and out. There is no null here: None counts as UNSET."""

    path: ClassVar[str] = "audio"
    input: Setting[AudioInput | Mapping[str, Any]] = field(
        default=UNSET, metadata=rule(nested(AudioInput), null=False)
    )
    output: Setting[AudioOutput | Mapping[str, Any]] = field(
        default=UNSET, metadata=rule(nested(AudioOutput), null=False)
    )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Tracing(ConfigObject):
    """How the service names the session's trace; the string `auto` leaves that to it."""

    path: ClassVar[str] = "tracing"
    workflow_name: Setting[str] = field(default=UNSET, metadata=rule(text))
    group_id: Setting[str] = field(default=UNSET, metadata=rule(text))
    metadata: Setting[Mapping[str, Any]] = field(default=UNSET, metadata=rule(plain_object))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Prompt(ConfigObject):
    """A prompt stored at the service, and its variables. `promptId` counts as `id`."""

    path: ClassVar[str] = "prompt"
    id: Setting[str] = field(default=UNSET, metadata=rule(text))
    version: Setting[str] = field(default=UNSET, metadata=rule(text))
    variables: Setting[Mapping[str, Any]] = field(default=UNSET, metadata=rule(plain_object))

    @classmethod
    def _normalised(cls, mapping: Mapping[str, Any]) -> Mapping[str, Any]:
        given = snake_keys(mapping, ("prompt_id",))
        prompt_id = given.pop("prompt_id", UNSET)
        return {"id": prompt_id, **given}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reasoning(ConfigObject):
    """How hard a reasoning model thinks: `minimal`, `low`, `medium`, `high`, `xhigh`."""

    path: ClassVar[str] = "reasoning"
    effort: Setting[str] = field(default=UNSET, metadata=rule(text))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TokenLimits(ConfigObject):
    """When the conversation counts as too long: more than so many tokens after the instructions."""

    path: ClassVar[str] = "truncation.token_limits"
    post_instructions: Setting[int] = field(default=UNSET, metadata=rule(whole("tokens")))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Truncation(ConfigObject):
    """What to keep when the conversation outgrows the model; or the strings `auto`, `disabled`.

    Attributes:
        retention_ratio: share of the conversation's tokens to keep, 0 to 1.
    """

    path: ClassVar[str] = "truncation"
    type_name: ClassVar[str] = "retention_ratio"
    retention_ratio: Setting[float] = field(default=UNSET, metadata=rule(number(0, 1)))
    token_limits: Setting[TokenLimits | Mapping[str, Any]] = field(
        default=UNSET, metadata=rule(nested(TokenLimits))
    )


def _name_or(cls: type[ConfigObject]) -> Rule:
    """A mode's name, or the object of this class; an object of another `type` is kept."""
    read = nested(cls)

    def check(value: Any, path: str) -> Any:
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping):
            kind = cast("Mapping[str, Any]", value).get("type", UNSET)
            if kind is not UNSET and cls.type_name and kind != cls.type_name:
                return cast("Mapping[str, Any]", value)
        return read(value, path)

    return check


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SessionConfig(ConfigObject):
    """What a session is set to.

    `from_dict` reads the wire's session object. The flat keys of the older dialect
    (`modalities`, `input_audio_format`, `turn_detection`, `voice` ...) and the JavaScript SDK's
    spellings work as well, merged with the GA keys, which win. Unknown fields are kept in
    `extra`. `to_wire` has no `type` unless that names something else than `realtime`.

    Attributes:
        output_modalities: `["audio"]` (with a transcript) or `["text"]`.
        tools: as on the wire, function and MCP tools; an empty list clears them.
        tool_choice: `auto`, `none`, `required`, or an object naming one tool.
        max_output_tokens: per response, or `inf`.
        include: extra output, such as `item.input_audio_transcription.logprobs`.
    """

    model: Setting[str] = field(default=UNSET, metadata=rule(text))
    instructions: Setting[str] = field(default=UNSET, metadata=rule(text))
    output_modalities: Setting[Sequence[str]] = field(default=UNSET, metadata=rule(items(text)))
    audio: Setting[AudioConfig | Mapping[str, Any]] = field(
        default=UNSET, metadata=rule(nested(AudioConfig), null=False)
    )
    tools: Setting[Sequence[Mapping[str, Any]]] = field(default=UNSET, repr=False, metadata=rule(items(tool)))
    tool_choice: Setting[str | Mapping[str, Any]] = field(
        default=UNSET, metadata=rule(mode_or("a dict naming a tool"))
    )
    parallel_tool_calls: Setting[bool] = field(default=UNSET, metadata=rule(flag))
    reasoning: Setting[Reasoning | Mapping[str, Any]] = field(default=UNSET, metadata=rule(nested(Reasoning)))
    max_output_tokens: Setting[int | str] = field(default=UNSET, metadata=rule(output_limit))
    truncation: Setting[Truncation | str | Mapping[str, Any]] = field(
        default=UNSET, metadata=rule(_name_or(Truncation))
    )
    include: Setting[Sequence[str]] = field(default=UNSET, metadata=rule(items(text)))
    prompt: Setting[Prompt | Mapping[str, Any]] = field(default=UNSET, metadata=rule(nested(Prompt)))
    tracing: Setting[Tracing | str | Mapping[str, Any]] = field(
        default=UNSET, metadata=rule(_name_or(Tracing))
    )

    @classmethod
    def _normalised(cls, mapping: Mapping[str, Any]) -> Mapping[str, Any]:
        return to_ga(mapping)


DEFAULT_SESSION = SessionConfig(
    output_modalities=["audio"],
    audio=AudioConfig(
        input=AudioInput(
            format=PCM16,
            transcription=Transcription(model="gpt-4o-mini-transcribe"),
            turn_detection=SemanticVad(),
        ),
        output=AudioOutput(format=PCM16),
    ),
)
"""What a session sends first, where the application says nothing else."""


def coerce_config(value: SessionConfig | Mapping[str, Any] | None) -> SessionConfig:
    """A configuration from whatever a caller may pass; None is an empty one.

    Raises:
        ConfigError: if it is something else, or holds a value that cannot be used.
    """
    if value is None:
        return SessionConfig()
    if isinstance(value, SessionConfig):
        return value
    return SessionConfig.from_dict(value)
