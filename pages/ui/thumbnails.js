// A grid of small pictures that can be pressed. thumbnails.py describes the data; all text in it is data, never HTML.

/** The address of a media file: the server may live under a folder, which the page's own script knows. */
function mediaAddress(path) {
  const script = document.querySelector('script[src*="/static/js/"]');
  const base = script ? script.src.slice(0, script.src.lastIndexOf("/static/js/")) : window.location.origin;
  return base + path;
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function tile({ key, label, note, mark, url, missing, hint }, chosen) {
  const button = make("button", "tile");
  button.type = "button";
  button.dataset.key = key;
  button.title = hint;
  button.setAttribute("aria-label", [hint, label, note, mark].filter(Boolean).join(", "));
  button.setAttribute("aria-pressed", String(key === chosen));
  const picture = make("span", "picture", url ? undefined : missing);
  if (url) {
    const image = make("img", "");
    image.alt = "";
    image.loading = "lazy";
    image.decoding = "async";
    image.src = mediaAddress(url);
    picture.append(image);
  }
  button.append(picture);
  if (mark) button.append(make("span", "mark", mark));
  if (label) button.append(make("span", "label", label));
  if (note) button.append(make("span", "note", note));
  return button;
}

/** Arrow keys go from picture to picture, by rows as they are laid out now. */
function step(grid, from, key) {
  const tiles = [...grid.children];
  const place = tiles.indexOf(from);
  const columns = tiles.filter((other) => other.offsetTop === tiles[0].offsetTop).length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -place, End: tiles.length }[key];
  if (by === undefined) return false;
  tiles[Math.min(Math.max(place + by, 0), tiles.length - 1)].focus();
  return true;
}

const grids = new WeakMap(); // the element Streamlit gives -> what is drawn there

export default function show({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid");
  const drawn = grids.get(parentElement) ?? {};
  grids.set(parentElement, drawn);
  grid.style.setProperty("--side", `${data.side}px`);
  grid.style.gridTemplateColumns = data.columns ? `repeat(${data.columns}, minmax(0, 1fr))` : "";
  grid.setAttribute("aria-label", data.label);
  const tiles = JSON.stringify(data.tiles);
  if (drawn.tiles === tiles) {
    for (const button of grid.children) button.setAttribute("aria-pressed", String(button.dataset.key === data.chosen));
  } else {
    const focused = parentElement.activeElement?.dataset?.key;
    grid.replaceChildren(...data.tiles.map((one) => tile(one, data.chosen)));
    drawn.tiles = tiles;
    if (focused) [...grid.children].find((button) => button.dataset.key === focused)?.focus({ preventScroll: true });
  }
  grid.onclick = (event) => {
    const button = event.target.closest("button");
    if (button) setTriggerValue("pressed", button.dataset.key);
  };
  grid.onkeydown = (event) => {
    const button = event.target.closest("button");
    if (!button || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!step(grid, button, event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  };
}
