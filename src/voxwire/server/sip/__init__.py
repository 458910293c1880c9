"""SIP: the embedded server's phone line (a user agent by RFC 3261, and the audio of its calls), and a phone to call with.

`SipPhone` places calls from a program, to this line or any other. Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .phone import SipPhone
    from .phone_call import (
        CallRefused,
        HoldChanged,
        KeyPressed,
        PhoneCall,
        PhoneEvent,
        Ringing,
        TransferRequested,
    )

__all__ = [
    "CallRefused",
    "HoldChanged",
    "KeyPressed",
    "PhoneCall",
    "PhoneEvent",
    "Ringing",
    "SipPhone",
    "TransferRequested",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "phone" if name == "SipPhone" else "phone_call"
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
