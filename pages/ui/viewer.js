// The picture viewer. Streamlit calls the default export whenever its data or the theme change; viewer.py describes the data.
// Everything about looking (way of comparing, chosen pictures, zoom and place) lives here, so that a rerun never resets it.

const LETTERS = "ABCDEFGHIJKL";
const MODES = ["slider", "side", "flicker", "difference"];
const LARGEST_SCALE = 64;
const SMOOTH_UP_TO = 2; // above this many screen pixels per picture pixel, pixels are drawn as the squares they are
const GAP = 6; // pixels between panes
const NEAR_DIVIDER = 22;
const NARROW = 560; // below this width the viewer lays itself out for a telephone
const ROOM_FOR_NAME = 180;
const FORGET_AFTER = 5000; // milliseconds; a page that redraws itself takes the viewer away and brings it back at once

const memories = new Map(); // key of the viewer -> what must outlive a rerun and a change of page

function newMemory() {
  return {
    mode: "slider",
    slots: [], // keys of the pictures shown as A, B, C ...
    count: 2, // panes side by side
    split: 0.5,
    gain: 1,
    rate: 2,
    playing: !window.matchMedia("(prefers-reduced-motion: reduce)").matches,
    // Place: `scale` in screen pixels per pixel of the first picture, `u` and `v` what lies in the middle, 0 to 1.
    view: { fit: true, scale: 1, u: 0.5, v: 0.5 },
    blobs: new Map(), // address -> promise of the compressed picture, for all of them
    bitmaps: new Map(), // address -> decoded picture, for those on screen
    users: 0,
  };
}

/** The address of a media file: the server may live under a folder, which the page's own script knows. */
function mediaAddress(path) {
  const script = document.querySelector('script[src*="/static/js/"]');
  const base = script ? script.src.slice(0, script.src.lastIndexOf("/static/js/")) : window.location.origin;
  return base + path;
}

async function fetchBlob(path) {
  const answer = await fetch(mediaAddress(path));
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.blob();
}

async function decode(blob) {
  try {
    // Untouched values: the read-out and the difference are numbers people rely on.
    return await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    return createImageBitmap(blob);
  }
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Rectangles of `count` equal panes in a stage, in as many columns as show the picture largest. */
function layOut(count, width, height, space, gap) {
  let best = null;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const w = (width - gap * (columns - 1)) / columns;
    const h = (height - gap * (rows - 1)) / rows;
    const scale = Math.min(w / space.width, h / space.height);
    if (!best || scale > best.scale) best = { columns, w, h, scale };
  }
  return Array.from({ length: count }, (_, index) => ({
    x: (index % best.columns) * (best.w + gap),
    y: Math.floor(index / best.columns) * (best.h + gap),
    w: best.w,
    h: best.h,
  }));
}

/** The absolute difference of two pictures in the first one's pixels, as a canvas and as numbers. */
function subtract(first, second, gain) {
  const { width, height } = first;
  const read = (bitmap) => {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  };
  const a = read(first);
  const b = read(second).data;
  let largest = 0;
  let sum = 0;
  for (let i = 0; i < b.length; i += 4) {
    for (let c = i; c < i + 3; c += 1) {
      const difference = Math.abs(a.data[c] - b[c]);
      sum += difference;
      if (difference > largest) largest = difference;
      a.data[c] = difference * gain; // the array clamps at 255
    }
    a.data[i + 3] = 255;
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(a, 0, 0);
  return { canvas, largest, mean: sum / (width * height * 3) };
}

const number = (value) => String(Number(value.toPrecision(3)));

const channels = (colour) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));

/** The value a map's colour stands for: the nearest point of the legend's ramp. */
function valueOfColour(legend, rgb) {
  const stops = legend.colours.map(channels);
  let best = { distance: Infinity, place: 0 };
  for (let i = 0; i + 1 < stops.length; i += 1) {
    const step = stops[i + 1].map((value, c) => value - stops[i][c]);
    const length = step.reduce((sum, value) => sum + value * value, 0);
    const along = step.reduce((sum, value, c) => sum + value * (rgb[c] - stops[i][c]), 0);
    const t = length ? clamp(along / length, 0, 1) : 0;
    const distance = step.reduce((sum, value, c) => sum + (stops[i][c] + t * value - rgb[c]) ** 2, 0);
    if (distance < best.distance) best = { distance, place: (i + t) / (stops.length - 1) };
  }
  return legend.low + best.place * (legend.high - legend.low);
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

class Viewer {
  constructor(host, key) {
    this.host = host;
    if (!memories.has(key)) memories.set(key, newMemory());
    this.memory = memories.get(key);
    this.memory.users += 1;
    this.find = (selector) => host.querySelector(selector);
    this.root = this.find(".viewer");
    this.stage = this.find(".stage");
    this.canvas = this.find("canvas");
    this.divider = this.find(".divider");
    this.swapButton = this.find(".swap");
    this.context = this.canvas.getContext("2d");
    this.probe = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    this.pictures = []; // the list on screen
    this.coming = []; // the list last sent; on screen once its pictures are decoded
    this.shown = []; // [{picture, bitmap}] as A, B, C ...
    this.generation = 0;
    this.flickerSecond = false;
    this.pointers = new Map();
    this.spot = null; // where the read-out looks, in parts of the picture
    this.armed = false;
    this.ending = new AbortController();
    this.listen();
  }

  // --- pictures ----------------------------------------------------------------------------------------------------

  update(data) {
    this.coming = data.pictures;
    this.height = data.height;
    // Native controls follow the theme of the page, which need not be the one of the operating system.
    const ground = getComputedStyle(this.root).getPropertyValue("--st-background-color").trim();
    const dark = /^#[0-9a-f]{6}$/i.test(ground) && channels(ground).reduce((sum, value) => sum + value, 0) < 384;
    this.root.style.colorScheme = dark ? "dark" : "light";
    this.refresh();
  }

  /** Keys of the pictures to show: those chosen before where they still exist, then the rest in their order. */
  wantedSlots(list) {
    const known = new Set(list.map((picture) => picture.key));
    const kept = list.map((_, slot) => (known.has(this.memory.slots[slot]) ? this.memory.slots[slot] : null));
    const free = list.map((picture) => picture.key).filter((key) => !kept.includes(key));
    return kept.map((key) => key ?? free.shift());
  }

  shownCount(list) {
    if (list.length < 2) return list.length;
    return this.memory.mode === "side" ? clamp(this.memory.count, 2, list.length) : 2;
  }

  /** Decode what is to be shown, and only then put it on the screen: there is never a blank in between. */
  async refresh() {
    this.generation += 1;
    const generation = this.generation;
    const list = this.coming;
    const slots = this.wantedSlots(list);
    const byKey = new Map(list.map((picture) => [picture.key, picture]));
    const wanted = slots.slice(0, this.shownCount(list)).map((key) => byKey.get(key));
    const { blobs, bitmaps } = this.memory;
    const missing = wanted.filter((picture) => !bitmaps.has(picture.url));
    if (missing.length) {
      this.root.setAttribute("aria-busy", "true");
      try {
        await Promise.all(missing.map((picture) => this.load(picture)));
      } catch (error) {
        if (generation !== this.generation || this.ending.signal.aborted) return;
        missing.forEach((picture) => blobs.delete(picture.url)); // so that the next change tries again
        this.say(`A picture could not be loaded (${error.message}). Reload the page to see it.`);
        return;
      }
      if (generation !== this.generation || this.ending.signal.aborted) return;
    }
    this.say("");
    this.root.removeAttribute("aria-busy");
    this.pictures = list;
    this.memory.slots = slots;
    this.space = list[0];
    this.shown = wanted.map((picture) => ({ picture, bitmap: bitmaps.get(picture.url) }));
    this.forget(new Set(list.map((picture) => picture.url)), new Set(wanted.map((picture) => picture.url)));
    // Fetched now, while the server still holds them, and small as they are: choosing another one is then immediate.
    list.forEach((picture) => this.blob(picture.url).catch(() => blobs.delete(picture.url)));
    this.dress();
    this.draw();
  }

  blob(url) {
    const { blobs } = this.memory;
    if (!blobs.has(url)) blobs.set(url, fetchBlob(url));
    return blobs.get(url);
  }

  async load(picture) {
    const bitmap = await decode(await this.blob(picture.url));
    this.memory.bitmaps.set(picture.url, bitmap);
  }

  forget(listed, onScreen) {
    const { blobs, bitmaps } = this.memory;
    for (const url of blobs.keys()) if (!listed.has(url)) blobs.delete(url);
    for (const url of bitmaps.keys()) if (!onScreen.has(url)) bitmaps.delete(url);
    if (this.difference && !onScreen.has(this.difference.first)) this.difference = null;
  }

  say(text) {
    const trouble = this.find(".trouble");
    trouble.textContent = text;
    trouble.hidden = !text;
  }

  // --- what is around the pictures ---------------------------------------------------------------------------------

  get mode() {
    return this.pictures.length < 2 ? "side" : this.memory.mode;
  }

  /** Bring buttons, select boxes, names, legends and captions in line with what is shown. */
  dress() {
    const { memory, mode, shown } = this;
    const several = this.pictures.length > 1;
    this.find(".modes").hidden = !several;
    for (const button of this.host.querySelectorAll("[data-mode]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    }
    for (const options of this.host.querySelectorAll("[data-for]")) {
      options.hidden = !several || options.dataset.for !== mode || (mode === "side" && this.pictures.length < 3);
    }
    for (const button of this.host.querySelectorAll("[data-gain]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.gain) === memory.gain));
    }
    this.dressCount();
    this.dressChoices(several);
    this.find(".rate").value = memory.rate;
    this.find(".rate-value").textContent = String(memory.rate);
    this.find(".play").textContent = memory.playing ? "Pause" : "Play";
    this.divider.hidden = mode !== "slider";

    this.find(".legends").replaceChildren(
      ...shown.filter(({ picture }) => picture.legend).map(({ picture }) => this.legend(picture))
    );
    this.find(".captions").replaceChildren(
      ...shown
        .filter(({ picture }) => picture.caption)
        .map(({ picture }) => {
          const line = make("p");
          line.append(make("span", "letter", picture.label), ` ${picture.caption}`);
          return line;
        })
    );
    this.dressNote();
    this.readOut();
    this.beat();
  }

  dressCount() {
    const select = this.find(".count");
    const most = Math.min(this.pictures.length, LETTERS.length);
    if (select.options.length !== most - 1) {
      select.replaceChildren(...Array.from({ length: Math.max(most - 1, 0) }, (_, i) => new Option(i + 2, i + 2)));
    }
    select.value = String(this.shown.length);
  }

  dressChoices(several) {
    const box = this.find(".choices");
    const signature = JSON.stringify([this.shown.length, this.pictures.map(({ key, label }) => [key, label])]);
    if (several && box.dataset.signature !== signature) {
      // Rebuilt only when its entries change, so that an open list or the focus is not lost in a rerun.
      box.dataset.signature = signature;
      box.replaceChildren(
        ...this.shown.map((_, slot) => {
          const label = make("label");
          const select = make("select");
          select.setAttribute("aria-label", `Picture ${LETTERS[slot]}`);
          select.append(...this.pictures.map((picture) => new Option(picture.label, picture.key)));
          select.addEventListener("change", () => this.choose(slot, select.value));
          label.append(make("span", "letter", LETTERS[slot]), select);
          return label;
        })
      );
      box.firstChild.after(this.swapButton);
    }
    box.hidden = !several;
    if (!several) return;
    box.querySelectorAll("select").forEach((select, slot) => {
      select.value = this.shown[slot].picture.key;
    });
  }

  legend({ label, legend }) {
    const box = make("div", "legend");
    const ramp = make("span", "ramp");
    ramp.style.background = `linear-gradient(to right, ${legend.colours.join(", ")})`;
    const range = `${number(legend.low)} to ${number(legend.high)} ${legend.unit}`.trim();
    ramp.setAttribute("role", "img");
    ramp.setAttribute("aria-label", `Colours of ${label}, ${range}`);
    box.append(make("span", "letter", label), make("span", "", number(legend.low)), ramp);
    box.append(make("span", "", `${number(legend.high)} ${legend.unit}`.trim()));
    return box;
  }

  dressNote() {
    const note = this.find(".note");
    if (this.mode !== "difference") {
      note.textContent = "";
      return;
    }
    const [a, b] = this.shown;
    const { gain } = this.memory;
    const { largest, mean } = this.differenceOf(a, b);
    const parts = [
      gain === 1
        ? "Absolute difference of A and B in each colour channel, as it is."
        : `Absolute difference of A and B in each colour channel, times ${gain}; ${Math.ceil(255 / gain)} and more is drawn as 255.`,
      `Largest ${largest}, mean ${number(mean)} of 255.`,
    ];
    if (a.bitmap.width !== b.bitmap.width || a.bitmap.height !== b.bitmap.height) {
      parts.push("B was brought to the size of A for this.");
    }
    if (a.picture.legend || b.picture.legend) parts.push("A map is a picture of colours: this is how far its colours differ.");
    note.textContent = parts.join(" ");
  }

  differenceOf(a, b) {
    const { gain } = this.memory;
    const [first, second] = [a.picture.url, b.picture.url];
    const kept = this.difference;
    if (!kept || kept.first !== first || kept.second !== second || kept.gain !== gain) {
      this.difference = { first, second, gain, ...subtract(a.bitmap, b.bitmap, gain) };
    }
    return this.difference;
  }

  choose(slot, key) {
    const other = this.memory.slots.indexOf(key);
    if (other >= 0) this.memory.slots[other] = this.memory.slots[slot]; // each picture has one place: the two change places
    this.memory.slots[slot] = key;
    this.refresh();
  }

  swap() {
    if (this.pictures.length > 1) this.choose(0, this.memory.slots[1]);
  }

  // --- drawing -----------------------------------------------------------------------------------------------------

  draw() {
    if (this.frame || !this.shown.length) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  /** Panes in screen pixels; one for all ways of comparing but side by side. */
  panes() {
    const ratio = window.devicePixelRatio;
    const { clientWidth, clientHeight } = this.stage;
    const count = this.mode === "side" ? this.shown.length : 1;
    return layOut(count, clientWidth * ratio, clientHeight * ratio, this.space, GAP * ratio);
  }

  fitScale(pane) {
    return Math.min(pane.w / this.space.width, pane.h / this.space.height);
  }

  /** The place now looked at: scale, and the middle kept where the picture covers the pane. */
  place(pane) {
    const { view } = this.memory;
    const fit = this.fitScale(pane);
    const scale = view.fit ? fit : clamp(view.scale, Math.min(fit, 1), LARGEST_SCALE);
    const middle = (at, size, room) => {
      const half = room / 2 / (size * scale);
      return half >= 0.5 ? 0.5 : clamp(at, half, 1 - half);
    };
    return {
      scale,
      u: middle(view.u, this.space.width, pane.w),
      v: middle(view.v, this.space.height, pane.h),
    };
  }

  paint() {
    const narrow = this.root.clientWidth < NARROW;
    this.root.classList.toggle("narrow", narrow);
    const rows = this.mode === "side" && narrow ? this.shown.length : 1;
    // On a telephone one picture needs no more height than its own shape; stacked ones share what a screen can hold.
    const shape = (this.root.clientWidth * this.space.height) / this.space.width;
    const room = narrow ? clamp(shape * rows, 220, Math.max(this.height, 220 * rows)) : this.height;
    this.stage.style.height = `${Math.round(room)}px`;

    const ratio = window.devicePixelRatio;
    const width = Math.round(this.stage.clientWidth * ratio);
    const height = Math.round(this.stage.clientHeight * ratio);
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const panes = this.panes();
    const place = this.place(panes[0]);
    const { context } = this;
    context.clearRect(0, 0, width, height);
    const [a, b] = this.shown;
    if (this.mode === "slider") {
      const cut = Math.round(this.memory.split * width);
      this.picture(a.bitmap, panes[0], place, 0, cut);
      this.picture(b.bitmap, panes[0], place, cut, width);
    } else if (this.mode === "difference") {
      this.picture(this.differenceOf(a, b).canvas, panes[0], place);
    } else if (this.mode === "flicker") {
      this.picture((this.flickerSecond ? b : a).bitmap, panes[0], place);
    } else {
      this.shown.forEach(({ bitmap }, index) => this.picture(bitmap, panes[index], place));
      this.crosses(panes, place);
    }
    this.finish(panes, place, ratio);
  }

  picture(bitmap, pane, place, left = pane.x, right = pane.x + pane.w) {
    const { context, space } = this;
    const size = Math.min(space.width / bitmap.width, space.height / bitmap.height) * place.scale;
    const width = bitmap.width * size;
    const height = bitmap.height * size;
    const x = pane.x + pane.w / 2 + (0.5 - place.u) * space.width * place.scale - width / 2;
    const y = pane.y + pane.h / 2 + (0.5 - place.v) * space.height * place.scale - height / 2;
    context.save();
    context.beginPath();
    context.rect(left, pane.y, right - left, pane.h);
    context.clip();
    context.imageSmoothingEnabled = size <= SMOOTH_UP_TO;
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, Math.round(x), Math.round(y), Math.round(width), Math.round(height));
    context.restore();
  }

  /** A small cross at the read-out's place in every pane but the one under the pointer. */
  crosses(panes, place) {
    if (!this.spot || panes.length < 2) return;
    const { context, space } = this;
    const arm = 8 * window.devicePixelRatio;
    panes.forEach((pane, index) => {
      if (index === this.spot.pane) return;
      const x = Math.round(pane.x + pane.w / 2 + (this.spot.u - place.u) * space.width * place.scale);
      const y = Math.round(pane.y + pane.h / 2 + (this.spot.v - place.v) * space.height * place.scale);
      if (x < pane.x || x > pane.x + pane.w || y < pane.y || y > pane.y + pane.h) return;
      for (const [colour, thickness] of [["#000", 3], ["#fff", 1]]) {
        context.strokeStyle = colour;
        context.lineWidth = thickness * window.devicePixelRatio;
        context.beginPath();
        context.moveTo(x - arm, y);
        context.lineTo(x + arm, y);
        context.moveTo(x, y - arm);
        context.lineTo(x, y + arm);
        context.stroke();
      }
    });
  }

  /** What follows every painting: names on the pictures, divider, zoom in words, and what a finger may do. */
  finish(panes, place, ratio) {
    const [a, b] = this.shown.map(({ picture }, slot) => `${LETTERS[slot]}  ${picture.label}`);
    const names = [];
    const at = (text, x, y, fromRight = false) => names.push({ text, x: x / ratio, y: y / ratio, fromRight });
    // Names stand on the picture where it leaves room beside it.
    const beside = (panes[0].w - this.space.width * place.scale) / 2;
    const inset = clamp(beside, 0, Math.max(panes[0].w / 2 - ROOM_FOR_NAME * ratio, 0));
    if (this.mode === "slider") {
      at(a, inset, 0);
      at(b, inset, 0, true);
    } else if (this.mode === "flicker") {
      at(this.flickerSecond ? b : a, inset, 0);
    } else if (this.mode === "difference") {
      at(`|A − B| × ${this.memory.gain}`, inset, 0);
    } else {
      this.shown.forEach(({ picture }, index) => {
        const text = this.shown.length > 1 ? `${LETTERS[index]}  ${picture.label}` : picture.label;
        at(text, panes[index].x + inset, panes[index].y);
      });
    }
    const signature = JSON.stringify([names, panes[0].w]);
    if (signature !== this.namesDrawn) {
      this.namesDrawn = signature;
      const most = this.mode === "slider" ? panes[0].w / 2 - inset : panes[0].w;
      this.find(".tags").replaceChildren(
        ...names.map(({ text, x, y, fromRight }) => {
          const tag = make("span", "tag", text);
          tag.style.top = `${y + 6}px`;
          tag.style[fromRight ? "right" : "left"] = `${x + 6}px`;
          tag.style.maxWidth = `${most / ratio - 12}px`;
          return tag;
        })
      );
    }
    const percent = Math.round(this.memory.split * 100);
    this.divider.style.left = `${this.memory.split * 100}%`;
    this.divider.setAttribute("aria-valuenow", String(percent));
    this.divider.setAttribute("aria-valuetext", `A to ${percent} percent of the width`);
    const zoom = place.scale * 100;
    this.find(".zoom").textContent = `${zoom < 10 ? zoom.toFixed(1) : Math.round(zoom)} %`;
    const { view } = this.memory;
    this.find(".fit").setAttribute("aria-pressed", String(view.fit));
    this.find(".one").setAttribute("aria-pressed", String(Math.abs(place.scale - 1) < 1e-3));
    this.stage.classList.toggle("still", !this.canMove(panes[0], place));
    // A picture shown whole leaves up and down to the page; one zoomed into takes the finger.
    this.stage.style.touchAction = this.canMove(panes[0], place) ? "none" : "pan-y";
  }

  canMove(pane, place) {
    return (
      this.space.width * place.scale > pane.w + 1 || this.space.height * place.scale > pane.h + 1
    );
  }

  // --- moving ------------------------------------------------------------------------------------------------------

  /** The pane under a place on the page, and the place from that pane's middle, in screen pixels. */
  locate(event) {
    const ratio = window.devicePixelRatio;
    const box = this.stage.getBoundingClientRect();
    const x = (event.clientX - box.left) * ratio;
    const y = (event.clientY - box.top) * ratio;
    const panes = this.panes();
    let index = panes.findIndex((pane) => x >= pane.x && x < pane.x + pane.w && y >= pane.y && y < pane.y + pane.h);
    if (index < 0) index = 0;
    const pane = panes[index];
    return { pane, index, dx: x - pane.x - pane.w / 2, dy: y - pane.y - pane.h / 2, x: x / ratio };
  }

  /** Zoom, keeping what lies at (dx, dy) from the middle of the pane where it is. */
  zoomTo(scale, pane, dx = 0, dy = 0) {
    const now = this.place(pane);
    const fit = this.fitScale(pane);
    const next = clamp(scale, Math.min(fit, 1), LARGEST_SCALE);
    const { view } = this.memory;
    if (next <= fit * 1.001 && next >= fit * 0.999) {
      this.fit();
      return;
    }
    view.fit = false;
    view.u = now.u + (dx / this.space.width) * (1 / now.scale - 1 / next);
    view.v = now.v + (dy / this.space.height) * (1 / now.scale - 1 / next);
    view.scale = next;
    Object.assign(view, this.place(pane));
    this.draw();
  }

  /** Zoom by a factor; passing the whole picture on the way out stops there. */
  zoomBy(factor, pane, dx = 0, dy = 0) {
    const now = this.place(pane).scale;
    const fit = this.fitScale(pane);
    const next = now * factor;
    const passes = (now - fit) * (next - fit) < 0 && Math.abs(now / fit - 1) > 0.001;
    this.zoomTo(passes ? fit : next, pane, dx, dy);
  }

  moveBy(dx, dy, pane) {
    const { view } = this.memory;
    const now = this.place(pane);
    if (view.fit || !this.canMove(pane, now)) return;
    view.u = now.u - dx / (this.space.width * now.scale);
    view.v = now.v - dy / (this.space.height * now.scale);
    Object.assign(view, this.place(pane));
    this.draw();
  }

  fit() {
    Object.assign(this.memory.view, { fit: true, u: 0.5, v: 0.5 });
    this.draw();
  }

  cut(position) {
    this.memory.split = clamp(position, 0, 1);
    this.draw();
  }

  // --- read-out ----------------------------------------------------------------------------------------------------

  look(event) {
    const { pane, index, dx, dy } = this.locate(event);
    const place = this.place(pane);
    const u = place.u + dx / (this.space.width * place.scale);
    const v = place.v + dy / (this.space.height * place.scale);
    this.spot = u >= 0 && u < 1 && v >= 0 && v < 1 ? { u, v, pane: index } : null;
    this.readOut();
    if (this.mode === "side") this.draw();
  }

  pixel(bitmap) {
    const size = Math.min(this.space.width / bitmap.width, this.space.height / bitmap.height);
    const x = Math.floor(bitmap.width / 2 + ((this.spot.u - 0.5) * this.space.width) / size);
    const y = Math.floor(bitmap.height / 2 + ((this.spot.v - 0.5) * this.space.height) / size);
    if (x < 0 || y < 0 || x >= bitmap.width || y >= bitmap.height) return null;
    this.probe.clearRect(0, 0, 1, 1);
    this.probe.drawImage(bitmap, x, y, 1, 1, 0, 0, 1, 1);
    return [...this.probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  }

  readOut() {
    const box = this.find(".readout");
    if (!this.spot || !this.shown.length) {
      box.replaceChildren(make("span", "quiet", "Point at a picture, or tap it, to read its values (0 to 255)."));
      return;
    }
    const x = Math.floor(this.spot.u * this.space.width);
    const y = Math.floor(this.spot.v * this.space.height);
    const values = this.shown.map(({ bitmap }) => this.pixel(bitmap));
    const parts = [make("span", "position", `x ${x}, y ${y}`)];
    this.shown.forEach(({ picture }, slot) => {
      const rgb = values[slot];
      const part = make("span", "value");
      const swatch = make("span", "swatch");
      if (rgb) swatch.style.background = `rgb(${rgb.join(" ")})`;
      let text = rgb ? rgb.join(" ") : "outside";
      if (rgb && picture.legend) {
        text = `about ${number(valueOfColour(picture.legend, rgb))} ${picture.legend.unit}`.trim();
      }
      part.append(make("span", "letter", this.shown.length > 1 ? LETTERS[slot] : "RGB"), swatch, make("span", "", text));
      part.title = picture.label;
      parts.push(part);
    });
    if (this.mode === "difference" && values[0] && values[1]) {
      const apart = values[0].map((value, c) => Math.abs(value - values[1][c]));
      const part = make("span", "value");
      part.append(make("span", "letter", "|A − B|"), make("span", "", apart.join(" ")));
      parts.push(part);
    }
    box.replaceChildren(...parts);
  }

  // --- flicker -----------------------------------------------------------------------------------------------------

  beat() {
    clearInterval(this.timer);
    this.timer = 0;
    if (this.mode !== "flicker" || !this.memory.playing) return;
    this.timer = setInterval(() => {
      this.flickerSecond = !this.flickerSecond;
      this.draw();
    }, 1000 / this.memory.rate);
  }

  play(playing) {
    this.memory.playing = playing;
    this.find(".play").textContent = playing ? "Pause" : "Play";
    this.beat();
  }

  // --- events ------------------------------------------------------------------------------------------------------

  listen() {
    const { signal } = this.ending;
    const on = (target, name, act, options = {}) => target.addEventListener(name, act, { ...options, signal });
    const first = () => this.panes()[0];
    for (const button of this.host.querySelectorAll("[data-mode]")) {
      on(button, "click", () => this.setMode(button.dataset.mode));
    }
    for (const button of this.host.querySelectorAll("[data-gain]")) {
      on(button, "click", () => {
        this.memory.gain = Number(button.dataset.gain);
        this.dress();
        this.draw();
      });
    }
    on(this.find(".in"), "click", () => this.zoomBy(1.5, first()));
    on(this.find(".out"), "click", () => this.zoomBy(1 / 1.5, first()));
    on(this.find(".fit"), "click", () => this.fit());
    on(this.find(".one"), "click", () => this.zoomTo(1, first()));
    on(this.swapButton, "click", () => this.swap());
    on(this.find(".full"), "click", () => this.fullScreen());
    on(this.find(".count"), "change", (event) => {
      this.memory.count = Number(event.target.value);
      this.refresh();
    });
    on(this.find(".rate"), "input", (event) => {
      this.memory.rate = Number(event.target.value);
      this.find(".rate-value").textContent = event.target.value;
      this.beat();
    });
    on(this.find(".play"), "click", () => this.play(!this.memory.playing));

    on(this.stage, "pointerdown", (event) => this.pointerDown(event));
    on(this.stage, "pointermove", (event) => this.pointerMove(event));
    on(this.stage, "pointerup", (event) => this.pointerUp(event));
    on(this.stage, "pointercancel", (event) => this.pointerUp(event));
    on(this.stage, "pointerleave", (event) => {
      if (event.pointerType !== "mouse" || this.pointers.size) return;
      this.spot = null;
      this.readOut();
      this.draw();
    });
    on(this.stage, "dblclick", (event) => {
      const { pane, dx, dy } = this.locate(event);
      if (!this.memory.view.fit) this.fit();
      else this.zoomTo(Math.max(1, 2 * this.fitScale(pane)), pane, dx, dy);
    });
    on(this.stage, "wheel", (event) => this.wheel(event), { passive: false });
    on(this.stage, "keydown", (event) => this.key(event));
    // The wheel belongs to the page until the pointer itself moves over the pictures: scrolling past them never zooms.
    on(document, "scroll", () => (this.armed = false), { capture: true, passive: true });
    on(this.root, "fullscreenchange", () => this.draw());
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.stage);
  }

  setMode(mode) {
    if (!MODES.includes(mode)) return;
    this.memory.mode = mode;
    this.flickerSecond = false;
    this.refresh();
  }

  async fullScreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.root.requestFullscreen?.();
  }

  nearDivider(event) {
    if (this.mode !== "slider") return false;
    return Math.abs(this.locate(event).x - this.memory.split * this.stage.clientWidth) < NEAR_DIVIDER;
  }

  pointerDown(event) {
    if (event.button > 0 || !this.shown.length) return;
    (this.nearDivider(event) ? this.divider : this.stage).focus({ preventScroll: true });
    this.stage.setPointerCapture(event.pointerId);
    event.preventDefault();
    const { pane } = this.locate(event);
    const still = !this.canMove(pane, this.place(pane));
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.pointers.size === 1) {
      const divides = this.mode === "slider" && (still || this.nearDivider(event));
      this.drag = { divides, pane, moved: 0 };
    } else {
      this.drag = { divides: false, pane, moved: Infinity };
    }
    this.stage.classList.toggle("dragging", !this.drag.divides && !still);
  }

  pointerMove(event) {
    if (event.screenX !== this.lastX || event.screenY !== this.lastY) this.armed = true;
    [this.lastX, this.lastY] = [event.screenX, event.screenY];
    if (!this.shown.length) return;
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.look(event);
      return;
    }
    const ratio = window.devicePixelRatio;
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const dx = event.clientX - before.x;
    const dy = event.clientY - before.y;
    this.drag.moved += Math.hypot(dx, dy);
    if (others.length) {
      const [other] = others;
      const apart = (place) => Math.hypot(place.x - other.x, place.y - other.y) || 1;
      const middle = { clientX: (event.clientX + other.x) / 2, clientY: (event.clientY + other.y) / 2 };
      const { pane, dx: mx, dy: my } = this.locate(middle);
      this.zoomBy(apart({ x: event.clientX, y: event.clientY }) / apart(before), pane, mx, my);
      this.moveBy((dx / 2) * ratio, (dy / 2) * ratio, pane);
    } else if (this.drag.divides) {
      this.cut(this.locate(event).x / this.stage.clientWidth);
    } else {
      this.moveBy(dx * ratio, dy * ratio, this.drag.pane);
      this.look(event);
    }
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }

  pointerUp(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    this.stage.classList.remove("dragging");
    if (event.type === "pointerup" && this.drag.moved < 5) this.look(event);
    if (this.pointers.size) this.drag = { divides: false, pane: this.drag.pane, moved: Infinity };
  }

  wheel(event) {
    if (!this.shown.length || !(this.armed || event.ctrlKey || event.metaKey)) return;
    const { pane, dx, dy } = this.locate(event);
    const delta = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
    // Pinching on a touchpad arrives as small steps with the control key held.
    const factor = Math.exp(-clamp(delta, -200, 200) * (event.ctrlKey && Math.abs(delta) < 50 ? 0.01 : 0.002));
    const { scale } = this.place(pane);
    const least = Math.min(this.fitScale(pane), 1);
    const stuck = factor < 1 ? scale <= this.fitScale(pane) * 1.001 || scale <= least : scale >= LARGEST_SCALE;
    if (stuck && !event.ctrlKey) return; // nothing left to zoom: the page scrolls on
    event.preventDefault();
    if (!stuck) this.zoomBy(factor, pane, dx, dy);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.shown.length) return;
    const pane = this.panes()[0];
    const step = Math.round(pane.w / 10);
    const onDivider = event.target === this.divider;
    const split = event.shiftKey ? 0.1 : 0.02;
    const acts = {
      "+": () => this.zoomBy(1.5, pane),
      "=": () => this.zoomBy(1.5, pane),
      "-": () => this.zoomBy(1 / 1.5, pane),
      0: () => this.fit(),
      1: () => this.zoomTo(1, pane),
      s: () => this.swap(),
      " ": () => this.mode === "flicker" && this.play(!this.memory.playing),
      ArrowLeft: () => (onDivider ? this.cut(this.memory.split - split) : this.moveBy(step, 0, pane)),
      ArrowRight: () => (onDivider ? this.cut(this.memory.split + split) : this.moveBy(-step, 0, pane)),
      ArrowUp: () => (onDivider ? this.cut(this.memory.split + split) : this.moveBy(0, step, pane)),
      ArrowDown: () => (onDivider ? this.cut(this.memory.split - split) : this.moveBy(0, -step, pane)),
      Home: () => onDivider && this.cut(0),
      End: () => onDivider && this.cut(1),
    };
    const act = acts[event.key] ?? acts[event.key.toLowerCase()];
    if (!act) return;
    // Streamlit has keys of its own; those pressed here are meant for the pictures.
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  end() {
    this.ending.abort();
    this.observer.disconnect();
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
    const { memory } = this;
    memory.users -= 1;
    setTimeout(() => {
      if (memory.users > 0) return;
      memory.blobs.clear();
      memory.bitmaps.clear();
    }, FORGET_AFTER);
  }
}

const viewers = new WeakMap(); // the element Streamlit gives -> its viewer

export default function show({ data, parentElement }) {
  let viewer = viewers.get(parentElement);
  if (!viewer) {
    viewer = new Viewer(parentElement, data.key);
    viewers.set(parentElement, viewer);
  }
  viewer.update(data);
  return () => {
    // Streamlit also calls this for a run that a newer one overtook, while the viewer stays in the page.
    if (viewer.root.isConnected) return;
    viewer.end();
    viewers.delete(parentElement);
  };
}
