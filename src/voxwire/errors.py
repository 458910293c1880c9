"""Every error voxwire raises or emits.

An error says whose fault it is, whether trying again can help, and which client
event it answers:

=======================  ==========  ==================================================
class                    fault       meaning
=======================  ==========  ==================================================
`UserError`              you         a call or a setting is wrong; the message says how
`ConfigError`            you         a setting has a value that cannot be used
`NotConnectedError`      you         the call needs a connection and there is none
`MissingExtraError`      you         an optional dependency is not installed
`DeviceError`            you         a microphone or loudspeaker cannot be used
`WireError`              peer        a message that is not a wire event
`SignatureError`         peer        a webhook that is not signed as it should be
`ModelBehaviorError`     provider    the model asked for something that does not exist
`ProviderError`          provider    the service answered with an `error` event or status
`AuthenticationError`    you         the service refused the key
`ConnectError`           network     no connection could be made
`ConnectTimeout`         network     it took too long
`ConnectionLost`         network     an open connection ended
`ToolTimeoutError`       you         a tool ran longer than its timeout
`GuardrailTimeoutError`  you         a guardrail took longer than it may
=======================  ==========  ==================================================
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

__all__ = [
    "AuthenticationError",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "DeviceError",
    "Fault",
    "GuardrailTimeoutError",
    "MissingExtraError",
    "ModelBehaviorError",
    "NotConnectedError",
    "ProviderError",
    "SignatureError",
    "ToolTimeoutError",
    "UserError",
    "VoxwireError",
    "WireError",
]

Fault = Literal["you", "peer", "provider", "network"]
SignatureFlaw = Literal["missing", "malformed", "mismatch", "too_old", "too_new"]


class VoxwireError(Exception):
    """Base of all errors of this package.

    Attributes:
        fault: who can do something about it.
        retryable: whether the same call can succeed later without a change.
        event_id: the client event that it answers, where the service named one.
    """

    fault: ClassVar[Fault] = "you"
    retryable: bool = False
    event_id: str | None = None


class UserError(VoxwireError):
    """A call cannot be carried out as it was made."""


class ConfigError(UserError, ValueError):
    """A setting has a value that cannot be used."""


class NotConnectedError(UserError):
    """The call needs an open connection."""


class MissingExtraError(UserError, ImportError):
    """An optional dependency is needed and not installed."""

    def __init__(self, feature: str, extra: str, package: str) -> None:
        super().__init__(
            f"{feature} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'voxwire[{extra}]'"
        )
        self.extra = extra
        self.package = package


class DeviceError(VoxwireError):
    """A microphone or loudspeaker is not there, or cannot be opened.

    Attributes:
        device: what was asked for: a name, an index, or None for the default.
        alternatives: names of the devices that could be used instead.
    """

    retryable = True

    def __init__(
        self, message: str, *, device: str | int | None = None, alternatives: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.device = device
        self.alternatives = alternatives


class WireError(VoxwireError):
    """A message that cannot be read as a wire event."""

    fault = "peer"


class SignatureError(VoxwireError):
    """A webhook that does not come from who knows the key, or not from now; do not act on it.

    Attributes:
        reason: `missing` or `malformed` headers, a `mismatch` of the signature, a time that is `too_old` or `too_new`.
    """

    fault = "peer"

    def __init__(self, reason: SignatureFlaw, message: str) -> None:
        super().__init__(message)
        self.reason: SignatureFlaw = reason


class ModelBehaviorError(VoxwireError):
    """The model did something that the session cannot follow."""

    fault = "provider"


class ProviderError(VoxwireError):
    """The service answered with an error.

    Attributes:
        type, code, param: as in the service's `error` object.
        status: the HTTP status, where the error came with one.
        raw: the untouched error body or wire event.
    """

    fault: ClassVar[Fault] = "provider"

    def __init__(
        self,
        message: str,
        *,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        event_id: str | None = None,
        status: int | None = None,
        retryable: bool = False,
        raw: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.event_id = event_id
        self.status = status
        self.retryable = retryable
        self.raw = raw


class AuthenticationError(ProviderError):
    """The service refused the key (HTTP 401 or 403)."""

    fault = "you"


class ConnectError(VoxwireError):
    """A connection could not be opened."""

    fault: ClassVar[Fault] = "network"
    retryable = True


class ConnectTimeout(ConnectError, TimeoutError):
    """A step of connecting took longer than its limit."""


class ConnectionLost(VoxwireError):
    """An open connection ended.

    Attributes:
        code: the WebSocket close code (RFC 6455 section 7.4), or None.
        reason: the peer's words, possibly empty.
    """

    fault = "network"
    retryable = True

    def __init__(self, message: str, *, code: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ToolTimeoutError(VoxwireError, TimeoutError):
    """A tool ran longer than its timeout (seconds)."""

    def __init__(self, tool_name: str, timeout: float) -> None:
        super().__init__(f"Tool {tool_name!r} timed out after {timeout:g} s.")
        self.tool_name = tool_name
        self.timeout = timeout


class GuardrailTimeoutError(VoxwireError, TimeoutError):
    """A guardrail took longer than it may, or audio waited longer for its guardrails than it may."""
