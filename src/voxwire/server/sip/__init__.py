"""The embedded server's phone line: a SIP user agent (RFC 3261), and the audio of its calls."""
