"""Peer connections: SDP, ICE and DTLS by a library, the audio in them by `voxwire.media`."""
