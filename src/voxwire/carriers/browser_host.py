"""What kind of JavaScript host this is, and what it has."""

from __future__ import annotations

from typing import Any

from .js import js_host, on_javascript

__all__ = ["host_has", "in_page", "same_object"]


def host_has(name: str) -> bool:
    """Whether the host's global object has something of this name; False off JavaScript."""
    return on_javascript() and getattr(js_host(name), name, None) is not None


def in_page() -> bool:
    """Whether this is a web page, or a web worker of one: its users can read everything in it, keys included."""
    if host_has("WebSocketPair"):  # a Cloudflare Worker
        return False
    return host_has("document") or host_has("WorkerGlobalScope")


def same_object(one: Any, other: Any) -> bool:
    """Whether two proxies stand for one JavaScript object; each look at an attribute makes another proxy."""
    return one is other or getattr(one, "js_id", one) == getattr(other, "js_id", other)
