"""The answer to Twilio's question what to do with a call: connect it to a media stream.

Source: Twilio documentation, "TwiML Voice: <Stream>". The stream's URL is `wss` and has no query: values go into
parameters, which come back in the stream's start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit
from xml.sax.saxutils import escape, quoteattr

from ..errors import ConfigError

__all__ = ["twiml"]

MAX_PARAMETER = 500
"""Characters in the name and the value of a parameter together, by Twilio's limit."""
# What XML 1.0 cannot hold, escaped or not (section 2.2).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def twiml(
    url: str,
    parameters: Mapping[str, str] | None = None,
    *,
    name: str | None = None,
    status_callback: str | None = None,
    say: str | None = None,
    goodbye: str | None = None,
) -> str:
    """TwiML that connects the call to a media stream, to be answered as `text/xml`.

    Args:
        url: of the endpoint; `https` becomes `wss`, `http` and `ws` are only for tests.
        parameters: attached to the stream: `custom_parameters` of the transport.
        name: of the stream.
        status_callback: URL that is told of the stream's state.
        say: spoken by Twilio before the stream begins.
        goodbye: spoken by Twilio after the stream has ended.

    Raises:
        ConfigError: if the URL has a query or no host, or a text is too long or cannot be in XML.
    """
    stream = {"url": _stream_url(url), "name": name, "statusCallback": status_callback}
    attributes = "".join(f" {key}={_quoted(value)}" for key, value in stream.items() if value is not None)
    inside = "".join(_parameter(key, value) for key, value in (parameters or {}).items())
    body = f"<Connect><Stream{attributes}>{inside}</Stream></Connect>"
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{_say(say)}{body}{_say(goodbye)}</Response>'


def _stream_url(url: str) -> str:
    scheme, rest = url.partition("://")[::2]
    scheme = {"https": "wss", "http": "ws"}.get(scheme, scheme)
    parts = urlsplit(url)
    if scheme not in ("wss", "ws") or not parts.hostname:
        raise ConfigError(f"{url!r} is no URL of a media stream; it looks like wss://example.com/media")
    if parts.query or parts.fragment:
        raise ConfigError(
            f"{url!r} has a query or a fragment, which Twilio does not send; use parameters={{...}}"
        )
    return f"{scheme}://{rest}"


def _parameter(name: str, value: str) -> str:
    if len(name) + len(value) > MAX_PARAMETER:
        size = len(name) + len(value)
        raise ConfigError(
            f"parameter {name!r} has {size} characters with its value; Twilio takes {MAX_PARAMETER}"
        )
    return f"<Parameter name={_quoted(name)} value={_quoted(value)}/>"


def _say(text: str | None) -> str:
    return f"<Say>{escape(_checked(text))}</Say>" if text else ""


def _quoted(value: str) -> str:
    # Line breaks in an attribute would be read as spaces (XML 1.0, section 3.3.3).
    return quoteattr(_checked(value), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _checked(text: str) -> str:
    found = _NOT_XML.search(text)
    if found is not None:
        raise ConfigError(
            f"character U+{ord(found[0]):04X} at {found.start()} cannot be in XML; leave it out"
        )
    return text
