from __future__ import annotations

import base64
import functools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voxwire.errors import MissingExtraError, UserError, WireError
from voxwire.protocol import wire
from voxwire.protocol.codec import STANDARD, Codec, default_codec, fast_codec
from voxwire.protocol.unset import UNSET

ROOT = Path(__file__).parents[2]

json_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
json_values = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
wire_events = st.builds(
    lambda kind, rest: {**rest, "type": kind}, st.text(), st.dictionaries(st.text(), json_values, max_size=5)
)


@pytest.fixture(params=["standard", "default", "fast"])
def codec(request: pytest.FixtureRequest) -> Codec:
    if request.param == "standard":
        return STANDARD
    if request.param == "default":
        return default_codec()
    pytest.importorskip("msgspec")
    pytest.importorskip("pybase64")
    return fast_codec()


def nested(depth: int) -> str:
    return '{"type":"x","v":' + "[" * depth + "]" * depth + "}"


# --- decode -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [str, str.encode, lambda t: bytearray(t.encode()), lambda t: memoryview(t.encode())]
)
def test_decode_takes_text_and_utf8_bytes(codec: Codec, make: Any) -> None:
    text = ' \r\n{"type":"x","text":"grüße 😀","n":1.5}\t\n'
    assert wire.decode(make(text), codec=codec) == {"type": "x", "text": "grüße 😀", "n": 1.5}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("", "not JSON"),
        ("   ", "not JSON"),
        ("{", "not JSON"),
        ("hello", "not JSON"),
        ('{"type":"x"} {"type":"y"}', "text after"),
        ('{"type":"x",}', "not JSON"),
        ("\ufeff" + '{"type":"x"}', "not JSON"),
        ('{"type":"x","n":NaN}', "NaN"),
        ('{"type":"x","n":Infinity}', "Infinity"),
        ('{"type":"x","n":-Infinity}', "Infinity"),
        ('{"type":"x","n":1e999}', "too large"),
        ('{"type":"x","n":-1e999}', "too large"),
        ('{"type":"x","n":' + "9" * 5000 + "}", "digits"),
        ("[]", "list"),
        ('"type"', "str"),
        ("null", "NoneType"),
        ("{}", "no string 'type'"),
        ('{"type":null}', "no string 'type'"),
        ('{"type":7}', "no string 'type'"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"type":"\xed\xa0\x80"}', "UTF-8"),
        (nested(wire.MAX_DEPTH), "nested deeper"),
        (nested(100_000), "nested deeper"),
        ("[" * 200_000, "nested deeper|not JSON"),
        (b"\x00\x01\x02\x03", "not JSON"),
    ],
)
def test_42_decode_refuses_what_is_no_wire_event(codec: Codec, message: str | bytes, words: str) -> None:
    """Behaviour 42: malformed JSON, binary frames and typeless objects are one kind of error."""
    with pytest.raises(WireError, match=words) as caught:
        wire.decode(message, codec=codec)
    assert caught.value.fault == "peer"


def test_decode_takes_the_deepest_it_says(codec: Codec) -> None:
    event = wire.decode(nested(wire.MAX_DEPTH - 1), codec=codec)
    depth, value = 1, event["v"]
    while value:
        depth, value = depth + 1, value[0]
    assert depth == wire.MAX_DEPTH - 1


def test_decode_refuses_objects_nested_too_deep(codec: Codec) -> None:
    text = '{"v":' * wire.MAX_DEPTH + "1" + "}" * wire.MAX_DEPTH
    assert wire.decode('{"type":"x",' + text[1:], codec=codec)["type"] == "x"
    with pytest.raises(WireError, match="nested deeper than 100"):
        wire.decode('{"type":"x","v":' + text + "}", codec=codec)


def test_decode_is_not_misled_by_brackets_in_text(codec: Codec) -> None:
    assert wire.decode(json.dumps({"type": "x", "v": "[{" * 500}), codec=codec)["v"] == "[{" * 500


def test_decode_takes_wide_events(codec: Codec) -> None:
    event = {"type": "x", "v": [{"a": [1]} for _ in range(500)]}
    assert wire.decode(json.dumps(event), codec=codec) == event


@pytest.mark.parametrize(
    ("message", "limit", "fits"),
    [
        ('{"type":"x"}', 12, True),
        ('{"type":"x"}', 11, False),
        (b'{"type":"x"}', 12, True),
        (b'{"type":"x"}', 11, False),
        ('{"type":"€"}', 14, True),
        ('{"type":"€"}', 13, False),
        ('{"type":"\ud800"}', 13, False),
        (memoryview(b'{"type":"x"}').cast("b"), 11, False),
    ],
)
def test_decode_limits_bytes_of_utf8(message: Any, limit: int, fits: bool) -> None:
    if fits:
        assert isinstance(wire.decode(message, limit), dict)
    else:
        with pytest.raises(WireError, match=f"at most {limit}"):
            wire.decode(message, limit)


def test_decode_keeps_lone_surrogates_and_big_integers(codec: Codec) -> None:
    event = wire.decode('{"type":"x","delta":"\\ud83d","n":' + "1" * 400 + "}", codec=codec)
    assert event == {"type": "x", "delta": "\ud83d", "n": int("1" * 400)}


def test_errors_do_not_quote_the_message(codec: Codec) -> None:
    secret = '{"type":"x","transcript":"my card is 4111", oops}'
    with pytest.raises(WireError) as caught:
        wire.decode(secret, codec=codec)
    assert "4111" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@given(wire_events)
def test_decode_of_encode_is_the_event(event: dict[str, Any]) -> None:
    assert wire.decode(wire.encode(event)) == event


@given(st.one_of(st.text(), st.binary(), wire_events.map(json.dumps)))
def test_decode_only_ever_raises_wire_errors(message: str | bytes) -> None:
    try:
        event = wire.decode(message, 10_000)
    except WireError:
        return
    assert wire.decode(wire.encode(event)) == event


def outcome(call: Any, *args: Any) -> Any:
    try:
        return repr(call(*args))
    except WireError as error:
        return str(error)


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(),
        wire_events.map(json.dumps),
        st.text(alphabet='{}[]",:\\/ud8f0eE+-.19 \ntype').map(lambda t: '{"type":"x",' + t),
    )
)
def test_the_fast_codec_decides_as_the_standard_one(message: str) -> None:
    pytest.importorskip("msgspec")
    fast = functools.partial(wire.decode, codec=fast_codec())
    assert outcome(fast, message) == outcome(wire.decode, message)


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(),
        wire_events.map(json.dumps),
        st.text(alphabet='",:\\/ud8f0eE+-.19 \ntype').map(lambda t: '{"type":"x",' + t + "}"),
    )
)
@example('{"type":"x","n":1e999}')
@example('{"type":"x","n":-1e999}')
@example('{"type":"x","n":NaN}')
@example('{"type":"x","v":[1e999]}')
@example('{"type":"x","v":"\\ud83d"}')
@example('{"type":"x","n":' + "1" * 5000 + "}")
@example('"text"')
@example("1e999")
def test_the_default_codec_decides_as_the_standard_one(message: str) -> None:
    quick = functools.partial(wire.decode, codec=default_codec())
    assert outcome(quick, message) == outcome(wire.decode, message)


def test_the_default_codec_uses_the_parser_of_pydantic_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_codec().packages == ("pydantic_core",)
    monkeypatch.setitem(sys.modules, "pydantic_core", None)
    assert default_codec.__wrapped__() is STANDARD


def test_fast_codec_says_what_it_uses() -> None:
    pytest.importorskip("msgspec")
    pytest.importorskip("pybase64")
    assert fast_codec().packages == ("msgspec", "pybase64")


@pytest.mark.parametrize(("missing", "used"), [("msgspec", "pybase64"), ("pybase64", "msgspec")])
def test_fast_codec_uses_the_package_that_is_there(
    monkeypatch: pytest.MonkeyPatch, missing: str, used: str
) -> None:
    pytest.importorskip(used)
    monkeypatch.setitem(sys.modules, missing, None)
    codec = fast_codec()
    assert codec.packages == (used,)
    event = wire.decode(wire.encode_audio_append(b"\x01\x02", codec), codec=codec)
    assert wire.decode_audio(event["audio"], codec) == b"\x01\x02"


def test_fast_codec_without_the_packages_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    monkeypatch.setitem(sys.modules, "pybase64", None)
    with pytest.raises(MissingExtraError, match=r"voxwire\[fast\]"):
        fast_codec()


# --- encode -----------------------------------------------------------------------------------


def test_encode_is_compact_and_keeps_unicode() -> None:
    assert (
        wire.encode({"type": "x", "a": [1, None, True], "t": "é"}) == '{"type":"x","a":[1,null,true],"t":"é"}'
    )


def test_encode_takes_mappings_and_tuples() -> None:
    event = MappingProxyType({"type": "x", "v": MappingProxyType({"a": (1, 2)})})
    assert wire.encode(event) == '{"type":"x","v":{"a":[1,2]}}'


def test_encode_escapes_lone_surrogates_so_that_utf8_can_carry_them() -> None:
    event = {"type": "x", "a": "\ud83d", "b": "ü"}
    text = wire.encode(event)
    assert wire.decode(text.encode("utf-8")) == event
    assert wire.decode(wire.encode({"type": "x", "t": "\ud83d\ude00"}))["t"] == "😀"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"type": "x", "a": {"b": [0, math.nan]}}, r"a\.b\[1\] is nan"),
        ({"type": "x", "a": math.inf}, "a is inf"),
        ({"type": "x", "session": {"voice": UNSET}}, r"session\.voice is UNSET; leave the key out"),
        ({"type": "x", "audio": b"abc"}, "audio is bytes; audio goes on the wire as base64"),
        ({"type": "x", "a": {1, 2}}, "a is of type set"),
        ({"type": "x", "a": {b"k": 1}}, "a has the key b'k'"),
        ({"type": "x", b"k": 1}, "the event has the key b'k'"),
        ({"type": "x", "n": 10**5000}, "'x' cannot be sent: .*digits"),
        ({"kind": "x"}, 'needs a string "type"'),
        ({"type": 5}, 'needs a string "type"'),
    ],
)
def test_encode_names_what_cannot_be_sent(event: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        wire.encode(event)


def test_encode_refuses_an_event_that_contains_itself() -> None:
    event: dict[str, Any] = {"type": "x"}
    event["a"] = [event]
    with pytest.raises(UserError, match="contains itself"):
        wire.encode(event)


def test_encode_refuses_endless_depth() -> None:
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]
    with pytest.raises(UserError, match="nested deeper"):
        wire.encode({"type": "x", "a": deep})
    while deep:  # let go of it level by level, not by recursion
        deep = deep[0]


# --- audio ------------------------------------------------------------------------------------


@given(st.binary(max_size=4000))
def test_audio_round_trip(pcm: bytes) -> None:
    event = wire.decode(wire.encode_audio_append(pcm))
    assert event == {"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()}
    assert wire.decode_audio(event["audio"]) == pcm


def test_audio_of_any_buffer(codec: Codec) -> None:
    pcm = os.urandom(960)
    expected = wire.encode_audio_append(pcm, codec)
    assert wire.encode_audio_append(bytearray(pcm), codec) == expected
    assert wire.encode_audio_append(memoryview(pcm), codec) == expected
    assert wire.decode_audio(json.loads(expected)["audio"], codec) == pcm


@pytest.mark.parametrize(
    "b64", ["YQ", "YQ=", "Y Q==", "YQ==\n", "YQ==YQ==", "====", "A===", "-_--", "é===", 5, None]
)
def test_decode_audio_is_strict(codec: Codec, b64: Any) -> None:
    with pytest.raises(WireError, match="not base64"):
        wire.decode_audio(b64, codec)


@pytest.mark.parametrize("make", [default_codec, fast_codec])
@settings(max_examples=300)
@given(b64=st.one_of(st.text(alphabet="AQgw=+/-_ \n", max_size=12), st.text(max_size=8)))
@example(b64="QR==")  # bits that are left over
@example(b64="\ud83dAAA")
def test_other_base64_decides_as_the_standard_one(make: Callable[[], Codec], b64: str) -> None:
    pytest.importorskip("pybase64")
    other = functools.partial(wire.decode_audio, codec=make())
    assert outcome(other, b64) == outcome(wire.decode_audio, b64)


@pytest.mark.parametrize("answer", [b"+/8=", ValueError("no base64")])
def test_a_pydantic_without_base64_leaves_it_to_the_standard_library(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception
) -> None:
    class Validator:
        def __init__(self, *_schema: object) -> None:
            pass

        def validate_strings(self, _text: str) -> bytes:
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr("pydantic_core.SchemaValidator", Validator)
    assert default_codec.__wrapped__().b64decode is STANDARD.b64decode


# --- the fuzz target --------------------------------------------------------------------------


def test_fuzz_target_runs() -> None:
    script = ROOT / "fuzz" / "fuzz_wire.py"
    done = subprocess.run(
        [sys.executable, str(script), "--seconds", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "messages" in done.stdout
