from __future__ import annotations

import logging
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxwire.audio.recording import StereoRecorder
from voxwire.audio.wav import read_wav
from voxwire.errors import ConfigError, UserError
from voxwire.protocol.formats import PCM16, PCMU, AudioFormat
from voxwire.protocol.playout import PlayoutModel

RATE = 8000
NARROW = AudioFormat(rate=RATE)


def level(value: int, ms: float, format: AudioFormat = NARROW) -> bytes:
    return struct.pack("<h", value) * int(format.rate * ms / 1000)


def channels(path) -> tuple[list[int], list[int]]:
    out = []
    for channel in (0, 1):
        pcm = read_wav(path, channel=channel).pcm
        out.append(list(struct.unpack(f"<{len(pcm) // 2}h", pcm)))
    return out[0], out[1]


def runs(samples: list[int]) -> list[tuple[int, float, float]]:
    """(value, from ms, to ms) of each stretch that is not silent."""
    found: list[tuple[int, float, float]] = []
    begin = 0
    for at in range(1, len(samples) + 1):
        if at == len(samples) or samples[at] != samples[begin]:
            if samples[begin]:
                found.append((samples[begin], begin * 1000 / RATE, at * 1000 / RATE))
            begin = at
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "call.wav"


def test_both_sides_on_one_axis(path):
    recorder = StereoRecorder(path, RATE)
    for n in range(50):
        recorder.user(level(100, 20), NARROW, 1000 + 0.02 * (n + 1))  # each piece ends when it is handed in
    recorder.agent(level(7, 500), NARROW, 1000.4)
    recorder.agent(level(8, 500), NARROW, 1000.4)  # faster than real time: queues behind
    recorder.close(1003)
    left, right = channels(path)
    assert len(left) == len(right) == 3 * RATE
    assert runs(left) == [(100, 0, 1000)]
    # The clock does not run backwards: 1000.4 came after 1001.0.
    assert runs(right) == [(7, 1000, 1500), (8, 1500, 2000)]
    assert recorder.duration_ms == 3000


def test_gaps_are_silence(path):
    recorder = StereoRecorder(path, RATE, start=10)
    recorder.agent(level(5, 100), NARROW, 10.25)
    recorder.user(level(3, 100), NARROW, 11)
    recorder.agent(level(6, 100), NARROW, 14)
    recorder.user(level(4, 100), NARROW, 14.05)
    recorder.close(15)
    left, right = channels(path)
    assert runs(left) == [(3, 900, 1000), (4, 3950, 4050)]
    assert runs(right) == [(5, 250, 350), (6, 4000, 4100)]


def test_what_was_not_heard_is_not_there(path):
    recorder = StereoRecorder(path, RATE, start=0)
    recorder.agent(level(5, 5000), NARROW, 1)
    recorder.agent(level(6, 5000), NARROW, 1)
    recorder.cut_agent(3.5)
    recorder.agent(level(7, 100), NARROW, 4)
    recorder.cut_agent(6)  # nothing is left to cut
    recorder.agent(level(8, 5000), NARROW, 7)
    recorder.close(8)
    _, right = channels(path)
    assert runs(right) == [(5, 1000, 3500), (7, 4000, 4100), (8, 7000, 8000)]
    assert len(right) == 8 * RATE


def test_a_cut_between_two_pieces(path):
    recorder = StereoRecorder(path, RATE, start=0)
    recorder.agent(level(5, 100), NARROW, 0)
    recorder.agent(level(6, 100), NARROW, 0)
    recorder.cut_agent(0.1)
    recorder.agent(level(7, 100), NARROW, 0.1)
    recorder.close(1)
    assert runs(channels(path)[1]) == [(5, 0, 100), (7, 100, 200)]


def test_jitter_makes_no_gaps(path):
    recorder = StereoRecorder(path, RATE, start=0)
    for n in range(200):
        now = 0.02 * (n + 1) + (0.05 if n % 7 == 3 else 0) + (0.005 if n % 2 else 0)
        recorder.user(level(100, 20), NARROW, now)
        recorder.agent(level(50, 20), NARROW, now)
    recorder.close(5)
    left, right = channels(path)
    assert [(value, round(end - begin)) for value, begin, end in runs(left)] == [(100, 4000)]
    assert len(runs(right)) == 1 + (runs(right)[0][2] < 4000)
    assert runs(left)[0][1] <= 75


def test_resampled_audio_stays_in_place(path):
    recorder = StereoRecorder(path, RATE, start=0)
    for second in (1, 4):
        recorder.agent(level(1000, 300, PCM16), PCM16, second)
        recorder.user(level(2000, 300, PCM16), PCM16, second + 0.3)
    recorder.close(6)
    for samples, value in zip(channels(path), (2000, 1000), strict=True):
        assert len(samples) == 6 * RATE
        for second in (1, 4):
            loud = [
                at for at in range((second - 1) * RATE, (second + 2) * RATE) if abs(samples[at]) > value / 2
            ]
            assert loud[0] / RATE == pytest.approx(second, abs=0.001)
            # To its last sample, although the resampler held it back when the speech was over.
            assert loud[-1] / RATE == pytest.approx(second + 0.3, abs=0.001)
            assert len(loud) == loud[-1] - loud[0] + 1


def test_formats_may_change(path):
    recorder = StereoRecorder(path, RATE, start=0)
    recorder.agent(level(1000, 100), NARROW, 0)
    recorder.agent(b"\x80" * 800, PCMU, 0)
    recorder.close(1)
    assert runs(channels(path)[1]) == [(1000, 0, 100), (32124, 100, 200)]


def test_the_user_may_be_ahead_of_the_clock(path):
    recorder = StereoRecorder(path, RATE)
    recorder.user(level(1, 2000), NARROW, 50)
    recorder.user(level(2, 2000), NARROW, 50)
    assert recorder.duration_ms == 4000
    recorder.close(51)
    left, right = channels(path)
    assert runs(left) == [(1, 0, 2000), (2, 2000, 4000)]
    assert len(right) == 4 * RATE


def test_late_user_audio_goes_where_there_is_room(path):
    recorder = StereoRecorder(path, RATE, start=0)
    recorder.user(level(1, 100), NARROW, 0.1)
    recorder.agent(level(9, 100), NARROW, 5)  # what lies more than a second back is on disk now
    recorder.user(level(2, 3000), NARROW, 5)
    recorder.close(8)
    left, _ = channels(path)
    assert runs(left) == [(1, 0, 100), (2, 4000, 7000)]


def test_goes_to_disk_as_it_settles(path):
    recorder = StereoRecorder(path, RATE, start=0)
    pending = 0
    for n in range(60 * 50):
        recorder.user(level(100, 20), NARROW, 0.02 * (n + 1))
        pending = max(pending, sum(len(piece) for _, piece in recorder._user._pieces))
    assert pending <= 1.3 * RATE
    on_disk = read_wav(path, channel=0)  # readable while it is written
    assert on_disk.duration_ms >= 57_000
    recorder.close(60)


def test_long_pauses_are_written(path):
    recorder = StereoRecorder(path, RATE, start=0)
    recorder.cut_agent(30)
    recorder.close(90)
    assert read_wav(path).duration_ms == 90_000


def test_no_room_means_dropped_and_logged(path, caplog):
    recorder = StereoRecorder(path, RATE, start=0, max_pending_ms=1000)
    with caplog.at_level(logging.WARNING, "voxwire.audio"):
        for _ in range(5):
            recorder.agent(level(5, 600), NARROW, 0)
    assert len(caplog.records) == 1
    assert "agent" in caplog.text
    recorder.close(10)
    assert runs(channels(path)[1]) == [(5, 0, 1200)]


def test_peaks(path):
    with StereoRecorder(path, RATE, start=0) as recorder:
        recorder.user(level(16384, 1000), NARROW, 1)
        recorder.agent(level(-16384, 1000), NARROW, 1)
        recorder.cut_agent(2)
    assert recorder.duration_ms == 2000
    user, agent = recorder.peaks(4)
    # Buckets are 32 ms wide here, so a boundary may show up on both sides of it.
    assert [high for _, high in user[:2]] == [0.5, 0.5]
    assert user[3] == (0, 0)
    assert agent[0] == (0, 0)
    assert [low for low, _ in agent[2:]] == [-0.5, -0.5]


def test_misuse(path):
    with pytest.raises(ConfigError, match="max_pending_ms is 0"):
        StereoRecorder(path, max_pending_ms=0)
    with pytest.raises(ConfigError, match="0 samples per second"):
        StereoRecorder(path, rate=0)
    recorder = StereoRecorder(path, RATE, start=0)
    with pytest.raises(UserError, match="another clock"):
        recorder.agent(b"", NARROW, 1e6)
    recorder.close(1)
    recorder.close(2)
    assert recorder.duration_ms == 1000
    for call in (recorder.user, recorder.agent):
        with pytest.raises(UserError, match="closed"):
            call(b"", NARROW, 3)


def test_leaving_without_any_audio(path):
    with StereoRecorder(path, RATE) as recorder:
        pass
    assert recorder.duration_ms == 0
    assert read_wav(path).pcm == b""


EVENTS = st.lists(
    st.tuples(st.sampled_from(["agent", "cut"]), st.integers(0, 3000), st.integers(41, 2500)), max_size=20
)


@given(EVENTS)
@settings(max_examples=40, deadline=None)
def test_agrees_with_the_playout_model(tmp_path_factory, events):
    """Each sample of the file is the one that a real-time speaker plays at that time."""
    path = tmp_path_factory.mktemp("rec") / "call.wav"
    recorder, model = StereoRecorder(path, RATE, start=0), PlayoutModel()
    expected: list[tuple[int, float, float]] = []
    now_ms = value = 0
    for what, ms, wait in events:
        now_ms += wait
        if what == "agent":
            value += 1
            # Within the jitter allowance the recorder follows on where the model starts late.
            idle = (model.idle_at() or 0) * 1000
            if 0 < now_ms - idle <= 41:
                now_ms += 50
            recorder.agent(level(value, ms), NARROW, now_ms / 1000)
            begin = model.write(ms, now_ms / 1000) * 1000
            expected.append((value, begin, begin + ms))
        else:
            recorder.cut_agent(now_ms / 1000)
            model.clear(now_ms / 1000)
            expected = [(v, b, min(e, now_ms)) for v, b, e in expected if b < now_ms]
    end = now_ms + 10_000
    recorder.close(end / 1000)
    model.clear(end / 1000)
    expected = [(v, b, min(e, end)) for v, b, e in expected if b < min(e, end)]
    found = runs(channels(path)[1])
    assert [v for v, _, _ in found] == [v for v, _, _ in expected]
    for (_, begin, stop), (_, due, over) in zip(found, expected, strict=True):
        assert begin == pytest.approx(due, abs=0.2)
        assert stop == pytest.approx(over, abs=0.2)
    assert sum(stop - begin for _, begin, stop in found) == pytest.approx(model.heard_ms(end / 1000), abs=5)


def test_a_disk_that_fills_up_leaves_no_file_open(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    recorder = StereoRecorder(tmp_path / "a.wav", RATE, start=0.0)
    recorder.user(level(1, 500), NARROW, 0.5)
    recorder._writer._file.close()
    recorder._writer._file = full.open("wb", buffering=0)
    with pytest.raises(OSError, match="No space"):
        recorder.close(0.5)
    recorder.close(0.5)  # it is over
    with pytest.raises(UserError, match="closed"):
        recorder.user(level(1, 20), NARROW, 0.6)
