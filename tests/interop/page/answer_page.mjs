// A page that plays the Realtime service: it answers an SDP offer, greets on the data channel, hums and listens.
//
// `answer(sdp)` gives the SDP answer. `received` has the events of the client; `send(event)` sends one.

import { Ear, Mouth } from './sound.mjs';

const HUM = 600; // Hz

window.received = [];
window.states = [];

window.answer = async (sdp) => {
  const context = new AudioContext();
  const ear = (window.ear = new Ear(context));
  const mouth = (window.mouth = new Mouth(context));
  const connection = (window.connection = new RTCPeerConnection());
  connection.addEventListener('connectionstatechange', () => states.push(connection.connectionState));
  connection.addEventListener('track', (event) => ear.listen(event.track));
  connection.addEventListener('datachannel', ({ channel }) => serve(channel));
  connection.addTrack(mouth.stream.getAudioTracks()[0], mouth.stream);
  await connection.setRemoteDescription({ type: 'offer', sdp });
  await connection.setLocalDescription();
  mouth.hum(HUM);
  if (connection.iceGatheringState !== 'complete') {
    await new Promise((resolve) => {
      connection.addEventListener('icegatheringstatechange', () => {
        if (connection.iceGatheringState === 'complete') {
          resolve();
        }
      });
    });
  }
  return connection.localDescription.sdp;
};

function serve(channel) {
  let session = { type: 'realtime', object: 'realtime.session', id: 'sess_page', model: 'gpt-realtime' };
  let sent = 0;
  window.channel = channel;
  window.send = (event) => channel.send(JSON.stringify({ event_id: `event_${(sent += 1)}`, ...event }));
  channel.addEventListener('close', () => states.push('channel closed'));
  channel.addEventListener('message', ({ data }) => {
    const event = JSON.parse(data);
    received.push(event);
    if (event.type === 'session.update') {
      session = { ...session, ...event.session };
      send({ type: 'session.updated', session });
    }
  });
  // The channel that a client opens may be open before anybody listens.
  const greet = () => send({ type: 'session.created', session });
  if (channel.readyState === 'open') {
    greet();
  } else {
    channel.addEventListener('open', greet);
  }
}
window.ready = true;
