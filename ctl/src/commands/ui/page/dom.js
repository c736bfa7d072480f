// The document. Text only ever becomes text.
function byId(id) {
  return document.getElementById(id);
}

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") Object.assign(node.dataset, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

// Changes text only where it is another: a screen reader says what changes.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function button(text, act, className = "") {
  const node = make("button", { type: "button", className, textContent: text });
  node.addEventListener("click", act);
  return node;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(bytes < 10 ? 2 : 1)} ${UNITS[unit]}`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

// What to do next, where this page has a button for it.
const NEXT_HERE = {
  not_ready: "Start one under Models.",
  not_signed_in: "Sign in under Account.",
  companion_not_running: "Start it in a terminal: companion up",
};

// Closes the page for good: without its key it can show nothing.
function closePage(title, text) {
  key = null;
  say(byId("gate-title"), title);
  say(byId("gate-text"), text);
  byId("gate").hidden = false;
  byId("rooms").hidden = true;
  say(byId("bar-model"), "");
  setState("unknown", "Closed");
}

function setState(state, text) {
  byId("state").dataset.state = state;
  say(byId("state"), text);
}
