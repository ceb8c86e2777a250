/* A recording on the page. Its sounds are decoded when it is first played, and forgotten when
   another recording is. */

class Card {
  static active = null;

  constructor(element, openContext) {
    this.element = element;
    this.name = element.querySelector("h3").textContent;
    this.sounds = [...element.querySelectorAll("audio")];
    this.labels = [...element.querySelectorAll(".version")].map((v) => v.dataset.label);
    this.radios = [...element.querySelectorAll(".choices input")];
    this.transport = new Transport(element);
    this.transport.onposition = (at) => element.style.setProperty("--at", at);
    this._openContext = openContext;
    this._ready = null;
    this._listen();
    this._mark();
  }

  get chosen() {
    return this.radios.findIndex((radio) => radio.checked);
  }

  /** The deck, decoded once for all callers; null where the browser cannot. */
  ready() {
    this.activate();
    this._ready ??= this._open();
    return this._ready;
  }

  async toggle() {
    const deck = await this.ready();
    if (deck && deck === this.transport.deck) this.transport.toggle();
  }

  choose(index) {
    if (!this.radios[index]) return;
    this.radios[index].checked = true;
    this._mark();
    this.activate();
    this.transport.deck?.choose(index);
    document.getElementById("announcement").textContent = this.labels[index];
  }

  async seek(change) {
    const deck = await this.ready();
    deck?.seek(change(deck.position, deck.duration));
  }

  async _open() {
    const { button } = this.transport;
    button.setAttribute("aria-busy", "true");
    try {
      const context = this._openContext();
      const buffers = await Promise.all(this.sounds.map((sound) => decoded(context, sound)));
      const deck = new Deck(context, buffers);
      if (Card.active !== this) return deck; // another was chosen meanwhile
      deck.loop = this.element.querySelector(".loop").checked;
      deck.choose(this.chosen);
      this.transport.use(deck);
      return deck;
    } catch (error) {
      this._fail(error);
      return null;
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  /** The one that keys mean; any other stops and gives its memory back. */
  activate() {
    const other = Card.active;
    if (other === this) return;
    Card.active = this;
    this.element.classList.add("active");
    if (!other) return;
    other.element.classList.remove("active");
    other.transport.release();
    other._ready = null;
  }

  _mark() {
    const versions = this.element.querySelectorAll(".version");
    versions.forEach((version, i) => version.classList.toggle("chosen", i === this.chosen));
  }

  _listen() {
    const { element } = this;
    this.transport.button.addEventListener("click", () => this.toggle());
    this.transport.slider.addEventListener("input", () => {
      const { value, max } = this.transport.slider;
      if (!this.transport.deck) this.seek((_, duration) => (value / max) * duration);
    });
    this.radios.forEach((radio, i) => radio.addEventListener("change", () => this.choose(i)));
    element.querySelector(".loop").addEventListener("change", (event) => {
      this.activate();
      this.transport.deck?.setLoop(event.target.checked);
    });
    for (const figure of element.querySelectorAll("figure[data-index]")) {
      figure.addEventListener("click", (event) => {
        const { left, width } = figure.getBoundingClientRect();
        const at = Math.max(0, Math.min((event.clientX - left) / width, 1));
        this.choose(Number(figure.dataset.index));
        this.seek((_, duration) => at * duration);
      });
    }
  }

  /** Players of the browser's own, where it cannot decode for us. */
  _fail(error) {
    document.documentElement.classList.add("plain");
    const notice = this.element.querySelector(".failure");
    notice.textContent = `This browser cannot decode the sounds (${error.message}); try the plain players.`;
    notice.hidden = false;
  }
}
