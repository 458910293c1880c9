"""One audio stream from one format to another, piece by piece, without seams.

Resampling every piece on its own clicks at each boundary; the classes here keep the filter's
memory between pieces instead: however a stream is cut up, the same bytes come out.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal, Protocol

from ..errors import ConfigError, MissingExtraError
from ..protocol.formats import AudioFormat
from . import g711
from .fir_blocks import BlockFir, suits

__all__ = ["Backend", "Converter", "Resampler", "convert"]

Backend = Literal["auto", "soxr", "python", "prompt"]


class _Stream(Protocol):
    def feed(self, pcm: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Resampler:
    """A mono s16le stream from `rate_in` to `rate_out` (Hz).

    On `soxr` (extra `audio` or `server`) it uses about 1 ms of CPU per second of audio and holds
    back 5 to 15 ms between 16 and 48 kHz, up to 30 ms from or to 8 kHz. Without it, a filter in plain
    Python (see `fir`) holds back 1 to 4 ms, at some hundred times the cost. `finish` gives out what is held back.

    Args:
        rate_in: sample rate of what is fed, Hz.
        rate_out: sample rate of what comes out, Hz.
        backend: `soxr`, `python`, or `auto` for the first of them that is installed. `prompt` is for live audio in small
            pieces: the same filter as `python` on numpy (see `fir_blocks`), which holds back 4 ms at most, and takes
            less than half of soxr's time for 20 ms; where it cannot be used, as `auto`.

    Raises:
        ConfigError: if a rate is not positive.
        MissingExtraError: if `backend="soxr"` and it is not installed.
    """

    def __init__(self, rate_in: int, rate_out: int, *, backend: Backend = "auto") -> None:
        for rate in (rate_in, rate_out):
            if rate <= 0:
                raise ConfigError(f"a sample rate of {rate!r} Hz cannot be resampled; it must be positive")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self._open = _opener(rate_in, rate_out, backend)
        self._stream: _Stream = self._open()
        self._carry = b""

    def feed(self, pcm: bytes, last: bool = False) -> bytes:
        """Output for which enough input has arrived; a sample may be split between two pieces.

        Args:
            pcm: any number of bytes, also none.
            last: the stream ends here: the held back part comes too, half a sample is dropped, and the
                next call begins a new stream.
        """
        if self._carry:
            pcm = self._carry + pcm
        whole = len(pcm) & ~1
        self._carry = b"" if last else bytes(pcm[whole:])
        out = self._stream.feed(bytes(pcm[:whole])) if whole else b""
        if last:
            out += self._stream.finish()
            self._stream = self._open()
        return out


class Converter:
    """A stream from one `AudioFormat` to another: G.711 decoding, resampling, G.711 encoding.

    Raises:
        ConfigError, MissingExtraError: as `Resampler`.
    """

    def __init__(self, source: AudioFormat, target: AudioFormat, *, backend: Backend = "auto") -> None:
        self.source = source
        self.target = target
        self._same = source == target and source.sample_bytes == 1
        self._decode = _DECODERS.get(source.type)
        self._encode = _ENCODERS.get(target.type)
        self._resampler = Resampler(source.rate, target.rate, backend=backend)

    def feed(self, data: bytes, last: bool = False) -> bytes:
        """As `Resampler.feed`, with bytes of `source` in and bytes of `target` out."""
        if self._same:
            return data
        pcm = self._decode(data) if self._decode else data
        pcm = self._resampler.feed(pcm, last)
        return self._encode(pcm) if self._encode else pcm


def convert(data: bytes, source: AudioFormat, target: AudioFormat) -> bytes:
    """A whole recording from one format to another; for a stream, keep a `Converter`."""
    return Converter(source, target).feed(data, last=True)


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "audio/pcmu": g711.decode_ulaw,
    "audio/pcma": g711.decode_alaw,
}
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "audio/pcmu": g711.encode_ulaw,
    "audio/pcma": g711.encode_alaw,
}


def _opener(rate_in: int, rate_out: int, backend: Backend) -> Callable[[], _Stream]:
    if rate_in == rate_out:
        return _Same
    if backend == "prompt" and suits(rate_in, rate_out) and find_spec("numpy") is not None:
        return lambda: BlockFir(rate_in, rate_out)
    if backend != "python":
        try:
            return _soxr_opener(rate_in, rate_out)
        except ImportError as error:
            if backend == "soxr":
                raise MissingExtraError("Resampling with soxr", "audio", "soxr") from error

    def open_fir() -> _Stream:
        from .fir import Fir

        return Fir(rate_in, rate_out)

    return open_fir


class _Same:
    def feed(self, pcm: bytes) -> bytes:
        return pcm

    def finish(self) -> bytes:
        return b""


class _Soxr:
    # Float samples, rounded here: with integers soxr adds dither, which depends on how the stream is cut.
    def __init__(self, np: Any, stream: Any) -> None:
        self._np = np
        self._stream = stream

    def feed(self, pcm: bytes) -> bytes:
        return self._run(pcm, last=False)

    def finish(self) -> bytes:
        return self._run(b"", last=True)

    def _run(self, pcm: bytes, *, last: bool) -> bytes:
        np = self._np
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
        out = np.rint(self._stream.resample_chunk(samples, last=last))
        result: bytes = np.clip(out, -32768, 32767).astype("<i2").tobytes()
        return result


def _soxr_opener(rate_in: int, rate_out: int) -> Callable[[], _Stream]:
    import numpy as np
    import soxr  # type: ignore[import-untyped,unused-ignore]

    # The variable-rate engine (soxr 1.1) filters in the time domain: the fixed-rate one works on
    # blocks of 1024 and more samples and holds back 37 ms at 24 kHz, 73 ms at 8 kHz (measured).
    library: Any = soxr

    def open_stream() -> _Stream:
        try:
            stream = library.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ", vr=True)
        except TypeError:  # an older soxr
            stream = library.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
        return _Soxr(np, stream)

    return open_stream
