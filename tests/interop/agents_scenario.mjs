// What the JavaScript clients have in common: the agents, what is noted of a session, and the steps of a scenario.
// conftest.py describes scenarios and lines. Works in Node and in a page.

export class Client {
  #counts = new Map();
  #wake = () => {};
  waiting = null;
  audioBytes = 0;

  /**
   * @param scenario what to play.
   * @param sdk `RealtimeAgent`, `RealtimeSession` and `tool` of the SDK, and `z` of zod.
   * @param print called with the kind and the fields of each line.
   * @param transport as `RealtimeSession` takes it.
   * @param steps more kinds of steps, or others than the usual: `{name: async (value, client) => {}}`.
   */
  constructor(scenario, { sdk, print, transport, steps = {} }) {
    this.scenario = scenario;
    this.print = print;
    this.steps = { ...this.#steps(), ...steps };
    this.session = new sdk.RealtimeSession(agents(sdk), {
      transport,
      model: scenario.model,
      config: {
        outputModalities: scenario.modalities,
        audio: {
          input: {
            format: scenario.format,
            transcription: scenario.transcription,
            ...(scenario.turn_detection === undefined ? {} : { turnDetection: scenario.turn_detection }),
          },
          output: { format: scenario.format },
        },
      },
    });
    this.#watch();
  }

  /** Connect, take the steps, and tell how it ended. */
  async play() {
    const { scenario, session, print } = this;
    try {
      await session.connect({ apiKey: scenario.api_key, url: scenario.url });
    } catch (error) {
      print('refused', { message: words(error) });
      return;
    }
    print('connected', { call_id: session.transport.callId });
    for (const step of scenario.steps) {
      const [name, value] = Object.entries(step)[0];
      if (!(name in this.steps)) {
        throw new Error(`unknown step ${JSON.stringify(step)}`);
      }
      this.waiting = JSON.stringify(step);
      await this.steps[name](value, step);
    }
    this.waiting = null;
    print('end', {
      agent: session.currentAgent.name,
      history: session.history.map(entry),
      audio_bytes: this.audioBytes,
      tokens: session.usage.totalTokens,
    });
    session.close();
  }

  count(name) {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    this.#wake();
  }

  async #until(name, times) {
    while ((this.#counts.get(name) ?? 0) < times) {
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #steps() {
    return {
      text: async (text) => this.session.sendMessage(text),
      until: async (name, { times = 1 }) => this.#until(name, times),
      pause_ms: async (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      wire: async (event) => this.session.transport.sendEvent(event),
      interrupt: async () => this.session.interrupt(),
      mute: async (muted) => this.session.mute(muted),
    };
  }

  #watch() {
    const { session, print } = this;
    session.on('transport_event', (event) => {
      print('wire', { event: withoutAudio(event) });
      this.count(event.type);
    });
    session.on('audio', (event) => {
      this.audioBytes += event.data.byteLength;
      this.count('audio');
    });
    session.on('audio_interrupted', () => {
      print('interrupted', { agent: session.currentAgent.name });
      this.count('interrupted');
    });
    session.on('agent_tool_start', (_context, agent, called, { toolCall }) =>
      print('tool_start', {
        agent: agent.name,
        tool: called.name,
        arguments: JSON.parse(toolCall.arguments),
      }),
    );
    session.on('agent_tool_end', (_context, agent, called, output) =>
      print('tool_end', { agent: agent.name, tool: called.name, output }),
    );
    session.on('agent_handoff', (_context, from, to) => print('handoff', { from: from.name, to: to.name }));
    session.on('error', ({ error }) => {
      print('error', { message: words(error) });
      this.count('error');
    });
    session.transport.on('disconnected', () => {
      print('disconnected');
      this.count('disconnected');
    });
  }
}

/** The first agent, who knows the other. */
function agents({ RealtimeAgent, tool, z }) {
  const getWeather = tool({
    name: 'get_weather',
    description: 'Return the weather for a city.',
    parameters: z.object({ city: z.string().describe("The city's name.") }),
    execute: async ({ city }) => `It is sunny in ${city}.`,
  });
  const bookTable = tool({
    name: 'book_table',
    description: 'Book a table at the restaurant.',
    parameters: z.object({
      day: z.string().describe('The day of the week.'),
      people: z.number().int().describe('For how many people.'),
    }),
    execute: async ({ day, people }) => `A table for ${people} is booked for ${day}.`,
  });
  const leo = new RealtimeAgent({
    name: 'Leo',
    handoffDescription: 'A storyteller who tells long stories.',
    instructions: 'You are Leo, a storyteller.',
  });
  return new RealtimeAgent({
    name: 'Ava',
    instructions: 'You are Ava, a receptionist.',
    tools: [getWeather, bookTable],
    handoffs: [leo],
  });
}

function words(error) {
  return String(error?.error?.message ?? error?.message ?? error);
}

/** Audio is counted, not printed. */
function withoutAudio(event) {
  if (event.type === 'response.output_audio.delta') {
    return { ...event, delta: atob(event.delta).length };
  }
  return JSON.parse(JSON.stringify(event), (key, value) =>
    key === 'audio' && typeof value === 'string' ? { base64: value.length } : value,
  );
}

/** One entry of the history, in words that all clients share. */
function entry(item) {
  if (item.type !== 'message') {
    return { type: item.type, name: item.name, arguments: item.arguments, output: item.output };
  }
  const text = item.content.map((part) => part.text ?? part.transcript ?? '').join('');
  return { type: 'message', role: item.role, text };
}
