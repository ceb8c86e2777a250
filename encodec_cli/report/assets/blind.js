/* Blind A/B/X: X is A or B; the listener says which, several times; the count comes at the end, so
   that nobody stops when it happens to look good. */

/** Probability of at least `right` of `trials` when guessing. */
function chance(right, trials) {
  let ways = 1; // of choosing k of trials
  let tail = 0;
  for (let k = 0; k <= trials; k++) {
    if (k >= right) tail += ways;
    ways = (ways * (trials - k)) / (k + 1);
  }
  return tail / 2 ** trials;
}

function coin() {
  return crypto.getRandomValues(new Uint8Array(1))[0] % 2;
}

class BlindTest {
  constructor(dialog, cards) {
    this.dialog = dialog;
    this.cards = cards;
    this.form = dialog.querySelector("form");
    this.transport = new Transport(dialog.querySelector('[data-step="trial"]'));
    this.radios = [...dialog.querySelectorAll(".choices input")];
    this._listen();
  }

  open(card) {
    const { recording, trials } = this.form.elements;
    recording.replaceChildren(...this.cards.map((c, i) => new Option(c.name, i)));
    recording.value = this.cards.indexOf(card);
    trials.value = "16";
    this._offerVersions(card.chosen);
    this._show("setup");
    if (!this.dialog.open) this.dialog.showModal();
  }

  key(event) {
    const step = this.dialog.querySelector(".step:not([hidden])").dataset.step;
    if (step !== "trial") return false;
    if (event.key === " " && event.target.tagName !== "BUTTON") this.transport.toggle();
    else if ("123".includes(event.key)) this._choose(Number(event.key) - 1);
    else return false;
    return true;
  }

  get card() {
    return this.cards[Number(this.form.elements.recording.value)];
  }

  _offerVersions(chosen) {
    const { a, b } = this.form.elements;
    for (const select of [a, b]) {
      select.replaceChildren(...this.card.labels.map((label, i) => new Option(label, i)));
    }
    a.value = 0;
    b.value = chosen > 0 && chosen < this.card.labels.length ? chosen : 1;
  }

  async _start() {
    const { a, b, trials } = this.form.elements;
    const same = a.value === b.value;
    this.form.querySelector(".problem").hidden = !same;
    if (same) return;
    const { card } = this;
    const deck = await card.ready();
    if (!deck) {
      this.dialog.close();
      return;
    }
    deck.pause();
    this.pair = [Number(a.value), Number(b.value)];
    this.trials = Number(trials.value);
    this.done = this.right = 0;
    this.sounds = this.pair.map((index) => deck.buffers[index]);
    this._show("trial");
    this._nextTrial();
  }

  _nextTrial() {
    this.x = coin();
    // A new deck at the beginning: hearing one X turn into the next would tell.
    this.transport.deck?.pause();
    const buffers = [...this.sounds, this.sounds[this.x]];
    this.transport.use(new Deck(this.card._openContext(), buffers));
    this.transport.deck.loop = true;
    this._choose(0);
    this.dialog.querySelector(".trial").textContent = `Trial ${this.done + 1} of ${this.trials}`;
  }

  _choose(index) {
    this.radios[index].checked = true;
    this.transport.deck.choose(index);
  }

  _answer(answer) {
    this.done += 1;
    this.right += answer === this.x ? 1 : 0;
    if (this.done < this.trials) this._nextTrial();
    else this._finish();
  }

  _finish() {
    this.transport.deck.pause();
    if (this.done === 0) {
      this.dialog.close();
      return;
    }
    const { right, done } = this;
    const p = chance(right, done);
    const share = p < 0.001 ? "less than 0.1" : (100 * p).toFixed(1);
    const meaning =
      p < 0.05 ? "You very likely hear a difference." : "That does not show that you hear a difference.";
    this.dialog.querySelector(".verdict").textContent =
      `You were right in ${right} of ${done} trials. Guessing does that or better in ${share} % ` +
      `of tests (p = ${p.toFixed(3)}). ${meaning}`;
    this._record(p);
    this._show("result");
  }

  _record(p) {
    const section = document.getElementById("blind-results");
    const row = section.querySelector("tbody").insertRow();
    const [a, b] = this.pair.map((index) => this.card.labels[index]);
    for (const text of [this.card.name, a, b, `${this.right} of ${this.done}`, p.toFixed(3)]) {
      row.insertCell().textContent = text;
    }
    section.hidden = false;
  }

  _show(step) {
    for (const part of this.dialog.querySelectorAll(".step")) part.hidden = part.dataset.step !== step;
    const first = step === "trial" ? ".play" : ".primary";
    this.dialog.querySelector(`[data-step="${step}"] ${first}`).focus();
  }

  _listen() {
    const { dialog, form } = this;
    form.elements.recording.addEventListener("change", () => this._offerVersions(0));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._start();
    });
    this.transport.button.addEventListener("click", () => this.transport.toggle());
    this.radios.forEach((radio, i) => radio.addEventListener("change", () => this._choose(i)));
    for (const button of dialog.querySelectorAll("[data-answer]")) {
      button.addEventListener("click", () => this._answer(Number(button.dataset.answer)));
    }
    dialog.querySelector(".stop").addEventListener("click", () => this._finish());
    dialog.querySelector(".again").addEventListener("click", () => this.open(this.card));
    for (const button of dialog.querySelectorAll(".leave")) {
      button.addEventListener("click", () => dialog.close());
    }
    dialog.addEventListener("close", () => this.transport.deck?.pause());
  }
}
