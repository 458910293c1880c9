"""Carriers move wire events, and where they have a media plane audio, over one kind of connection."""
