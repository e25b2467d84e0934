// One picture after another, decided by one key each. sorter.py describes the data; all text in it is data, never HTML.
// The next picture comes at once; what was decided is told to the server, which answers with further pictures.

/** The address of a media file: the server may live under a folder, which the page's own script knows. */
function mediaAddress(path) {
  const script = document.querySelector('script[src*="/static/js/"]');
  const base = script ? script.src.slice(0, script.src.lastIndexOf("/static/js/")) : window.location.origin;
  return base + path;
}

const SMOOTH_UP_TO = 2; // above this many screen pixels per picture pixel, pixels are drawn as the squares they are
const WRITES = "input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable=true]";
const STEERS = "[role=radio], [role=slider], [role=tab], [role=option], [role=combobox], [role=application], input";

class Sorter {
  constructor(host) {
    this.find = (selector) => host.querySelector(selector);
    this.root = this.find(".sorter");
    this.image = this.find("img");
    this.waiting = []; // what was decided and is not yet known to the server
    this.pictures = new Map(); // address -> Image, so that the next ones are there before they are wanted
    this.own = new Map(); // key -> decision made here and not yet known to the server
    this.ending = new AbortController();
    const { signal } = this.ending;
    // A small picture made large must not look blurred by it.
    this.image.addEventListener("load", () => this.sharpen(), { signal });
    this.root.addEventListener("click", (event) => this.click(event), { signal });
    // The whole page listens: whoever sorts a thousand pictures should not have to aim first.
    document.addEventListener("keydown", (event) => this.key(event), { signal });
    // Arrow keys would go on steering what was pressed to come here.
    if (!document.activeElement?.closest(WRITES)) this.root.focus({ preventScroll: true });
  }

  update(data, tell) {
    this.tell = tell;
    const fresh = !this.data || this.data.queue !== data.queue;
    this.data = data;
    this.cards = new Map(data.cards.map((card) => [card.place, card]));
    this.waiting = fresh ? [] : this.waiting.filter((event) => event.number > data.applied);
    if (fresh) this.own.clear();
    if (!this.waiting.length) {
      this.place = data.place;
      this.own.clear();
    }
    this.number = Math.max(this.number ?? 0, data.applied);
    const urls = new Set(data.cards.map((card) => card.url).filter(Boolean));
    for (const url of this.pictures.keys()) if (!urls.has(url)) this.pictures.delete(url);
    for (const url of urls) {
      if (this.pictures.has(url)) continue;
      const picture = new Image();
      picture.src = mediaAddress(url);
      this.pictures.set(url, picture);
    }
    this.find(".stage").style.height = `min(${data.height}px, 62vh)`;
    this.root.setAttribute("aria-label", data.label);
    const choices = JSON.stringify(data.choices);
    if (this.drawn !== choices) {
      this.drawn = choices;
      this.find(".choices").replaceChildren(
        ...data.choices.map(({ value, label, key, hint }) => {
          const button = document.createElement("button");
          button.type = "button";
          button.dataset.act = "decide";
          button.dataset.value = value;
          button.title = hint;
          const cap = document.createElement("kbd");
          cap.textContent = key.toUpperCase();
          button.append(label, cap);
          return button;
        })
      );
    }
    this.draw();
  }

  get card() {
    return this.cards.get(this.place);
  }

  decisionOf(card) {
    return this.own.has(card.key) ? this.own.get(card.key) : card.decision;
  }

  draw() {
    const { card, data } = this;
    const atEnd = this.place >= data.total;
    const missing = this.find(".missing");
    const decision = card ? this.decisionOf(card) : "";
    if (card?.url) {
      const wanted = mediaAddress(card.url);
      if (this.image.getAttribute("src") !== wanted) this.image.src = wanted;
      this.image.alt = card.label;
    }
    this.image.hidden = !card?.url;
    missing.hidden = Boolean(card?.url);
    missing.textContent = atEnd ? data.end : card ? card.missing : "One moment";
    const mark = this.find(".mark");
    mark.textContent = data.choices.find(({ value }) => value === decision)?.done ?? "";
    mark.hidden = !mark.textContent;
    for (const button of this.root.querySelectorAll("[data-act=decide]")) {
      button.setAttribute("aria-pressed", String(button.dataset.value === decision));
      button.disabled = !card;
    }
    this.find("[data-act=back]").disabled = this.place <= 0;
    this.find("[data-act=next]").disabled = this.place >= data.total;
    const shown = Math.min(this.place + 1, data.total);
    this.find(".place").textContent = atEnd ? `All ${data.total.toLocaleString("en")} seen` : `${shown.toLocaleString("en")} of ${data.total.toLocaleString("en")}`;
    this.find(".label").textContent = card?.label ?? "";
    this.find(".facts").replaceChildren(
      ...(card?.facts ?? []).map((fact) => {
        const line = document.createElement("li");
        line.textContent = fact;
        return line;
      })
    );
  }

  sharpen() {
    const { naturalWidth, naturalHeight, clientWidth, clientHeight, style } = this.image;
    const enlarged = Math.min(clientWidth / naturalWidth, clientHeight / naturalHeight);
    style.imageRendering = enlarged > SMOOTH_UP_TO ? "pixelated" : "auto";
  }

  decide(value) {
    if (!this.card) return;
    this.own.set(this.card.key, value);
    this.note({ act: "decide", image: this.card.key, value }, this.place + 1);
  }

  undo() {
    const last = this.waiting.findLast((event) => event.act === "decide");
    if (last) this.own.delete(last.image);
    this.note({ act: "undo" }, last && this.waiting.at(-1) === last ? last.from : this.place);
  }

  go(place) {
    if (place < 0 || place > this.data.total) return;
    this.note({ act: "go" }, place);
  }

  /** Remember what was done, show what follows, tell the server. */
  note(event, place) {
    this.number += 1;
    this.waiting.push({ ...event, number: this.number, from: this.place });
    this.place = place;
    this.draw();
    this.tell({ queue: this.data.queue, place, events: [...this.waiting] });
  }

  click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    this.act(button.dataset.act, button.dataset.value);
  }

  act(name, value) {
    if (name === "decide") this.decide(value);
    else if (name === "undo") this.undo();
    else if (name === "back") this.go(this.place - 1);
    else if (name === "next") this.go(this.place + 1);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !this.root.isConnected) return;
    const target = event.composedPath()[0];
    if (!(target instanceof Element) || target.closest(WRITES)) return;
    const name = event.key.toLowerCase();
    const choice = this.data.choices.find(({ key }) => key === name);
    if (choice) this.decide(choice.value);
    else if (name === "z") this.undo();
    else if ((name === "arrowleft" || name === "arrowright") && !target.closest(STEERS)) {
      this.go(this.place + (name === "arrowleft" ? -1 : 1));
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  end() {
    this.ending.abort();
  }
}

const sorters = new WeakMap(); // the element Streamlit gives -> its sorter

export default function show({ data, parentElement, setStateValue }) {
  let sorter = sorters.get(parentElement);
  if (!sorter) {
    sorter = new Sorter(parentElement);
    sorters.set(parentElement, sorter);
  }
  sorter.update(data, (told) => setStateValue("told", told));
  return () => {
    // Streamlit also calls this for a run that a newer one overtook, while the sorter stays in the page.
    if (sorter.root.isConnected) return;
    sorter.end();
    sorters.delete(parentElement);
  };
}
