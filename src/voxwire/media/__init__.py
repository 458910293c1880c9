"""Audio over RTP: packets, codecs, the jitter buffer, and the clock that paces them."""
