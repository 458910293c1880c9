// Plays a scenario with the browser build of @openai/agents, over WebRTC, as a page of somebody else's would.
//
// `play(scenario)` is for the test, which provides `print(line)`. Beside the usual steps, and fields of a scenario:
//
//   microphone          "device": the SDK opens the microphone; "page": it is given a stream that `audio` speaks into
//   {audio: "FILE"}     speak a recording, to its end
//   {hear_ms: N}        wait until that much of the agent was heard, since this step began
//   {quiet_ms: N}       wait until nothing was heard for that long
//
// More lines, at the end: `heard(loud_ms)`, and `microphone(state)` of the page's own stream.

import * as agents from '/node_modules/@openai/agents-realtime/dist/bundle/openai-realtime-agents.mjs';
import { z } from '/node_modules/zod/index.js';
import { Client } from './agents_scenario.mjs';
import { Ear, Mouth } from './sound.mjs';

window.play = async (scenario) => {
  const context = new AudioContext();
  const mouth = new Mouth(context);
  const ear = new Ear(context);
  const print = (kind, fields = {}) => window.print({ kind, ...fields });
  const transport = new agents.OpenAIRealtimeWebRTC({
    ...(scenario.microphone === 'page' ? { mediaStream: mouth.stream } : {}),
    changePeerConnection: (connection) => {
      connection.addEventListener('track', (event) => ear.listen(event.track));
      return connection;
    },
  });
  const client = new Client(scenario, {
    sdk: { ...agents, z },
    print,
    transport,
    steps: {
      audio: (file) => mouth.say(`/recordings/${file}`),
      hear_ms: (ms) => ear.hear(ms),
      quiet_ms: (ms) => ear.quiet(ms),
    },
  });
  window.client = client;
  await client.play();
  print('heard', { loud_ms: ear.loudMs });
  print('microphone', { state: mouth.stream.getAudioTracks()[0].readyState });
  await context.close();
};
window.ready = true;
