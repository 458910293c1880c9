"""Transports: an engine on a carrier, under the names of the JavaScript SDK."""
