// Plays a scenario with @openai/agents against a Realtime server and prints what happened as JSON lines.
//
//   node agents_client.mjs SCENARIO.json
//
// The scenario and the lines are described in conftest.py; agents_client.py is the same in Python.

import { readFileSync } from 'node:fs';
import { RealtimeAgent, RealtimeSession, tool } from '@openai/agents/realtime';
import { z } from 'zod';

const FRAME_MS = 20;
const scenario = JSON.parse(readFileSync(process.argv[2], 'utf8'));

function print(kind, fields = {}) {
  process.stdout.write(`${JSON.stringify({ kind, ...fields })}\n`);
}

setTimeout(() => {
  print('timeout', { waiting });
  process.exit(3);
}, scenario.seconds * 1000).unref();

// -- agents ----------------------------------------------------------------------------------

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

const ava = new RealtimeAgent({
  name: 'Ava',
  instructions: 'You are Ava, a receptionist.',
  tools: [getWeather, bookTable],
  handoffs: [leo],
});

// -- what is seen ----------------------------------------------------------------------------

const counts = new Map();
let waiting = null;
let audioBytes = 0;
let wake = () => {};

function count(name) {
  counts.set(name, (counts.get(name) ?? 0) + 1);
  wake();
}

async function until(description, condition) {
  waiting = description;
  while (!condition()) {
    await new Promise((resolve) => {
      wake = resolve;
    });
  }
  waiting = null;
}

/** Audio is counted, not printed. */
function withoutAudio(event) {
  return JSON.parse(JSON.stringify(event), (key, value) =>
    key === 'audio' && typeof value === 'string' ? { base64: value.length } : value,
  );
}

const session = new RealtimeSession(ava, {
  transport: 'websocket',
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

session.on('transport_event', (event) => {
  if (event.type === 'response.output_audio.delta') {
    print('wire', { event: { ...event, delta: Buffer.from(event.delta, 'base64').length } });
  } else {
    print('wire', { event: withoutAudio(event) });
  }
  count(event.type);
});
session.on('audio', (event) => {
  audioBytes += event.data.byteLength;
  count('audio');
});
session.on('audio_interrupted', () => {
  print('interrupted', { agent: session.currentAgent.name });
  count('interrupted');
});
session.on('agent_tool_start', (_context, agent, called, { toolCall }) =>
  print('tool_start', { agent: agent.name, tool: called.name, arguments: JSON.parse(toolCall.arguments) }),
);
session.on('agent_tool_end', (_context, agent, called, output) =>
  print('tool_end', { agent: agent.name, tool: called.name, output }),
);
session.on('agent_handoff', (_context, from, to) => print('handoff', { from: from.name, to: to.name }));
session.on('error', ({ error }) => {
  print('error', { message: String(error?.error?.message ?? error?.message ?? error) });
  count('error');
});
session.transport.on('disconnected', () => {
  print('disconnected');
  count('disconnected');
});

// -- what is done ----------------------------------------------------------------------------

async function sendAudio(file) {
  const audio = readFileSync(file);
  const size = scenario.frame_bytes;
  const start = performance.now();
  for (let at = 0, frame = 0; at < audio.length; at += size, frame += 1) {
    const due = start + frame * FRAME_MS - performance.now();
    if (due > 0) {
      await new Promise((resolve) => setTimeout(resolve, due));
    }
    session.sendAudio(new Uint8Array(audio.subarray(at, at + size)).buffer);
  }
}

async function run(step) {
  if (step.text !== undefined) {
    session.sendMessage(step.text);
  } else if (step.audio !== undefined) {
    await sendAudio(step.audio);
  } else if (step.until !== undefined) {
    const times = step.times ?? 1;
    await until(`${step.until} x ${times}`, () => (counts.get(step.until) ?? 0) >= times);
  } else if (step.pause_ms !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, step.pause_ms));
  } else if (step.wire !== undefined) {
    session.transport.sendEvent(step.wire);
  } else {
    throw new Error(`unknown step ${JSON.stringify(step)}`);
  }
}

/** One entry of the history, in words that both clients share. */
function entry(item) {
  if (item.type !== 'message') {
    return { type: item.type, name: item.name, arguments: item.arguments, output: item.output };
  }
  const text = item.content.map((part) => part.text ?? part.transcript ?? '').join('');
  return { type: 'message', role: item.role, text };
}

try {
  await session.connect({ apiKey: scenario.api_key, url: scenario.url });
} catch (error) {
  print('refused', { message: String(error?.error?.message ?? error?.message ?? error) });
  process.exit(0);
}
print('connected');
for (const step of scenario.steps) {
  await run(step);
}
print('end', {
  agent: session.currentAgent.name,
  history: session.history.map(entry),
  audio_bytes: audioBytes,
  tokens: session.usage.totalTokens,
});
session.close();
