"""The part of a page's loudspeaker that runs in the browser's audio thread, in JavaScript."""

from __future__ import annotations

from typing import Final

__all__ = ["TAP", "TAP_NAME"]

TAP_NAME: Final = "voxwire-tap"

TAP: Final = """
// Mixes what passes down to mono, resamples it to `rate`, and posts it as Int16Arrays of `samples`.
// The filter is a sinc under a Hann window, 16 zero crossings to each side; its phases are worked out once.
const CROSSINGS = 16;

class Tap extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate, samples } }) {
    super();
    const gcd = (a, b) => (b ? gcd(b, a % b) : a);
    const shared = gcd(sampleRate, rate);
    this.step = sampleRate / shared;    // input moves on by step / phases samples for each of output
    this.phases = rate / shared;
    const cutoff = Math.min(1, rate / sampleRate) * 0.94;
    this.half = Math.ceil(CROSSINGS / cutoff);
    this.filters = Array.from({ length: this.phases }, (_, phase) => this.filter(phase / this.phases, cutoff));
    this.input = new Float32Array(2 * this.half);
    this.at = 0;                        // position of the next output sample, in units of 1 / phases input samples
    this.samples = samples;
    this.frame = new Int16Array(samples);
    this.filled = 0;
  }

  filter(offset, cutoff) {
    const taps = Float32Array.from({ length: 2 * this.half }, (_, n) => {
      const x = n - this.half + 1 - offset;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * cutoff * x) / (Math.PI * cutoff * x);
      return Math.abs(x) < this.half ? sinc * (0.5 + 0.5 * Math.cos((Math.PI * x) / this.half)) : 0;
    });
    const sum = taps.reduce((total, tap) => total + tap, 0);
    return taps.map((tap) => tap / sum);
  }

  process([channels], [[output]]) {
    const length = output.length;
    const input = new Float32Array(this.input.length + length);
    input.set(this.input);
    for (const channel of channels) {
      for (let n = 0; n < length; n++) input[this.input.length + n] += channel[n] / channels.length;
    }
    for (; Math.floor(this.at / this.phases) < length; this.at += this.step) {
      const first = Math.floor(this.at / this.phases);
      const taps = this.filters[this.at % this.phases];
      let sample = 0;
      for (let n = 0; n < taps.length; n++) sample += taps[n] * input[first + n + 1];
      this.put(sample);
    }
    this.at -= length * this.phases;
    this.input = input.slice(length);
    return true;
  }

  put(sample) {
    this.frame[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    if (this.filled === this.samples) {
      this.port.postMessage(this.frame.buffer, [this.frame.buffer]);
      this.frame = new Int16Array(this.samples);  // what was posted is gone
      this.filled = 0;
    }
  }
}
registerProcessor("voxwire-tap", Tap);
"""
