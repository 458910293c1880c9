"""The service's voice names and speeds in terms of espeak-ng."""

from __future__ import annotations

import re
import zlib

__all__ = ["espeak_speed", "espeak_voice"]

_VARIANTS = {
    "marin": "f3",
    "cedar": "m3",
    "alloy": "f1",
    "ash": "m2",
    "ballad": "m7",
    "coral": "f2",
    "echo": "m1",
    "sage": "f4",
    "shimmer": "f5",
    "verse": "m4",
}
_LANGUAGES = {"en": "en-us", "zh": "cmn", "no": "nb", "pt": "pt"}
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
_NATIVE = re.compile(r"espeak:([a-zA-Z0-9-]+(?:\+[a-zA-Z0-9_-]+)?)")


def espeak_voice(voice: str | None, language: str | None) -> str:
    """The name for `-v`: language plus variant.

    `espeak:NAME` passes NAME through. A name that is not known gets one of the variants,
    always the same one, so that agents with different voices sound different.
    """
    native = _NATIVE.fullmatch(voice or "")
    if native:
        return native[1]
    tag = (language or "en").lower().replace("_", "-")
    base = _LANGUAGES.get(tag, tag) if _LANGUAGE.fullmatch(tag) else "en-us"
    name = (voice or "marin").lower()
    variants = list(_VARIANTS.values())
    variant = _VARIANTS.get(name) or variants[zlib.crc32(name.encode()) % len(variants)]
    return f"{base}+{variant}"


def espeak_speed(speed: float) -> int:
    """Words per minute for `-s`; 1.0 is 170, and espeak-ng takes 80 to 450."""
    return round(max(80.0, min(450.0, 170.0 * speed)))
