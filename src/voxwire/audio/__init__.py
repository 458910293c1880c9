"""Sources, sinks, codecs, resampling and recording of audio."""
