/* Play button, position and time of whatever deck is in it. */

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}

class Transport {
  constructor(root) {
    this.root = root;
    this.button = root.querySelector(".play");
    this.slider = root.querySelector(".seek");
    this.time = root.querySelector(".time");
    this.deck = null;
    this.onposition = () => {};
    this.slider.addEventListener("input", () => {
      this.deck?.seek((this.slider.value / this.slider.max) * this.deck.duration);
    });
  }

  use(deck) {
    this.deck = deck;
    deck.onchange = () => this.show();
    this.show();
  }

  /** Stop, go to the beginning and forget the deck. */
  release() {
    if (!this.deck) return;
    this.deck.pause();
    this.deck.seek(0);
    this.deck = null;
  }

  toggle() {
    if (this.deck.playing) this.deck.pause();
    else this.deck.play();
  }

  show() {
    if (!this.deck) return;
    const { playing, position, duration } = this.deck;
    this.root.classList.toggle("playing", playing);
    this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.slider.value = (position / duration) * this.slider.max;
    this.slider.setAttribute("aria-valuetext", `${clock(position)} of ${clock(duration)}`);
    this.time.textContent = `${clock(position)} / ${clock(duration)}`;
    this.onposition(position / duration);
    if (playing && !this._frame) {
      this._frame = requestAnimationFrame(() => {
        this._frame = null;
        this.show();
      });
    }
  }
}
