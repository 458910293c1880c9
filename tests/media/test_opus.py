from __future__ import annotations

import ctypes.util
import importlib.util
import math
from array import array
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.errors import ConfigError, MissingExtraError
from voxwire.media import libopus, opus
from voxwire.media.codecs import AudioDecoder, AudioEncoder, DecodeError
from voxwire.media.levels import rms_dbfs
from voxwire.media.libopus import find_libopus
from voxwire.media.opus import SAMPLE_RATES, OpusDecoder, OpusEncoder
from voxwire.media.opus_packet import has_fec, packet_samples

pytestmark = pytest.mark.needs_module("av")


def tone(ms: float, rate: int = 24_000, start_ms: float = 0, hertz: float = 200) -> bytes:
    """A voice-like hum: five harmonics."""
    first = start_ms * rate / 1000
    return array(
        "h",
        [
            int(
                sum(
                    4000 / part * math.sin(2 * math.pi * hertz * part * (first + at) / rate)
                    for part in range(1, 6)
                )
            )
            for at in range(round(ms * rate / 1000))
        ],
    ).tobytes()


def hum(frames: int, rate: int = 24_000) -> list[bytes]:
    return [tone(20, rate, 20 * index) for index in range(frames)]


@pytest.mark.parametrize("rate_in", SAMPLE_RATES)
@pytest.mark.parametrize("rate_out", SAMPLE_RATES)
def test_every_rate_to_every_rate(rate_in: int, rate_out: int):
    encoder, decoder = OpusEncoder(rate_in), OpusDecoder(rate_out)
    for frame in hum(10, rate_in):
        payload = encoder.encode(frame)
        assert decoder.samples(payload) == rate_out // 50
        pcm = decoder.decode(payload)
        assert len(pcm) == rate_out // 50 * 2
    assert rms_dbfs(pcm) == pytest.approx(rms_dbfs(frame), abs=2)
    encoder.close()
    decoder.close()


@pytest.mark.parametrize("ms", [2.5, 5, 10, 20, 40, 60])
def test_every_frame_length(ms: float):
    encoder, decoder = OpusEncoder(), OpusDecoder()
    payload = encoder.encode(tone(ms))
    assert decoder.samples(payload) == ms * 24
    assert len(decoder.decode(payload)) == ms * 48


@pytest.mark.parametrize(("count", "ms"), [(2, 40), (3, 60), (6, 120)])
def test_several_frames_in_one_payload(count: int, ms: int):
    """RFC 6716 section 3.2.5, code 3, constant length: PyAV's encoder never makes them, other senders do."""
    encoder, decoder = OpusEncoder(bitrate=24_000), OpusDecoder()
    payloads = [encoder.encode(frame) for frame in hum(count)]
    length = [len(payload) - 1 for payload in payloads]
    head = bytes((payloads[0][0] | 3, 0x80 | count))  # variable lengths
    joined = head + bytes(length[:-1]) + b"".join(payload[1:] for payload in payloads)
    assert max(length) < 252
    assert decoder.samples(joined) == ms * 24
    assert len(decoder.decode(joined)) == ms * 48


def test_stereo_is_mixed_down():
    """The stereo bit of the first byte is all that a CELT-only silence needs."""
    decoder = OpusDecoder()
    silent = bytes((31 << 3 | 4,)) + b"\xff\xfe"
    assert len(decoder.decode(silent)) == 960


def test_less_effort_gives_another_payload_of_the_same_length(speech):
    pcm = speech(24_000)[960 * 40 : 960 * 60]
    frames = [pcm[at : at + 960] for at in range(0, len(pcm), 960)]
    usual, saving = OpusEncoder(), OpusEncoder()
    saving.set_complexity(1)
    payloads = [(usual.encode(frame), saving.encode(frame)) for frame in frames]
    assert any(one != other for one, other in payloads)
    decoder = OpusDecoder()
    assert {decoder.samples(other) for _, other in payloads} == {480}
    with pytest.raises(ConfigError, match="complexity"):
        saving.set_complexity(11)
    saving.close()
    saving.set_complexity(1)  # nothing any more


def test_settings_out_of_range():
    for settings in ({"bitrate": 1 << 40}, {"bitrate": -5}, {"complexity": 11}):
        with pytest.raises(ConfigError, match="libopus refuses"):
            OpusEncoder(**settings)
    with pytest.raises(ConfigError, match="44100"):
        OpusEncoder(44_100)
    with pytest.raises(ConfigError, match="8000, 12000, 16000, 24000, 48000"):
        OpusDecoder(22_050)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        OpusEncoder(expected_loss=5)


def test_a_frame_of_no_legal_length():
    with pytest.raises(ConfigError, match="960 bytes"):
        OpusEncoder().encode(bytes(100))


def test_after_closing():
    encoder, decoder = OpusEncoder(), OpusDecoder()
    for codec in (encoder, decoder):
        codec.close()
        codec.close()
    with pytest.raises(ConfigError, match="closed"):
        encoder.encode(bytes(960))
    with pytest.raises(ConfigError, match="closed"):
        decoder.decode(b"\x68\x00")
    encoder.set_expected_loss(0.5)


def test_it_is_what_senders_and_receivers_take():
    assert isinstance(OpusEncoder(), AudioEncoder)
    assert isinstance(OpusDecoder(), AudioDecoder)
    assert OpusEncoder(16_000).clock_rate == OpusDecoder(16_000).clock_rate == 48_000


def test_bit_rate():
    sizes = {}
    for bitrate in (12_000, 24_000, 64_000):
        encoder = OpusEncoder(bitrate=bitrate)
        sizes[bitrate] = sum(len(encoder.encode(frame)) for frame in hum(50))
    assert sizes[12_000] < sizes[24_000] < sizes[64_000]
    assert sizes[24_000] * 8 == pytest.approx(24_000, rel=0.3)


def test_a_lost_frame_comes_back_from_the_next():
    encoder, decoder = OpusEncoder(fec=True), OpusDecoder()
    # Louder from frame 20 on: concealment would not know.
    frames = [bytes(960)] * 20 + hum(20)
    payloads = [encoder.encode(frame) for frame in frames]
    assert encoder.fec
    assert any(map(decoder.has_fec, payloads))
    lost = next(index for index in range(25, 40) if decoder.has_fec(payloads[index])) - 1
    for payload in payloads[:lost]:
        decoder.decode(payload)
    restored = decoder.decode_fec(payloads[lost + 1], 480)
    assert rms_dbfs(restored) == pytest.approx(rms_dbfs(frames[lost]), abs=4)
    assert len(decoder.decode(payloads[lost + 1])) == 960


def test_copies_are_made_only_where_the_peer_loses_packets(speech: Callable[[int], bytes]):
    encoder, pcm = OpusEncoder(), speech(24_000)[:96_000]

    def copies() -> int:
        payloads = [encoder.encode(pcm[at : at + 960]) for at in range(0, len(pcm), 960)]
        return sum(map(has_fec, payloads[2:]))

    assert (encoder.fec, copies()) == (False, 0)
    encoder.set_expected_loss(0.08)
    assert encoder.fec
    assert copies() > 40
    encoder.set_expected_loss(0.0)
    assert (encoder.fec, copies()) == (False, 0)
    encoder.set_expected_loss(0.0, fec=True)
    assert encoder.fec
    assert copies() > 0
    encoder.set_expected_loss(0.08, fec=False)
    assert (encoder.fec, copies()) == (False, 0)


def test_concealment_goes_on_and_fades():
    encoder, decoder = OpusEncoder(), OpusDecoder()
    for frame in hum(20):
        heard = decoder.decode(encoder.encode(frame))
    levels = [rms_dbfs(decoder.conceal(480)) for _ in range(25)]
    assert levels[0] == pytest.approx(rms_dbfs(heard), abs=6)
    assert levels[-1] < levels[0] - 30
    assert len(decoder.comfort(240)) == 480


@pytest.mark.parametrize("samples", [0, -60, 59, 61, 2940])
def test_lengths_that_cannot_be_concealed(samples: int):
    decoder = OpusDecoder()
    with pytest.raises(ConfigError, match=r"multiples of 60 samples up to 2880"):
        decoder.conceal(samples)


def test_silence_with_dtx_is_one_byte():
    encoder, decoder = OpusEncoder(dtx=True), OpusDecoder()
    for frame in hum(10):
        assert not decoder.is_dtx(encoder.encode(frame))
    payloads = [encoder.encode(bytes(960)) for _ in range(20)]
    assert decoder.is_dtx(payloads[-1])
    assert len(decoder.decode(payloads[-1])) == 960
    decoder.learn_comfort(b"\x40")


def test_malformed_payloads():
    decoder = OpusDecoder()
    for payload in (b"", b"\x6b", b"\x6b\x00", b"\x6b\x3f\x00"):
        assert decoder.samples(payload) == 0 or payload == b"\x6b\x3f\x00"
        with pytest.raises(DecodeError):
            decoder.decode(payload)
    with pytest.raises(DecodeError):
        decoder.decode_fec(b"\x6b\x00", 480)
    assert len(decoder.decode(OpusEncoder().encode(bytes(960)))) == 960, "and it goes on"


@given(st.binary(max_size=80))
def test_any_bytes(payload: bytes):
    """What the first bytes say is what libopus says, and nothing but `DecodeError` comes of it."""
    decoder = OpusDecoder(48_000)
    said = decoder.samples(payload)
    decoder.has_fec(payload)
    try:
        pcm = decoder.decode(payload)
    except DecodeError:
        return
    assert said * 2 == len(pcm)


@given(st.binary(min_size=1, max_size=30), st.sampled_from(SAMPLE_RATES))
def test_lengths_agree_with_libopus(payload: bytes, rate: int):
    lib = libopus.load_libopus()
    count = lib.opus_packet_get_nb_samples(payload, len(payload), rate)
    assert packet_samples(payload, rate) == max(0, count)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("ms", [10, 20, 40, 60])
def test_copies_are_seen_as_libopus_sees_them(rate: int, ms: int, speech: Callable[[int], bytes]):
    lib = libopus.load_libopus()
    if not hasattr(lib, "opus_packet_has_lbrr"):
        pytest.skip("this libopus is older than 1.5")
    pcm, size = speech(rate), rate * ms // 500
    for fec in (False, True):
        encoder = OpusEncoder(rate, expected_loss=0.1 * fec)
        payloads = [encoder.encode(pcm[at : at + size]) for at in range(0, 2 * rate, size)]
        assert any(map(has_fec, payloads)) == fec
        for payload in payloads:
            assert has_fec(payload) == (lib.opus_packet_has_lbrr(payload, len(payload)) == 1)


def test_copies_in_payloads_of_several_frames(speech: Callable[[int], bytes]):
    encoder, pcm = OpusEncoder(fec=True), speech(24_000)
    frames = (pcm[at : at + 960] for at in range(0, len(pcm), 960))
    with_copy = next(payload for payload in map(encoder.encode, frames) if has_fec(payload))
    toc, frame = with_copy[0], with_copy[1:]
    length = (
        bytes((len(frame),)) if len(frame) < 252 else bytes((252 + len(frame) % 4, (len(frame) - 252) // 4))
    )
    assert has_fec(bytes((toc | 1,)) + frame * 2)
    assert has_fec(bytes((toc | 2,)) + length + frame * 2)
    assert has_fec(bytes((toc | 3, 2)) + frame * 2)
    assert has_fec(bytes((toc | 3, 0x82)) + length + frame * 2)
    assert has_fec(bytes((toc | 3, 0x42, 3)) + frame * 2 + bytes(3))
    assert has_fec(bytes((toc | 3, 0x42, 255, 1)) + frame * 2 + bytes(255))
    assert not has_fec(bytes((toc | 3, 0x42, 255)))
    assert not has_fec(bytes((31 << 3,)) + frame), "CELT has none"
    assert not has_fec(bytes((toc,)))


# Finding the library


def test_the_one_in_the_wheel_is_found_without_importing_it():
    path = Path(find_libopus())
    assert path.exists()
    assert "opus" in path.name
    assert "libs" in path.parent.name


def test_else_the_system_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: f"lib{name}.so.0")
    assert find_libopus() == "libopus.so.0"
    spec = ModuleSpec("av", None, origin=str(tmp_path / "av" / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert find_libopus() == "libopus.so.0", "a package without the library, as from conda"


@pytest.mark.parametrize(
    "place",
    ["av.libs/libopus-0a1b2c3d.so.0.10.1", "av/.dylibs/libopus.0.dylib", "av.libs/libopus-0-ab12.dll"],
)
def test_where_wheels_carry_it(place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / "av").mkdir(exist_ok=True)
    (tmp_path / place).touch()
    spec = ModuleSpec("av", None, origin=str(tmp_path / "av" / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert Path(find_libopus()) == (tmp_path / place).resolve()


def test_without_any_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"voxwire\[webrtc\]"):
        find_libopus()


def test_a_library_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    broken = tmp_path / "libopus.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(libopus, "find_libopus", lambda: str(broken))
    with pytest.raises(MissingExtraError, match="cannot be loaded"):
        libopus.load_libopus.__wrapped__()


def test_on_a_machine_of_the_other_byte_order(monkeypatch: pytest.MonkeyPatch):
    straight = [OpusDecoder().decode(OpusEncoder().encode(frame)) for frame in hum(1)]
    monkeypatch.setattr(opus, "_SWAP", True)
    turned = array("h", hum(1)[0])
    turned.byteswap()
    out = array("h", OpusDecoder().decode(OpusEncoder().encode(turned.tobytes())))
    out.byteswap()
    assert [out.tobytes()] == straight


def test_an_encoder_that_cannot_be_made():
    def opus_encoder_create(*arguments: object) -> None:
        return None

    with pytest.raises(MemoryError, match="opus_encoder_create"):
        libopus.created(opus_encoder_create, 24_000, 1, 2048)
