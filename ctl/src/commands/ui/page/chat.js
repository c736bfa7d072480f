// The conversation: kept in this page's memory, shown as text, whatever the model says.
let turns = [];
let answering = null;

function showTalk() {
  const available = takesRequests(status);
  byId("ask").disabled = !available && answering === null;
  byId("send").disabled = !available || byId("ask").value.trim() === "";
  byId("send").hidden = answering !== null;
  byId("stop-answer").hidden = answering === null;
  const isEmpty = byId("log").querySelector(".turn") === null;
  byId("new-talk").disabled = isEmpty;
  byId("empty").hidden = !isEmpty;
  const [title, text] = available
    ? ["Ask something", "The model runs on this computer. Neither the question nor the answer leaves it."]
    : whatIsNeeded();
  say(byId("empty-title"), title);
  say(byId("empty-text"), text);
}

function whatIsNeeded() {
  if (status?.lifecycle === "starting") return ["The model is being loaded", "A moment, please."];
  if (rows.size === 0) return ["No model is here yet", "See what is missing under Status and Models."];
  const models = [...rows.values()].map((row) => row.entry).filter((it) => it?.kind === "model");
  if (models.some((entry) => entry.state === "provisioned")) {
    return ["No model is running", "Start one under Models."];
  }
  return ["No model is here yet", "Download one under Models, then start it."];
}

// A question that was stopped before any answer came is asked together with the next one: the
// templates of many models refuse two questions in a row.
function question(text) {
  const last = turns.at(-1);
  if (last?.role === "user") last.content += `\n\n${text}`;
  else turns.push({ role: "user", content: text });
  new Turn("user", text);
}

async function send() {
  const text = byId("ask").value.trim();
  if (text === "" || answering !== null || !takesRequests(status)) return;
  const before = structuredClone(turns);
  byId("ask").value = "";
  question(text);
  const view = new Turn("assistant", "");
  const answer = { role: "assistant", content: "" };
  const messages = structuredClone(turns);
  answering = new AbortController();
  say(byId("talk-hint"), "The model answers. Escape stops it.");
  showTalk();
  toTheEnd();
  try {
    const done = await follow("chat", { messages }, answering.signal, (event) => {
      if (event.event === "delta") hear(answer, view, event.text);
    });
    view.end(done?.finish_reason === "length" ? "Cut at the model's limit." : "", done?.usage);
  } catch (error) {
    if (wasStopped(error)) view.end("Stopped.");
    else {
      // As if it had not been asked: one that is too long would else spoil all that follow.
      view.fail(wordsOf(error));
      turns = before;
      byId("ask").value ||= text;
    }
  }
  answering = null;
  showTalk();
  byId("ask").focus();
}

function hear(answer, view, text) {
  const follows = isAtTheEnd();
  if (answer.content === "") turns.push(answer);
  answer.content += text;
  view.write(text);
  if (follows) toTheEnd();
}

function newTalk() {
  answering?.abort();
  for (const node of byId("log").querySelectorAll(".turn")) node.remove();
  turns = [];
  showTalk();
  byId("ask").focus();
}

function isAtTheEnd() {
  const log = byId("log");
  return log.scrollHeight - log.scrollTop - log.clientHeight < 60;
}

function toTheEnd() {
  byId("log").scrollTop = byId("log").scrollHeight;
}

// One turn as it is shown.
class Turn {
  constructor(role, text) {
    this.asked = performance.now();
    this.first = null;
    this.text = document.createTextNode(text);
    this.said = make("div", { className: "said" }, this.text);
    this.foot = make("div", { className: "turn-foot" });
    const title = make("h3", { textContent: role === "user" ? "You" : status?.model ?? "Model" });
    this.node = make("article", { className: "turn", data: { role } }, title, this.said);
    if (role === "assistant") {
      // Read out whole at its end, not piece by piece.
      this.node.setAttribute("aria-busy", "true");
      this.foot.textContent = "Thinking";
      this.node.append(this.foot);
    }
    byId("log").append(this.node);
  }

  write(text) {
    this.first ??= performance.now();
    this.last = performance.now();
    this.text.appendData(text);
    say(this.foot, "Writing");
  }

  end(remark, usage) {
    say(byId("talk-hint"), remark || "The answer is complete.");
    const words = [remark, speedOf(usage, this.first, this.last)].filter(Boolean).join(" ");
    this.close(make("span", { textContent: words }));
  }

  fail(message) {
    say(byId("talk-hint"), "");
    this.close(make("span", { className: "bad", textContent: message }));
  }

  close(...remarks) {
    const text = this.text.data;
    this.said.replaceChildren(...blocksOf(text));
    this.node.setAttribute("aria-busy", "false");
    this.foot.replaceChildren(...(text ? [copyButton(text)] : []), ...remarks);
  }
}

function speedOf(usage, first, last) {
  const tokens = usage?.completion_tokens ?? 0;
  if (tokens < 2 || !(last > first)) return "";
  const rate = (tokens - 1) / ((last - first) / 1000);
  return `${tokens} tokens, ${rate.toFixed(1)} a second`;
}

// Text between two fences stands in a block of its own; all of it stays text.
function blocksOf(text) {
  return text.split(/\n*^```[^\n]*\n?/m).map((part, index) => {
    const trimmed = part.replace(/^\n+|\n+$/g, "");
    return index % 2 === 1 ? make("pre", { textContent: trimmed }) : trimmed;
  });
}

function copyButton(text) {
  const node = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      node.textContent = "Copied";
    } catch {
      node.textContent = "The browser does not allow it";
    }
    setTimeout(() => (node.textContent = "Copy"), 2000);
  }, "quiet");
  node.setAttribute("aria-live", "polite");
  return node;
}
