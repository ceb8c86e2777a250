/* The page: one audio context, made at the first gesture as browsers demand, and the keys. */

let context = null;

function openContext() {
  if (!context) {
    context = new AudioContext();
    // Or the ring switch of an iPhone would silence it.
    if (navigator.audioSession) navigator.audioSession.type = "playback";
  }
  if (context.state === "suspended") context.resume();
  return context;
}

document.documentElement.classList.add("script");
const cards = [...document.querySelectorAll(".card")].map((element) => new Card(element, openContext));
const blind = new BlindTest(document.getElementById("blind"), cards);
cards.forEach((card) => {
  card.element.querySelector(".blind-open").addEventListener("click", () => blind.open(card));
});

/** The recording that keys mean: the last one used, else the first in sight. */
function current() {
  const inSight = (card) => {
    const { top, bottom } = card.element.getBoundingClientRect();
    return bottom > 80 && top < innerHeight - 80;
  };
  if (Card.active && inSight(Card.active)) return Card.active;
  return cards.find(inSight) ?? Card.active ?? cards[0];
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
  if (blind.dialog.open) {
    if (blind.key(event)) event.preventDefault();
    return;
  }
  const { key, target } = event;
  const card = current();
  if (/^[1-9]$/.test(key)) card.choose(Number(key) - 1);
  else if (key === " " && !target.closest("button, a, .loop")) card.toggle();
  else if (key === "ArrowLeft" && !target.closest("input, .scroll")) card.seek((at) => at - 2);
  else if (key === "ArrowRight" && !target.closest("input, .scroll")) card.seek((at) => at + 2);
  else return;
  event.preventDefault();
});
