// The calls to the program that serves this page. The key is in this variable and nowhere else.
let key = null;

class Refused extends Error {
  constructor(reason, message) {
    // Commands stand between backticks; here nothing else sets them apart.
    super(message.replace(/`([^`]+)`/g, "“$1”"));
    this.reason = reason;
  }
}

async function post(path, body, headers = {}, signal = undefined) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
    credentials: "omit",
    redirect: "error",
    signal,
  });
  if (!response.ok) {
    const { error } = await response.json();
    if (error.reason === "page_key_refused") {
      closePage("This page is not open any more.", error.message);
    }
    throw new Refused(error.reason, error.message);
  }
  return response;
}

// Turns the code of the address into this page's key. The code leaves the address at once.
async function exchange() {
  const code = location.hash.slice(1);
  history.replaceState(null, "", "/");
  if (code.length !== 43) {
    throw new Refused("page_code_refused", "Open it with the address that the terminal shows.");
  }
  key = (await (await post("/exchange", { code })).json()).key;
}

function call(name, body, signal) {
  return post(`/api/${name}`, body, { Authorization: `Bearer ${key}` }, signal);
}

// One question, one JSON answer.
async function ask(name, body = {}) {
  return (await call(name, body)).json();
}

// Work that takes time: one event a line, `failed` is a refusal. Aborting the signal cancels it.
async function follow(name, body, signal, onEvent) {
  const response = await call(name, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let last = null;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      last = JSON.parse(line);
      if (last.event === "failed") throw new Refused(last.reason, last.message);
      onEvent(last);
    }
  }
  return last;
}

function wasStopped(error) {
  return error.name === "AbortError";
}

// What a person reads of an error; one without a reason is the connection's.
function wordsOf(error) {
  return error instanceof Refused ? error.message : "companionctl does not answer any more.";
}
