"""Bridges to other people's libraries. Nothing here is imported until it is asked for."""
