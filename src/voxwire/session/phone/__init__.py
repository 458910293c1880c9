"""Agents on the phone: answering calls, and tools for them."""
