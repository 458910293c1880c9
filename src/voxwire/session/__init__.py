"""Agents at work on a transport: tools, handoffs, events."""
