// Plays a scenario with @openai/agents against a Realtime server and prints what happened as JSON lines.
//
//   node agents_client.mjs SCENARIO.json
//
// The scenario and the lines are described in conftest.py; agents_client.py is the same in Python.

import { readFileSync } from 'node:fs';
import { RealtimeAgent, RealtimeSession, tool } from '@openai/agents/realtime';
import { z } from 'zod';
import { Client } from './agents_scenario.mjs';

const FRAME_MS = 20;
const scenario = JSON.parse(readFileSync(process.argv[2], 'utf8'));

function print(kind, fields = {}) {
  process.stdout.write(`${JSON.stringify({ kind, ...fields })}\n`);
}

const client = new Client(scenario, {
  sdk: { RealtimeAgent, RealtimeSession, tool, z },
  print,
  transport: 'websocket',
  steps: { audio: sendAudio },
});

setTimeout(() => {
  print('timeout', { waiting: client.waiting });
  process.exit(3);
}, scenario.seconds * 1000).unref();

async function sendAudio(file) {
  const audio = readFileSync(file);
  const size = scenario.frame_bytes;
  const start = performance.now();
  for (let at = 0, frame = 0; at < audio.length; at += size, frame += 1) {
    const due = start + frame * FRAME_MS - performance.now();
    if (due > 0) {
      await new Promise((resolve) => setTimeout(resolve, due));
    }
    client.session.sendAudio(new Uint8Array(audio.subarray(at, at + size)).buffer);
  }
}

await client.play();
