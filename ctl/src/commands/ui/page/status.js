// Status: whether it is available, and what is missing.
let status = null;

function showStatus(report) {
  status = report;
  setState(...stateOf(report));
  say(byId("bar-model"), report.model ?? "");
  const causes = byId("causes");
  const shown = report.causes.map((cause) => `${cause.what}${nextOf(cause)}`).join();
  if (causes.dataset.shown !== shown) {
    causes.dataset.shown = shown;
    causes.replaceChildren(...report.causes.map(causeItem), ...failureItem(report));
  }
  showFacts(report);
}

// A model that rests is loaded again by the next request, which waits for it.
function rests(report) {
  return report.causes.length > 0 && report.causes.every((cause) => cause.reason === "asleep");
}

function takesRequests(report) {
  return report !== null && (report.available || rests(report));
}

function stateOf(report) {
  if (report.available) return ["good", "Available"];
  if (report.lifecycle === "starting") return ["busy", "Loading the model"];
  if (report.lifecycle === "draining") return ["busy", "Stopping"];
  if (report.lifecycle === "ready") return ["busy", "Nearly ready"];
  if (rests(report)) return ["good", "Resting"];
  return ["bad", "Not available"];
}

function nextOf(cause) {
  return NEXT_HERE[cause.reason] ?? cause.next;
}

function causeItem(cause) {
  const item = make("li", {}, `${cause.what} `);
  item.append(make("span", { className: "next", textContent: nextOf(cause) }));
  return item;
}

function failureItem(report) {
  if (report.available || !report.last_failure_message) return [];
  return [make("li", { textContent: `Last run: ${report.last_failure_message}` })];
}

function showFacts(report) {
  const facts = [
    ["Model", report.model ?? "none"],
    ["Endpoint", report.endpoint ? `${report.endpoint}/v1` : "unknown"],
    ["Lane", report.lane],
    ["Requests", `${report.in_flight} running, ${report.queued} waiting`],
    ["Runtime", healthOf(report)],
    ["Confined", report.confined ?? "unknown"],
  ];
  const list = byId("facts");
  if (list.children.length === 0) {
    list.append(...facts.flatMap(([name]) => [make("dt", { textContent: name }), make("dd")]));
  }
  const values = list.querySelectorAll("dd");
  facts.forEach(([, value], index) => say(values[index], value));
}

function healthOf(report) {
  if (report.lifecycle !== "ready") return report.lifecycle ?? "unknown";
  if (report.health_age_ms === null) return "no answer yet";
  return `answered ${(report.health_age_ms / 1000).toFixed(1)} s ago`;
}

// The companion is there no more, or one of its processes: what is not known is not shown as known.
function showNoStatus(error) {
  showStatus({
    available: false, causes: [{ reason: error.reason, what: wordsOf(error), next: "" }],
    lifecycle: null, model: null, endpoint: null, lane: "disabled", in_flight: 0, queued: 0,
    health_age_ms: null, ram_bytes: 0, vram_bytes: 0, cpu_percent: 0, limits: {},
    session: null, account_configured: status?.account_configured ?? false,
    last_failure_message: null, pids: {},
  });
}
