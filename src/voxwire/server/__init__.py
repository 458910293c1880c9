"""The embedded Realtime service."""
