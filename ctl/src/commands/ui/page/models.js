// The signed catalog and the store: one row a file, kept in place so that the focus stays.
const rows = new Map();

// Pieces of work at a time: a browser has six connections, and the page needs its own.
const AT_ONCE = 3;

const STATES = { running: "running", provisioned: "on this computer", absent: "not downloaded" };

async function showModels() {
  let entries;
  try {
    entries = (await ask("models")).models;
  } catch (error) {
    const here = NEXT_HERE[error.reason];
    noteOnModels(here ? `The catalog cannot be read yet. ${here}` : wordsOf(error));
    return;
  }
  noteOnModels(entries.length === 0 ? "The catalog is empty." : "");
  for (const entry of entries) rowOf(entry).show(entry);
  const present = new Set(entries.map((entry) => entry.id));
  for (const [id, row] of rows) {
    if (present.has(id)) continue;
    row.node.remove();
    rows.delete(id);
  }
  byId("runtimes").hidden = byId("runtime-list").children.length === 0;
  showTalk();
}

function noteOnModels(text) {
  byId("models-note").hidden = text === "";
  say(byId("models-note"), text);
}

function rowOf(entry) {
  if (!rows.has(entry.id)) {
    const row = new Row(entry);
    rows.set(entry.id, row);
    byId(entry.kind === "model" ? "model-list" : "runtime-list").append(row.node);
  }
  return rows.get(entry.id);
}

class Row {
  constructor(entry) {
    this.id = entry.id;
    this.badge = make("span", { className: "badge" });
    this.meta = make("p", { className: "file-meta" });
    this.fit = make("p", { className: "file-fit", hidden: true });
    this.acts = make("div", { className: "file-acts" });
    this.note = make("p", { className: "file-note", hidden: true });
    this.note.setAttribute("role", "status");
    this.work = new Work();
    const name = make("h3", { className: "file-name", textContent: entry.id });
    const head = make("div", { className: "file-head" }, name, this.badge);
    this.node = make("li", { className: "file" }, head, this.meta, this.fit, this.work.node, this.note, this.acts);
    this.begin();
  }

  show(entry) {
    this.entry = entry;
    const suits = entry.kind === "model" || entry.suits_this_machine;
    this.badge.dataset.state = entry.state;
    say(this.badge, suits ? STATES[entry.state] : "for other machines");
    say(this.meta, metaOf(entry));
    this.showFit(entry);
    if (!this.busy) this.showActs(suits ? actsOf(entry) : []);
  }

  // Whether it fits into memory, and why; one that runs shows it by running.
  showFit({ memory, state }) {
    this.fit.hidden = !memory || state === "running";
    if (this.fit.hidden) return;
    this.fit.dataset.fits = memory.fits;
    say(this.fit, FITS[memory.fits](memory));
  }

  showActs(names) {
    if (this.acts.dataset.names === names.join()) return;
    const hadFocus = this.acts.contains(document.activeElement);
    this.acts.dataset.names = names.join();
    this.acts.replaceChildren(...names.map((name) => this.actButton(name)));
    if (hadFocus) this.acts.querySelector("button")?.focus();
  }

  actButton(name) {
    const [text, className, act] = ACTS[name];
    const node = button(text, () => act(this, node), className);
    node.setAttribute("aria-label", `${text} ${this.id}`);
    return node;
  }

  say(text, state) {
    this.note.hidden = text === "";
    this.note.dataset.state = state;
    say(this.note, text);
  }

  begin() {
    this.busy = false;
    this.work.hide();
  }

  // Runs something that takes time, with a button to stop it where it can be stopped.
  async run(title, act, canStop = true) {
    if ([...rows.values()].filter((row) => row.busy).length >= AT_ONCE) {
      this.say("Wait until other work here has ended.", "bad");
      return;
    }
    const stop = new AbortController();
    this.busy = true;
    this.say("", "");
    this.work.show(title);
    this.acts.dataset.names = "";
    this.acts.replaceChildren(...(canStop ? [button("Cancel", () => stop.abort())] : []));
    this.acts.querySelector("button")?.focus();
    try {
      const done = await act(stop.signal);
      this.say(done ?? "", "good");
    } catch (error) {
      this.say(wasStopped(error) ? "Cancelled. What came stays for the next time." : wordsOf(error), "bad");
    }
    this.begin();
    await Promise.all([showModels(), refresh()]);
  }
}

const FITS = {
  yes: ({ needed_bytes: needed }) => `Fits into memory: it needs about ${size(needed)}.`,
  not_now: ({ needed_bytes: needed, available_bytes: free }) =>
    `Does not fit just now: it needs about ${size(needed)}, and ${size(free)} are free.`,
  never: ({ needed_bytes: needed, most_bytes: most }) =>
    `Too large for this computer: it needs about ${size(needed)}, and ${size(most)} may be used.`,
};

function metaOf(entry) {
  const words = entry.kind === "model"
    ? [entry.architecture, entry.quantization, entry.context_length && `${entry.context_length} tokens`]
    : [entry.version, entry.os, entry.arch];
  return [size(entry.size_bytes), ...words, entry.license].filter(Boolean).join(" · ");
}

function actsOf(entry) {
  if (entry.state === "running") return entry.kind === "model" ? ["stop"] : [];
  if (entry.state === "absent") return ["pull"];
  return entry.kind === "model" ? ["start", "verify", "remove"] : ["verify", "remove"];
}

const ACTS = {
  pull: ["Download", "primary", pullFile],
  start: ["Start", "primary", startModel],
  stop: ["Stop", "", stopModel],
  verify: ["Check again", "quiet", verifyFile],
  remove: ["Remove", "quiet", removeFile],
};

function pullFile(row) {
  return row.run("Asking the signed catalog", async (signal) => {
    await follow("pull", { id: row.id }, signal, (event) => row.work.hear(event));
    return "Downloaded and verified: its size and SHA-256 digest are the signed ones.";
  });
}

function startModel(row) {
  return row.run("Looking at what is needed", async (signal) => {
    await follow("start", { id: row.id }, signal, (event) => {
      // What is being loaded or stopped is no download that could be left for later.
      if (event.event !== "progress" && event.event !== "verified") row.acts.replaceChildren();
      row.work.hear(event);
    });
    return "";
  });
}

function stopModel(row) {
  return row.run("Stopping once its answers have ended", () => ask("stop").then(() => ""), false);
}

function verifyFile(row) {
  return row.run("Hashing the whole file again", async () => {
    await ask("verify", { id: row.id });
    return "Checked again: it is the file that the catalog signed.";
  }, false);
}

// Asks once more in place.
function removeFile(row, node) {
  if (!node.classList.contains("sure")) {
    node.classList.add("sure");
    node.textContent = "Really remove?";
    node.setAttribute("aria-label", `Really remove ${row.id}?`);
    node.addEventListener("blur", () => {
      row.acts.dataset.names = "";
      row.show(row.entry);
    }, { once: true });
    return undefined;
  }
  return row.run("Removing", async () => {
    const { freed_bytes: freed } = await ask("remove", { id: row.id });
    return `Removed: ${size(freed)} are free again.`;
  }, false);
}
