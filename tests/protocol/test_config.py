from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.errors import ConfigError, UserError
from voxwire.protocol.config import (
    DEFAULT_MODEL,
    DEFAULT_SESSION,
    AudioConfig,
    AudioInput,
    AudioOutput,
    NoiseReduction,
    Prompt,
    Reasoning,
    SemanticVad,
    ServerVad,
    SessionConfig,
    TokenLimits,
    Tracing,
    Transcription,
    Truncation,
    coerce_config,
)
from voxwire.protocol.config_base import ConfigObject
from voxwire.protocol.formats import PCM16, PCMA, PCMU, AudioFormat
from voxwire.protocol.unset import UNSET
from voxwire.protocol.wire import decode, encode

CLASSES: list[type[ConfigObject]] = [
    AudioConfig,
    AudioInput,
    AudioOutput,
    NoiseReduction,
    Prompt,
    Reasoning,
    SemanticVad,
    ServerVad,
    SessionConfig,
    TokenLimits,
    Tracing,
    Transcription,
    Truncation,
]

# Every field of the GA session object a client can set, in the wire's own form.
FULL: dict[str, Any] = {
    "model": "gpt-realtime-2",
    "instructions": "Be brief.",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {
                "model": "gpt-transcribe",
                "language": "de",
                "languages": ["de", "en"],
                "prompt": "numbers",
                "keywords": ["voxwire"],
                "delay": "low",
            },
            "noise_reduction": {"type": "near_field", "strength": 0.5},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.0,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 0,
                "idle_timeout_ms": 6000,
                "create_response": False,
                "interrupt_response": False,
            },
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "voice_1"}, "speed": 1.25},
    },
    "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
    "tool_choice": {"type": "function", "name": "f"},
    "parallel_tool_calls": False,
    "reasoning": {"effort": "low"},
    "max_output_tokens": 4096,
    "truncation": {
        "type": "retention_ratio",
        "retention_ratio": 0.8,
        "token_limits": {"post_instructions": 5000},
    },
    "include": ["item.input_audio_transcription.logprobs"],
    "prompt": {"id": "pmpt_1", "version": "2", "variables": {"cityName": "Oslo"}},
    "tracing": {"workflow_name": "w", "group_id": "g", "metadata": {"userId": 1}},
}


def camel(value: Any) -> Any:
    """The same with the JavaScript SDK's keys; not inside what belongs to the user."""
    if not isinstance(value, dict):
        return value
    result = {}
    for key, child in value.items():
        head, *rest = key.split("_")
        result[head + "".join(map(str.capitalize, rest))] = (
            child if key in {"variables", "metadata"} else camel(child)
        )
    return result


def turn_detection(config: SessionConfig) -> Any:
    assert isinstance(config.audio, AudioConfig)
    assert isinstance(config.audio.input, AudioInput)
    return config.audio.input.turn_detection


# --- shape ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_everything_is_unset_until_it_is_set(cls: type[ConfigObject]) -> None:
    config = cls()
    assert all(
        getattr(config, field.name) is UNSET for field in dataclasses.fields(cls) if field.name != "extra"
    )
    assert config.to_wire() == ({"type": cls.type_name} if cls.type_name else {})
    assert not hasattr(config, "__dict__")
    assert cls.__doc__
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.extra = {}  # type: ignore[misc]


def test_every_ga_field_goes_through() -> None:
    config = SessionConfig.from_dict(FULL)
    assert config.to_wire() == FULL
    assert config.extra == {}
    assert decode(encode({"type": "session.update", "session": config.to_wire()}))["session"] == FULL
    # ... and none was left out of FULL.
    assert set(FULL) == set(SessionConfig.field_names())
    assert set(FULL["audio"]["input"]) == set(AudioInput.field_names())
    assert set(FULL["audio"]["output"]) == set(AudioOutput.field_names())
    assert set(FULL["audio"]["input"]["transcription"]) == set(Transcription.field_names())
    assert set(FULL["audio"]["input"]["turn_detection"]) == {"type", *ServerVad.field_names()}


def test_objects_and_dicts_are_the_same() -> None:
    built = SessionConfig(
        output_modalities=["audio"],
        parallel_tool_calls=True,
        audio=AudioConfig(
            input=AudioInput(
                format="pcm16",
                transcription=Transcription(model="gpt-4o-transcribe"),
                turn_detection=ServerVad(interrupt_response=True),
            ),
            output=AudioOutput(format="pcm16", voice="marin"),
        ),
    )
    wire = {
        "output_modalities": ["audio"],
        "parallel_tool_calls": True,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "gpt-4o-transcribe"},
                "turn_detection": {"type": "server_vad", "interrupt_response": True},
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
        },
    }
    assert built.to_wire() == wire
    assert SessionConfig.from_dict(wire) == built
    mixed = SessionConfig(
        audio={"input": {**wire["audio"]["input"]}, "output": built.audio.output},
        output_modalities=("audio",),
        parallel_tool_calls=True,
    )  # type: ignore[union-attr,index]
    assert mixed == built


def test_replacing_a_field_checks_it() -> None:
    config = dataclasses.replace(ServerVad(threshold=0.5), threshold=0.7)
    assert config.threshold == 0.7
    with pytest.raises(ConfigError):
        dataclasses.replace(config, threshold=70)


def test_the_defaults() -> None:
    assert DEFAULT_MODEL == "gpt-realtime"
    assert DEFAULT_SESSION.to_wire() == {
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "semantic_vad"},
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}},
        },
    }


def test_5_there_is_no_default_voice() -> None:
    """Behaviour 5."""
    assert "voice" not in DEFAULT_SESSION.to_wire()["audio"]["output"]


def test_to_wire_is_a_fresh_copy() -> None:
    config = SessionConfig.from_dict(FULL)
    wire = config.to_wire()
    wire["tools"][0]["parameters"]["type"] = "spoiled"
    wire["prompt"]["variables"].clear()
    assert config.to_wire() == FULL


def test_a_representation_shows_what_is_set_and_no_keys() -> None:
    config = SessionConfig(
        model="m",
        tracing=None,
        tools=[{"type": "mcp", "server_label": "s", "authorization": "sk-secret"}],
        extra={"new": "sk-secret"},
    )
    assert repr(config) == "SessionConfig(extra=..., model='m', tools=..., tracing=None)"
    assert repr(ServerVad(threshold=0.5)) == "ServerVad(threshold=0.5)"


# --- UNSET, None, unknown ---------------------------------------------------------------------


def test_8_null_reaches_the_wire() -> None:
    """Behaviour 8."""
    audio_input = {"noise_reduction": None, "transcription": None, "turn_detection": None}
    session = {"audio": {"input": audio_input}, "prompt": None, "tracing": None, "tool_choice": None}
    assert SessionConfig.from_dict(session).to_wire() == session
    built = SessionConfig(
        audio=AudioConfig(input=AudioInput(noise_reduction=None, transcription=None, turn_detection=None)),
        prompt=None,
        tracing=None,
        tool_choice=None,
    )
    assert built.to_wire() == session


@pytest.mark.parametrize("side", ["input", "output"])
def test_9_a_null_side_means_unset(side: str) -> None:
    """Behaviour 9."""
    assert SessionConfig.from_dict({"audio": {side: None}}).to_wire() == {"audio": {}}
    assert AudioConfig(**{side: None}) == AudioConfig()
    assert SessionConfig.from_dict({"audio": None}) == SessionConfig()


def test_unset_in_a_dict_is_absent() -> None:
    config = SessionConfig.from_dict(
        {
            "model": UNSET,
            "new": UNSET,
            "voice": UNSET,
            "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": UNSET}}},
        }
    )
    assert config.to_wire() == {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}


def test_unknown_fields_are_sent() -> None:
    wire = {
        "temperature": 0.7,
        "audio": {
            "newSide": {"a": [1]},
            "input": {"turn_detection": {"type": "semantic_vad", "patience": 3}, "echo": True},
            "output": {"pitch": 2},
        },
        "reasoning": {"budget": 5},
    }
    config = SessionConfig.from_dict(wire)
    assert config.extra == {"temperature": 0.7}
    assert config.to_wire() == wire


def test_extra_does_not_hide_a_field() -> None:
    with pytest.raises(ConfigError, match="extra holds 'voice'; pass it to AudioOutput as voice="):
        AudioOutput(extra={"voice": "marin"})


def test_an_unknown_turn_detection_is_kept() -> None:
    given = {"type": "neural_vad", "createResponse": False, "secretSauce": 1, "threshold": 12}
    wire = AudioInput(turn_detection=given).to_wire()
    assert wire == {
        "turn_detection": {"type": "neural_vad", "create_response": False, "secretSauce": 1, "threshold": 12}
    }


def test_an_empty_turn_detection_says_nothing() -> None:
    assert AudioInput(turn_detection={}).to_wire() == {}
    assert AudioInput(turn_detection={"type": UNSET}).to_wire() == {}


def test_the_type_of_another_kind_of_session_is_kept() -> None:
    assert SessionConfig.from_dict({"type": "realtime", "model": "m"}).to_wire() == {"model": "m"}
    assert SessionConfig.from_dict({"type": "transcription"}).to_wire() == {"type": "transcription"}


# --- values -----------------------------------------------------------------------------------


def test_6_false_and_reasoning_are_kept() -> None:
    """Behaviour 6."""
    config = SessionConfig(parallel_tool_calls=False, reasoning=Reasoning(effort="minimal"))
    assert config.to_wire() == {"parallel_tool_calls": False, "reasoning": {"effort": "minimal"}}


def test_7_transcription_options_pass_untouched() -> None:
    """Behaviour 7."""
    wire = {
        "model": "gpt-realtime-whisper",
        "keywords": ["a"],
        "languages": ["de"],
        "delay": "xhigh",
        "hotwords": 1,
    }
    assert Transcription.from_dict(wire).to_wire() == wire


def test_10_falsy_vad_values_survive() -> None:
    """Behaviour 10."""
    config = SessionConfig.from_dict(
        {
            "turnDetection": {
                "type": "server_vad",
                "createResponse": False,
                "interruptResponse": False,
                "threshold": 0,
                "prefixPaddingMs": 0,
                "silenceDurationMs": 0,
                "idleTimeoutMs": None,
            }
        }
    )
    assert turn_detection(config).to_wire() == {
        "type": "server_vad",
        "threshold": 0,
        "prefix_padding_ms": 0,
        "silence_duration_ms": 0,
        "idle_timeout_ms": None,
        "create_response": False,
        "interrupt_response": False,
    }
    semantic = SemanticVad.from_dict({"type": "semantic_vad", "modelVersion": "2", "eagerness": "low"})
    assert semantic.to_wire() == {"type": "semantic_vad", "eagerness": "low", "model_version": "2"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("pcm16", PCM16),
        ("g711_ulaw", PCMU),
        ("g711_alaw", PCMA),
        (PCMA, PCMA),
        ({"type": "audio/pcm"}, PCM16),
        ({"type": "audio/pcm", "rate": 16000}, AudioFormat("audio/pcm", 16000)),
        ({"type": "audio/pcmu", "rate": 8000}, PCMU),
    ],
)
def test_formats_are_one(value: Any, expected: AudioFormat) -> None:
    assert AudioInput(format=value).format == expected
    assert AudioOutput(format=value).to_wire() == {"format": expected.to_wire()}


def test_14_rates_that_are_no_numbers_and_unknown_formats() -> None:
    """Behaviour 14."""
    for rate in (math.nan, math.inf, -math.inf):
        assert AudioInput(format={"type": "audio/pcm", "rate": rate}).format == PCM16
    for unknown in (
        {"type": "audio/opus", "rate": math.nan},
        {"type": "audio/pcm", "rate": 8000, "channels": 2},
    ):
        assert AudioInput(format=unknown).format is unknown


@pytest.mark.parametrize(
    "value", ["auto", "disabled", {"type": "auto"}, {"type": "retention_ratio", "retention_ratio": 1}, None]
)
def test_truncation_in_its_forms(value: Any) -> None:
    assert SessionConfig(truncation=value).to_wire() == {"truncation": value}


def test_truncation_as_an_object() -> None:
    config = SessionConfig(truncation=Truncation(retention_ratio=0.5))
    assert config.to_wire() == {"truncation": {"type": "retention_ratio", "retention_ratio": 0.5}}
    assert SessionConfig(truncation={"retentionRatio": 0.5}) == config


@pytest.mark.parametrize("value", ["auto", None, {"workflow_name": "w"}, {"type": "x"}])
def test_tracing_in_its_forms(value: Any) -> None:
    assert SessionConfig(tracing=value).to_wire() == {"tracing": value}


@pytest.mark.parametrize("value", ["inf", 1, 4096, None])
def test_max_output_tokens(value: Any) -> None:
    assert SessionConfig(max_output_tokens=value).to_wire() == {"max_output_tokens": value}


def test_whole_numbers_may_be_written_as_floats() -> None:
    wire = ServerVad(silence_duration_ms=500.0).to_wire()  # type: ignore[arg-type]
    assert type(wire["silence_duration_ms"]) is int


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 7}}}},
            "audio.input.turn_detection.threshold is 7; it must be between 0 and 1",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": math.nan}}}},
            "audio.input.turn_detection.threshold is nan; it must be between 0 and 1",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 0.5}}}},
            "audio.input.turn_detection.silence_duration_ms is 0.5; it must be a whole number of ms, at least 0",
        ),
        (
            {"turnDetection": {"type": "server_vad", "prefixPaddingMs": -1}},
            "audio.input.turn_detection.prefix_padding_ms is -1; it must be a whole number of ms, at least 0",
        ),
        (
            {"turn_detection": {"type": "server_vad", "idle_timeout_ms": True}},
            "audio.input.turn_detection.idle_timeout_ms is True; it must be a whole number of ms, at least 0",
        ),
        (
            {"turn_detection": {"type": "semantic_vad", "create_response": "yes"}},
            "audio.input.turn_detection.create_response is 'yes'; it must be True or False",
        ),
        (
            {"turn_detection": "server_vad"},
            "audio.input.turn_detection is 'server_vad'; it must be ServerVad(...), SemanticVad(...), a dict or None",
        ),
        (
            {"audio": {"input": {"noise_reduction": {"strength": math.inf}}}},
            "audio.input.noise_reduction.strength is inf; it must be a number, at least 0",
        ),
        (
            {"audio": {"input": {"noise_reduction": {"strength": "much"}}}},
            "audio.input.noise_reduction.strength is 'much'; it must be a number, at least 0",
        ),
        (
            {"audio": {"input": {"transcription": "whisper-1"}}},
            "audio.input.transcription is 'whisper-1'; it must be Transcription(...) or a dict",
        ),
        (
            {"audio": {"input": {"transcription": {"keywords": "a"}}}},
            "audio.input.transcription.keywords is 'a'; it must be a list",
        ),
        (
            {"audio": {"input": {"transcription": {"languages": ["de", 1]}}}},
            "audio.input.transcription.languages[1] is 1; it must be a string",
        ),
        ({"audio": "loud"}, "audio is 'loud'; it must be AudioConfig(...) or a dict"),
        ({"audio": "loud", "voice": "marin"}, "audio is 'loud'; it must be AudioConfig(...) or a dict"),
        ({"speed": 0}, "audio.output.speed is 0; it must be between 0.25 and 1.5"),
        ({"voice": 5}, "audio.output.voice is 5; it must be a string or a dict with an id"),
        ({"model": ["m"]}, "model is of type list; it must be a string"),
        ({"instructions": b"x" * 99}, "instructions is of type bytes; it must be a string"),
        ({"output_modalities": "audio"}, "output_modalities is 'audio'; it must be a list"),
        (
            {"max_output_tokens": 0},
            'max_output_tokens is 0; it must be a whole number of tokens, at least 1, or "inf"',
        ),
        ({"tool_choice": 1}, "tool_choice is 1; it must be a string or a dict naming a tool"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls is 1; it must be True or False"),
        (
            {"truncation": {"type": "retention_ratio", "retention_ratio": 80}},
            "truncation.retention_ratio is 80; it must be between 0 and 1",
        ),
        ({"tracing": 3}, "tracing is 3; it must be Tracing(...) or a dict"),
        (
            {"prompt": {"id": "p", "variables": "x" * 80}},
            f"prompt.variables is 'x{'x' * 55}...; it must be a dict",
        ),
        ({"tools": [{"name": "f"}]}, 'tools[0].type is None; it must be "function" or "mcp"'),
        ({"tools": [{"type": "function"}]}, "tools[0].name is None; it must be a string"),
        (
            {"tools": [print]},
            'tools[0] is of type builtin_function_or_method; it must be a dict with a "type", as on the wire',
        ),
    ],
)
def test_a_bad_value_is_named_with_its_path(session: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SessionConfig.from_dict(session)
    assert str(caught.value) == message
    assert isinstance(caught.value, (UserError, ValueError))


@pytest.mark.parametrize(
    "value",
    ["mp3", {"rate": 8000}, {"type": "audio/pcm", "rate": 100}, {"type": "audio/pcm", "rate": "x"}, 7],
)
def test_a_bad_format_is_named_with_its_path(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^audio\.output\.format: "):
        AudioOutput(format=value)


def test_coerce() -> None:
    config = SessionConfig(model="m")
    assert coerce_config(config) is config
    assert coerce_config({"model": "m"}) == config
    assert coerce_config(None) == SessionConfig()
    for wrong in (5, "gpt-realtime", [("model", "m")]):
        with pytest.raises(ConfigError, match=r"config is .* a dict"):
            coerce_config(wrong)  # type: ignore[arg-type]


# --- tools ------------------------------------------------------------------------------------


def test_12_function_tools_lose_strict_and_unset_only() -> None:
    """Behaviour 12; an unknown field stays, as everywhere."""
    tool = {"type": "function", "name": "f", "description": UNSET, "parameters": {}, "strict": True, "new": 1}
    assert SessionConfig(tools=[tool]).to_wire() == {
        "tools": [{"type": "function", "name": "f", "parameters": {}, "new": 1}]
    }
    assert "strict" in tool


def test_tools_can_be_cleared() -> None:
    assert SessionConfig(tools=[]).to_wire() == {"tools": []}


def test_unknown_tools_are_kept() -> None:
    tool = {"type": "web_search", "strict": True}
    assert SessionConfig(tools=[tool]).to_wire() == {"tools": [tool]}


def test_13_mcp_tools() -> None:
    """Behaviour 13: no approval policy unless there is one; filters keep `read_only`."""
    plain = {
        "type": "mcp",
        "server_label": "s",
        "server_url": "https://x",
        "authorization": "k",
        "headers": {"a-B": "c"},
    }
    assert SessionConfig(tools=[{**plain, "require_approval": UNSET}]).to_wire() == {"tools": [plain]}
    spelled = {
        "type": "mcp",
        "serverLabel": "s",
        "allowedTools": {"toolNames": ["a"], "readOnly": True},
        "requireApproval": {"always": {"toolNames": ["a"]}, "never": {"readOnly": True, "tool_names": ["b"]}},
    }
    assert SessionConfig(tools=[spelled]).to_wire() == {
        "tools": [
            {
                "type": "mcp",
                "server_label": "s",
                "allowed_tools": {"tool_names": ["a"], "read_only": True},
                "require_approval": {
                    "always": {"tool_names": ["a"]},
                    "never": {"read_only": True, "tool_names": ["b"]},
                },
            }
        ]
    }


@pytest.mark.parametrize("policy", ["always", "never", None, {"never": {"tool_names": ["a"]}}])
def test_approval_policies(policy: Any) -> None:
    tool = {"type": "mcp", "server_label": "s", "require_approval": policy}
    assert SessionConfig(tools=[tool]).to_wire() == {"tools": [tool]}


@pytest.mark.parametrize(
    "policy",
    [
        "sometimes",
        5,
        {},
        {"maybe": {"tool_names": ["a"]}},
        {"always": {}},
        {"always": ["a"]},
        {"always": {"tool_names": "a"}},
        {"always": {"tool_names": [""]}},
        {"always": {"tool_names": [1]}},
        {"always": {"read_only": "yes"}},
        {"always": {"tool_names": ["a"], "toolNames": ["a"]}},
        {"always": {"tool_names": ["a"], "names": ["b"]}},
        {"always": {"tool_names": ["a", "b"]}, "never": {"toolNames": ["b"]}},
    ],
)
def test_bad_approval_policies(policy: Any) -> None:
    with pytest.raises(ConfigError, match=r"^tools\[0\]\.require_approval"):
        SessionConfig(tools=[{"type": "mcp", "server_label": "s", "require_approval": policy}])


# --- other spellings --------------------------------------------------------------------------


def test_camel_case_is_read_everywhere() -> None:
    assert SessionConfig.from_dict(camel(FULL)).to_wire() == FULL


def test_the_wires_spelling_wins() -> None:
    config = SessionConfig.from_dict(
        {"maxOutputTokens": 1, "max_output_tokens": 2, "toolChoice": "none", "tool_choice": UNSET}
    )
    assert config.to_wire() == {"max_output_tokens": 2, "tool_choice": "none"}
    config = SessionConfig.from_dict({"inputAudioFormat": "g711_alaw", "input_audio_format": "g711_ulaw"})
    assert config.to_wire() == {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}


LEGACY = {
    "modalities": ["text"],
    "input_audio_format": "g711_ulaw",
    "output_audio_format": "g711_alaw",
    "input_audio_transcription": {"model": "whisper-1"},
    "turn_detection": None,
    "input_audio_noise_reduction": {"type": "far_field"},
    "speed": 1.5,
    "voice": "cedar",
    "max_response_output_tokens": "inf",
}


@pytest.mark.parametrize("legacy", [LEGACY, camel(LEGACY)])
def test_flat_keys_become_ga(legacy: dict[str, Any]) -> None:
    assert SessionConfig.from_dict(legacy).to_wire() == {
        "output_modalities": ["text"],
        "max_output_tokens": "inf",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "whisper-1"},
                "turn_detection": None,
                "noise_reduction": {"type": "far_field"},
            },
            "output": {"format": {"type": "audio/pcma"}, "voice": "cedar", "speed": 1.5},
        },
    }


@pytest.mark.parametrize("legacy", [LEGACY, camel(LEGACY)])
def test_flat_keys_never_beat_or_drop_ga_keys(legacy: dict[str, Any]) -> None:
    full = {key: value for key, value in FULL.items() if key != "reasoning"}
    for ga in (full, camel(full), {**full, "audio": AudioConfig.from_dict(FULL["audio"])}):
        assert SessionConfig.from_dict({**legacy, **ga}).to_wire() == full


def test_flat_keys_fill_gaps_beside_objects() -> None:
    sound = AudioConfig(input=AudioInput(format="g711_ulaw"), output=None)
    config = SessionConfig.from_dict(
        {"audio": sound, "voice": "ash", "inputAudioFormat": "pcm16", "turn_detection": None}
    )
    assert config.to_wire() == {
        "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "turn_detection": None},
            "output": {"voice": "ash"},
        }
    }
    assert sound == AudioConfig(input=AudioInput(format="g711_ulaw"))


def test_11_a_flat_voice_leaves_ga_formats_alone() -> None:
    """Behaviour 11."""
    given = {"voice": "marin", "audio": {"input": {"format": "g711_ulaw"}, "output": {"format": "g711_ulaw"}}}
    assert SessionConfig.from_dict(given).to_wire() == {
        "audio": {
            "input": {"format": {"type": "audio/pcmu"}},
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
        }
    }
    assert given["audio"] == {"input": {"format": "g711_ulaw"}, "output": {"format": "g711_ulaw"}}


def test_the_older_pair_of_modalities_is_audio() -> None:
    assert SessionConfig.from_dict({"modalities": ["text", "audio"]}).to_wire() == {
        "output_modalities": ["audio"]
    }
    with pytest.raises(ConfigError, match=r"output_modalities\[0\]"):
        SessionConfig.from_dict({"modalities": [["text"], 5]})


def test_prompt_id() -> None:
    given = {"prompt": {"promptId": "p", "version": "1", "variables": {"promptId": 3}}}
    assert SessionConfig.from_dict(given).to_wire() == {
        "prompt": {"id": "p", "version": "1", "variables": {"promptId": 3}}
    }
    assert Prompt.from_dict({"prompt_id": "old", "id": "new"}) == Prompt(id="new")


def test_provider_data_fills_gaps() -> None:
    given = {"providerData": {"model": "b", "voice": "ash", "speed": 1, "new": 1}, "model": "a"}
    assert SessionConfig.from_dict(given).to_wire() == {
        "model": "a",
        "audio": {"output": {"voice": "ash", "speed": 1}},
        "new": 1,
    }


# --- properties -------------------------------------------------------------------------------

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats(allow_nan=False)
    | st.sampled_from(["auto", "pcm16", "inf", "a"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "id", "model", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
keys = sorted({*FULL, *camel(FULL), *LEGACY, *camel(LEGACY), "providerData", "type", "new"})
audio_keys = sorted({*FULL["audio"]["input"], *FULL["audio"]["output"], *camel(FULL["audio"]["input"])})
side = st.dictionaries(st.sampled_from(audio_keys), values, max_size=4)
sessions = st.dictionaries(st.sampled_from(keys), values, max_size=5) | st.fixed_dictionaries(
    {"audio": st.fixed_dictionaries({}, optional={"input": side, "output": side})}, optional={"voice": values}
)


@given(sessions)
def test_any_mapping_is_read_or_refused(session: dict[str, Any]) -> None:
    try:
        config = SessionConfig.from_dict(session)
    except ConfigError:
        return
    wire = config.to_wire()
    assert SessionConfig.from_dict(wire) == config
    assert SessionConfig.from_dict(wire).to_wire() == wire


@given(st.sampled_from(sorted(FULL)), st.sampled_from(sorted(FULL["audio"]["input"])))
def test_parts_of_a_session_go_through_alone(name: str, side_name: str) -> None:
    for part in ({name: FULL[name]}, {"audio": {"input": {side_name: FULL["audio"]["input"][side_name]}}}):
        assert SessionConfig.from_dict(part).to_wire() == part
        assert SessionConfig.from_dict(camel(part)).to_wire() == part
