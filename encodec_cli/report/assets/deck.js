/* A deck plays several versions of one recording at once, all silent but the chosen one. They run
   on the same clock, so that switching keeps the position to the sample. */

const FADE = 0.008; // seconds: short enough to compare, long enough not to click

class Deck {
  constructor(context, buffers) {
    this.context = context;
    this.buffers = buffers;
    this.duration = Math.min(...buffers.map((buffer) => buffer.duration));
    this.chosen = 0;
    this.loop = false;
    this.playing = false;
    this.onchange = () => {};
    this._offset = 0;
    this._voices = [];
  }

  /** Seconds from the beginning. */
  get position() {
    if (!this.playing) return this._offset;
    const run = this._offset + Math.max(0, this.context.currentTime - this._startedAt);
    return this.loop ? run % this.duration : Math.min(run, this.duration);
  }

  play() {
    if (this.playing) return;
    if (this._offset >= this.duration - 0.01) this._offset = 0;
    this._startedAt = this.context.currentTime + 0.02;
    this._voices = this.buffers.map((buffer, index) => this._voice(buffer, index));
    const [first] = this._voices;
    first.source.onended = () => {
      if (this._voices[0] !== first) return;
      this.pause();
      this._offset = 0;
      this.onchange();
    };
    this.playing = true;
    this.onchange();
  }

  pause() {
    if (!this.playing) return;
    this._offset = this.position;
    this.playing = false;
    const now = this.context.currentTime;
    for (const { source, gain } of this._voices) {
      this._ramp(gain, 0);
      source.stop(now + 4 * FADE);
    }
    this._voices = [];
    this.onchange();
  }

  seek(seconds) {
    const playing = this.playing;
    this.pause();
    this._offset = Math.max(0, Math.min(seconds, this.duration));
    if (playing) this.play();
    this.onchange();
  }

  choose(index) {
    if (index < 0 || index >= this.buffers.length) return;
    this.chosen = index;
    this._voices.forEach(({ gain }, i) => this._ramp(gain, i === index ? 1 : 0));
    this.onchange();
  }

  setLoop(loop) {
    const position = this.position;
    this.loop = loop;
    if (this.playing) this.seek(position);
  }

  _voice(buffer, index) {
    const source = this.context.createBufferSource();
    const gain = this.context.createGain();
    source.buffer = buffer;
    source.loop = this.loop;
    source.loopEnd = this.duration;
    source.connect(gain).connect(this.context.destination);
    gain.gain.setValueAtTime(0, 0);
    gain.gain.setValueAtTime(0, this._startedAt);
    if (index === this.chosen) gain.gain.linearRampToValueAtTime(1, this._startedAt + FADE);
    source.start(this._startedAt, this._offset);
    return { source, gain };
  }

  _ramp(gain, to) {
    const now = this.context.currentTime;
    const level = gain.gain.value;
    gain.gain.cancelScheduledValues(now);
    gain.gain.setValueAtTime(level, now);
    gain.gain.linearRampToValueAtTime(to, now + FADE);
  }
}

/** The sound of an <audio> element with a data: address, decoded. */
function decoded(context, element) {
  const text = atob(element.src.slice(element.src.indexOf(",") + 1));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return context.decodeAudioData(bytes.buffer);
}
