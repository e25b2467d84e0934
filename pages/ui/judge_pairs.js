// Two pictures to judge. Streamlit calls the default export whenever its data change; judge_pairs.py describes the data.
// The next pairs are here before they are needed: an answer shows the next one at once and is sent meanwhile. What is
// not yet confirmed is sent again, so that nothing is lost on the way, and every answer has a number, so that none counts
// twice.

const SEND_AGAIN_AFTER = 3000; // milliseconds
const TOO_QUICK = 150; // milliseconds: a key that bounces must not answer the next pair too
const SMALL = 256; // pictures smaller than this are enlarged by whole numbers
const CHOICES = {
  ArrowLeft: "left",
  1: "left",
  a: "left",
  ArrowRight: "right",
  2: "right",
  b: "right",
};

const memories = new Map(); // identity of the judging -> {pending, last}

/** Answers that the server has not confirmed outlive a closed browser, however slow the server was. */
function remembered(identity) {
  try {
    const kept = JSON.parse(localStorage.getItem(`judge-pairs-${identity}`) ?? "null");
    if (Array.isArray(kept?.pending) && Number.isFinite(kept.last)) return kept;
  } catch {
    // No storage here, or not ours: nothing is remembered.
  }
  return { pending: [], last: 0 };
}

function remember(identity, memory) {
  try {
    if (memory.pending.length) localStorage.setItem(`judge-pairs-${identity}`, JSON.stringify(memory));
    else localStorage.removeItem(`judge-pairs-${identity}`);
  } catch {
    // Without storage only what was sent counts.
  }
}

/** The address of a media file: the server may live under a folder, which the page's own script knows. */
function mediaAddress(path) {
  const script = document.querySelector('script[src*="/static/js/"]');
  const base = script ? script.src.slice(0, script.src.lastIndexOf("/static/js/")) : window.location.origin;
  return base + path;
}

async function load(path) {
  const image = new Image();
  image.src = mediaAddress(path);
  await image.decode();
  return image;
}

class Judge {
  constructor(host, identity) {
    this.host = host;
    this.identity = identity;
    if (!memories.has(identity)) memories.set(identity, remembered(identity));
    this.memory = memories.get(identity);
    this.find = (selector) => host.querySelector(selector);
    this.root = this.find(".judge");
    this.pairs = new Map(); // number of the trial -> {addresses, promise}
    this.shown = null; // number of the trial on screen, once its pictures are there
    this.ending = new AbortController();
    this.listen();
    this.timer = setInterval(() => this.sendAgain(), 1000);
  }

  update(data, setStateValue) {
    this.data = data;
    this.tell = setStateValue;
    this.memory.pending = this.memory.pending.filter((event) => event.id > data.taken);
    remember(this.identity, this.memory);
    if (this.sentAt === undefined && this.memory.pending.length) this.send(); // left over from the last visit
    this.root.classList.toggle("two", !data.reference);
    this.find(".question").textContent = data.question;
    this.find(".keys").textContent = `Keys: ← 1 or A for A, → 2 or B for B, U or backspace to undo${
      data.reference ? ", hold the space bar to see the reference in both places" : ""
    }, F for full screen.`;
    const ground = getComputedStyle(this.root).getPropertyValue("--st-background-color").trim();
    this.root.style.colorScheme = /^#[0-4]/.test(ground) ? "dark" : "light";
    for (const number of this.pairs.keys()) {
      const known = data.pairs[number];
      if (!known || known.join() !== this.pairs.get(number).addresses) this.pairs.delete(number);
    }
    for (const [number, addresses] of Object.entries(data.pairs)) {
      if (this.pairs.has(Number(number))) continue;
      const promise = Promise.all(addresses.map(load));
      promise.catch(() => this.pairs.delete(Number(number))); // asked for again with the next data
      this.pairs.set(Number(number), { addresses: addresses.join(), promise });
    }
    this.refresh();
  }

  /** The trial whose turn it is: what the server knows, and what is on its way to it. */
  get turn() {
    return this.memory.pending.reduce((turn, event) => turn + (event.undo ? -1 : 1), this.data.done);
  }

  async refresh() {
    const turn = this.turn;
    const { total, reference } = this.data;
    this.find("progress").value = turn / total;
    this.find(".undo").disabled = turn === 0;
    const over = turn >= total;
    this.find(".count").textContent = over ? `All ${total} pairs judged` : `Pair ${turn + 1} of ${total}`;
    if (this.shown === turn) return;
    this.shown = null;
    this.hold(false);
    this.enable(false);
    const frames = ["left", "right", "reference"].map((role) => this.find(`[data-role="${role}"] .frame`));
    const pair = this.pairs.get(turn);
    if (over || !pair) {
      frames.forEach((frame) => frame.replaceChildren());
      return;
    }
    let images;
    try {
      images = await pair.promise;
    } catch {
      this.say("The pictures did not arrive. Waiting for the server.");
      return;
    }
    if (this.turn !== turn || this.shown === turn || !this.root.isConnected) return; // overtaken
    images.forEach((image) => {
      const factor = Math.max(1, Math.floor(SMALL / Math.max(image.naturalWidth, image.naturalHeight)));
      image.style.setProperty("--width", `${factor * image.naturalWidth}px`);
      image.style.setProperty("--ratio", `${image.naturalWidth} / ${image.naturalHeight}`);
      image.classList.toggle("enlarged", factor > 1);
    });
    ["A", "B", "Reference"].forEach((name, place) => images[place] && (images[place].alt = name));
    frames.forEach((frame, place) => {
      if (!images[place]) return;
      frame.replaceChildren(images[place]);
      if (place === 2 || !reference) return;
      const over = images[2].cloneNode();
      over.alt = "";
      over.classList.add("over");
      frame.append(over);
    });
    if (this.scrolled !== true) {
      // Judging begins: the page's title gives way where the pictures would not fit under it.
      this.scrolled = true;
      if (this.root.getBoundingClientRect().bottom > window.innerHeight) this.root.scrollIntoView({ block: "start" });
    }
    this.shown = turn;
    this.since = performance.now();
    this.enable(true);
  }

  enable(on) {
    this.host.querySelectorAll(".choose, .hold").forEach((button) => (button.disabled = !on));
  }

  answer(choice) {
    const spent = performance.now() - this.since;
    if (this.shown === null || this.shown !== this.turn || spent < TOO_QUICK) return;
    this.push({ trial: this.shown, choice, seconds: spent / 1000 });
  }

  undo() {
    if (this.turn > 0) this.push({ trial: this.turn - 1, undo: true });
  }

  push(event) {
    this.memory.last = Math.max(this.memory.last + 1, Date.now());
    this.memory.pending.push({ id: this.memory.last, ...event });
    remember(this.identity, this.memory);
    this.send();
    this.refresh();
  }

  send() {
    this.sentAt = Date.now();
    this.tell("events", [...this.memory.pending]);
  }

  sendAgain() {
    const waiting = this.memory.pending.length;
    const late = waiting > 0 && Date.now() - (this.sentAt ?? 0) > SEND_AGAIN_AFTER;
    if (late) this.send();
    if (late || !waiting) {
      this.say(waiting ? `${waiting} answer${waiting > 1 ? "s" : ""} not kept yet: waiting for the server.` : "");
    }
  }

  say(words) {
    const place = this.find(".saving");
    if (place.textContent !== words) place.textContent = words;
  }

  hold(on) {
    this.root.classList.toggle("holding", on && this.data.reference && this.shown !== null);
  }

  listen() {
    const { signal } = this.ending;
    const on = (target, name, act, options) => target.addEventListener(name, act, { signal, ...options });
    this.host.querySelectorAll(".choose").forEach((button) => {
      on(button, "click", () => this.answer(button.dataset.choice));
    });
    on(this.find(".undo"), "click", () => this.undo());
    on(this.find(".full"), "click", () => this.fullScreen());
    const hold = this.find(".hold");
    on(hold, "pointerdown", () => this.hold(true));
    on(hold, "contextmenu", (event) => event.preventDefault());
    on(window, "pointerup", () => this.hold(false));
    on(window, "pointercancel", () => this.hold(false));
    on(window, "blur", () => this.hold(false));
    // The whole page listens, before Streamlit's own keys: nobody shall have to click on the pictures first.
    on(window, "keydown", (event) => this.key(event), { capture: true });
    on(window, "keyup", (event) => event.key === " " && this.hold(false), { capture: true });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.data || !this.root.isConnected) return;
    const [target] = event.composedPath();
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (target instanceof Element && target.closest("input, textarea, select, [contenteditable], [role=dialog]")) return;
    const pressed = target instanceof Element && target.closest("button, a, summary, [role=button], [role=radio]");
    if (pressed && !this.root.contains(pressed) && [" ", "ArrowLeft", "ArrowRight"].includes(name)) return;
    const choice = CHOICES[name];
    const acts = { u: () => this.undo(), Backspace: () => this.undo(), f: () => this.fullScreen() };
    if (this.data.reference) acts[" "] = () => this.hold(true);
    if (!choice && !acts[name]) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat) return;
    if (choice) this.answer(choice);
    else acts[name]();
  }

  async fullScreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.root.requestFullscreen?.();
  }

  end() {
    this.ending.abort();
    clearInterval(this.timer);
  }
}

const judges = new WeakMap(); // the element Streamlit gives -> its judge

export default function show({ data, parentElement, setStateValue }) {
  let judge = judges.get(parentElement);
  if (!judge || judge.identity !== data.identity) {
    judge?.end();
    judge = new Judge(parentElement, data.identity);
    judges.set(parentElement, judge);
  }
  judge.update(data, setStateValue);
  return () => {
    // Streamlit also calls this for a run that a newer one overtook, while the pictures stay in the page.
    if (judge.root.isConnected) return;
    judge.end();
    judges.delete(parentElement);
  };
}
