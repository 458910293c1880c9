"""A page in Chromium at the other end: several codecs, `.local` candidates only, NetEQ and FEC in use."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest

pytestmark = [
    pytest.mark.needs_module("aiortc"),
    pytest.mark.needs_module("playwright"),
    pytest.mark.needs_program("chromium"),
]

PAGE = """
window.heard = [];
window.messages = [];
window.states = [];
async function setUp() {
  const context = new AudioContext();
  await context.resume();
  const tone = new OscillatorNode(context, {frequency: 600});
  const out = new MediaStreamAudioDestinationNode(context);
  tone.connect(new GainNode(context, {gain: 0.3})).connect(out);
  tone.start();
  const pc = window.pc = new RTCPeerConnection();
  pc.onconnectionstatechange = () => states.push(pc.connectionState);
  pc.addTrack(out.stream.getAudioTracks()[0], out.stream);
  pc.ontrack = event => {
    const element = document.createElement('audio');  // without it Chromium decodes nothing
    element.srcObject = event.streams[0] || new MediaStream([event.track]);
    element.muted = true;
    element.play();
    const analyser = window.analyser = new AnalyserNode(context, {fftSize: 8192});
    context.createMediaStreamSource(element.srcObject).connect(analyser);
    window.pitch = () => {
      const bins = new Float32Array(analyser.frequencyBinCount);
      analyser.getFloatFrequencyData(bins);
      const at = bins.indexOf(Math.max(...bins));
      return bins[at] < -70 ? 0 : at * context.sampleRate / analyser.fftSize;
    };
  };
  return pc;
}
function useChannel(channel) {
  window.channel = channel;
  channel.onmessage = event => messages.push(event.data);
  channel.onopen = () => channel.send('from the page');
  channel.onclose = () => states.push('channel closed');
}
async function gathered(pc) {
  while (pc.iceGatheringState !== 'complete') await new Promise(done => setTimeout(done, 10));
  return pc.localDescription.sdp;
}
async function offer() {
  const pc = await setUp();
  useChannel(pc.createDataChannel('oai-events'));
  await pc.setLocalDescription(await pc.createOffer());
  return await gathered(pc);
}
async function answer(sdp) {
  const pc = await setUp();
  pc.ondatachannel = event => useChannel(event.channel);
  await pc.setRemoteDescription({type: 'offer', sdp});
  await pc.setLocalDescription(await pc.createAnswer());
  return await gathered(pc);
}
"""


@pytest.fixture
async def page():
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[
                "--no-sandbox",
                "--autoplay-policy=no-user-gesture-required",
                "--allow-loopback-in-peer-connection",
            ],
        )
        page = await browser.new_page()
        await page.set_content("<p>voxwire</p>")
        await page.add_script_tag(content=PAGE)
        yield page
        await browser.close()


@pytest.mark.parametrize("page_offers", [True, False])
async def test_a_page(page, make_peer, tone, pitch, until, page_offers):
    peer, told = make_peer()
    if page_offers:
        offer = await page.evaluate("offer()")
        assert ".local" in offer
        assert "red/48000" in offer
        began = asyncio.get_running_loop().time()
        answer = await peer.answer(offer)
        assert asyncio.get_running_loop().time() - began < 0.9  # a look-up of a .local name takes a second
        await page.evaluate(f"pc.setRemoteDescription({{type: 'answer', sdp: {json.dumps(answer)}}})")
    else:
        await peer.take_answer(await page.evaluate(f"answer({json.dumps(await peer.offer())})"))
    await until(lambda: told.messages == ["from the page"], 15)
    peer.send("x" * 100_000)
    await page.wait_for_function("messages.length === 1 && messages[0].length === 100000", polling=20)
    for _ in range(60):
        peer.send_audio(tone(1000, 1000)[: 48 * 20 * 10])  # 200 ms: whole waves, so that no piece shows
        await asyncio.sleep(0.02)
        if abs(await page.evaluate("window.pitch ? pitch() : 0") - 1000) < 15:
            break
    else:
        raise AssertionError("the page does not hear us")
    await until(lambda: abs(pitch(told.pcm) - 600) < 6)
    stats = peer.stats()
    assert stats.packets_lost == 0
    assert "useinbandfec=1" in await page.evaluate("pc.remoteDescription.sdp")
    await until(lambda: peer.stats().rtt_ms is not None, 15)
    if page_offers:
        await peer.close()
        await page.wait_for_function("states.includes('channel closed')", polling=20)
    else:
        await page.evaluate("pc.close()")
        await until(lambda: peer.state == "closed", 15)
        assert told.states[-1][1] == "the peer closed the connection"
