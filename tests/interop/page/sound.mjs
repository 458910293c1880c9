// How a page in a test speaks and listens.

const LOUD = 0.005; // of full scale, RMS: what Opus makes of silence is far below it
const STEP_MS = 20;

/** Speaks recordings and tones into a stream, and silence in between. */
export class Mouth {
  #context;
  #out;

  constructor(context) {
    this.#context = context;
    this.#out = new MediaStreamAudioDestinationNode(context);
  }

  get stream() {
    return this.#out.stream;
  }

  /** Speak a file, to its end. */
  async say(url) {
    const answer = await fetch(url);
    const buffer = await this.#context.decodeAudioData(await answer.arrayBuffer());
    const source = new AudioBufferSourceNode(this.#context, { buffer });
    source.connect(this.#out);
    const ended = new Promise((resolve) => source.addEventListener('ended', resolve));
    source.start();
    await ended;
  }

  /** Hum until the context is closed. */
  hum(frequency) {
    const tone = new OscillatorNode(this.#context, { frequency });
    tone.connect(new GainNode(this.#context, { gain: 0.3 })).connect(this.#out);
    tone.start();
  }
}

/** Listens to a track that comes in, in steps of 20 ms. */
export class Ear {
  loudMs = 0;
  quietMs = 0;
  #context;
  #analyser;
  #waiting = [];

  constructor(context) {
    this.#context = context;
  }

  listen(track) {
    const stream = new MediaStream([track]);
    const element = new Audio(); // Chromium decodes nothing for WebAudio alone
    element.srcObject = stream;
    element.muted = true;
    element.play();
    this.#analyser = new AnalyserNode(this.#context, { fftSize: 8192, smoothingTimeConstant: 0 });
    this.#context.createMediaStreamSource(stream).connect(this.#analyser);
    this.#watch();
  }

  /** The frequency that is loudest now, Hz; 0 while it is quiet. */
  pitch() {
    if (this.#analyser === undefined) {
      return 0;
    }
    const bins = new Float32Array(this.#analyser.frequencyBinCount);
    this.#analyser.getFloatFrequencyData(bins);
    const at = bins.indexOf(Math.max(...bins));
    return bins[at] < -70 ? 0 : (at * this.#context.sampleRate) / this.#analyser.fftSize;
  }

  /** Wait until so much more was heard. */
  hear(ms) {
    const enough = this.loudMs + ms;
    return this.#until(() => this.loudMs >= enough);
  }

  /** Wait for so much quiet without a break. */
  quiet(ms) {
    this.quietMs = 0;
    return this.#until(() => this.quietMs >= ms);
  }

  #until(condition) {
    return new Promise((resolve) => this.#waiting.push({ condition, resolve }));
  }

  #watch() {
    const samples = new Float32Array(this.#analyser.fftSize);
    let last = this.#context.currentTime;
    const look = () => {
      if (this.#context.state === 'closed') {
        return;
      }
      // A busy machine looks less often: what counts is the audio that passed since the last look.
      const passed = Math.min(this.#context.currentTime - last, samples.length / this.#context.sampleRate);
      last = this.#context.currentTime;
      if (passed > 0) {
        this.#analyser.getFloatTimeDomainData(samples);
        const fresh = samples.subarray(-Math.round(passed * this.#context.sampleRate));
        const power = fresh.reduce((sum, value) => sum + value * value, 0) / fresh.length;
        const loud = Math.sqrt(power) > LOUD;
        this.loudMs += loud ? passed * 1000 : 0;
        this.quietMs = loud ? 0 : this.quietMs + passed * 1000;
        this.#waiting = this.#waiting.filter(({ condition, resolve }) => !condition() || resolve());
      }
      setTimeout(look, STEP_MS);
    };
    look();
  }
}
