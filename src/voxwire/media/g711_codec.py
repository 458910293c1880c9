"""G.711 as a codec for RTP (RFC 3551 sections 4.5.14 and 6): payload types 0 and 8, 8 kHz."""

from __future__ import annotations

from typing import Final, Literal

from .codecs import DecodeError
from .comfort import ComfortNoise
from .concealment import Concealment
from .g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw

__all__ = ["COMFORT_TYPE", "PAYLOAD_TYPES", "RATE", "G711Decoder", "G711Encoder", "Law"]

RATE: Final = 8_000
"""Of the samples and of the RTP clock, Hz."""
COMFORT_TYPE: Final = 13
"""Static payload type of comfort noise at 8 kHz (RFC 3389 section 4)."""
PAYLOAD_TYPES: Final[dict[Law, int]] = {"ulaw": 0, "alaw": 8}
"""Static payload types of PCMU and PCMA (RFC 3551 table 4)."""
_MAX_SAMPLES: Final = RATE * 120 // 1000

Law = Literal["ulaw", "alaw"]


class G711Encoder:
    """Mono PCM16 at 8 kHz to PCMU (`ulaw`) or PCMA (`alaw`), one byte a sample."""

    def __init__(self, law: Law = "ulaw") -> None:
        self.sample_rate = self.clock_rate = RATE
        self._encode = encode_alaw if law == "alaw" else encode_ulaw

    def encode(self, pcm: bytes, /) -> bytes:
        """The payload of a frame of any length."""
        return self._encode(pcm)

    def close(self) -> None:
        """Nothing is held."""


class G711Decoder:
    """PCMU (`ulaw`) or PCMA (`alaw`) to mono PCM16 at 8 kHz.

    What is lost is concealed by repeating the last pitch periods (`Concealment`); behind that, and while the
    peer is silent, there is comfort noise.
    """

    def __init__(self, law: Law = "ulaw") -> None:
        self.sample_rate = self.clock_rate = RATE
        self._decode = decode_alaw if law == "alaw" else decode_ulaw
        self._concealment = Concealment(RATE)
        self._noise = ComfortNoise()

    def samples(self, payload: bytes, /) -> int:
        """Its length: a byte is a sample. 0 beyond 120 ms, which nobody sends."""
        return len(payload) if len(payload) <= _MAX_SAMPLES else 0

    def has_fec(self, payload: bytes, /) -> bool:
        """Never."""
        del payload
        return False

    def is_dtx(self, payload: bytes, /) -> bool:
        """Never: a sender that falls silent says so by a comfort noise packet, or not at all."""
        del payload
        return False

    def decode(self, payload: bytes, /) -> bytes:
        """The payload's audio; after made-up audio it is faded in.

        Raises:
            DecodeError: if there is none.
        """
        if not payload:
            raise DecodeError("a G.711 payload without a byte")
        return self._concealment.heard(self._decode(payload))

    def decode_fec(self, payload: bytes, samples: int, /) -> bytes:
        """As `conceal`: G.711 has no copies."""
        del payload
        return self.conceal(samples)

    def conceal(self, samples: int, /) -> bytes:
        """Audio in place of what was lost, fading to comfort noise within 60 ms."""
        noise = self._noise.make(samples)
        return self._concealment.made_up(samples, noise)

    def comfort(self, samples: int, /) -> bytes:
        """Comfort noise; what was being said fades out under it."""
        return self.conceal(samples)

    def learn_comfort(self, payload: bytes, /) -> None:
        """Take the noise's level from a comfort noise packet (RFC 3389)."""
        self._noise.learn(payload)

    def close(self) -> None:
        """Nothing is held."""
