"""Realtime voice agents in Python, on any wire."""

from ._version import __version__

__all__ = ["__version__"]
