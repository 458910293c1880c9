"""Where libopus is, and its functions as `ctypes` sees them."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias

from ..errors import MissingExtraError

__all__ = ["Request", "created", "find_libopus", "load_libopus", "message_of"]

Libopus: TypeAlias = Any
"""A loaded library; `ctypes` knows its functions only by what `load_libopus` declares."""

_IN_WHEEL: Final = (
    "../av.libs/libopus-*.so*",  # Linux (auditwheel)
    ".dylibs/libopus.*dylib",  # macOS (delocate)
    "../av.libs/libopus-*.dll",  # Windows (delvewheel)
    "../av.libs/opus-*.dll",
)
"""Where the wheels of PyAV carry it, seen from the package."""


class Request:
    """Requests to `opus_encoder_ctl` (libopus, `opus_defines.h`)."""

    SET_BITRATE: Final = 4002
    SET_COMPLEXITY: Final = 4010
    SET_INBAND_FEC: Final = 4012
    SET_PACKET_LOSS_PERC: Final = 4014
    SET_DTX: Final = 4016
    SET_SIGNAL: Final = 4024
    SIGNAL_VOICE: Final = 3001
    NAMES: ClassVar[dict[int, str]] = {
        SET_BITRATE: "the bit rate (bit/s)",
        SET_COMPLEXITY: "the complexity",
        SET_INBAND_FEC: "forward error correction",
        SET_PACKET_LOSS_PERC: "the expected loss (percent)",
        SET_DTX: "discontinuous transmission",
        SET_SIGNAL: "the kind of signal",
    }


def find_libopus() -> str:
    """Path or name of libopus: of PyAV's wheel (which is not imported for that), else the system's.

    Raises:
        MissingExtraError: if there is neither.
    """
    spec = importlib.util.find_spec("av")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for pattern in _IN_WHEEL:
            folder, _, name = pattern.rpartition("/")
            if found := sorted((package / folder).glob(name)):
                return str(found[0].resolve())
    system = ctypes.util.find_library("opus")
    if system is None:
        raise MissingExtraError("Opus audio, on a system without a libopus of its own,", "webrtc", "av")
    return system


@cache
def load_libopus() -> Libopus:
    """The library with the signatures of its functions declared; loaded once.

    It is called with the interpreter lock held (`PyDLL`): a frame takes 0.02 to 0.3 ms, and giving the lock up for that
    means waiting up to 5 ms to get it back whenever another thread computes.

    Raises:
        MissingExtraError: if there is none, or it cannot be loaded.
    """
    path = find_libopus()
    try:
        lib = ctypes.PyDLL(path)
    except OSError as error:
        raise MissingExtraError(
            f"Opus audio (the libopus at {path} cannot be loaded: {error})", "webrtc", "av"
        ) from error
    pointer, number = ctypes.c_void_p, ctypes.c_int
    _declare(lib, "opus_strerror", ctypes.c_char_p, number)
    _declare(lib, "opus_encoder_create", pointer, ctypes.c_int32, number, number, ctypes.POINTER(number))
    _declare(lib, "opus_encoder_destroy", None, pointer)
    _declare(lib, "opus_encoder_ctl", number, pointer, number)  # variadic: the value comes on top
    _declare(lib, "opus_encode", ctypes.c_int32, pointer, ctypes.c_char_p, number, pointer, ctypes.c_int32)
    _declare(lib, "opus_decoder_create", pointer, ctypes.c_int32, number, ctypes.POINTER(number))
    _declare(lib, "opus_decoder_destroy", None, pointer)
    _declare(lib, "opus_decode", number, pointer, ctypes.c_char_p, ctypes.c_int32, pointer, number, number)
    return lib


def _declare(lib: Libopus, name: str, result: Any, *arguments: Any) -> None:
    function = getattr(lib, name)
    function.restype, function.argtypes = result, arguments


def created(create: Callable[..., int | None], *arguments: int) -> int:
    """The encoder or decoder that `create` makes of arguments already checked.

    Raises:
        MemoryError: if it makes none.
    """
    error = ctypes.c_int()
    state = create(*arguments, ctypes.byref(error))
    if not state or error.value:
        raise MemoryError(f"libopus made no {create.__name__} of {arguments}: error {error.value}")
    return state


def message_of(lib: Libopus, code: int) -> str:
    """The library's words for an error code."""
    words: bytes = lib.opus_strerror(code)
    return words.decode()
