// The page opens: the code becomes a key, then the status is asked for as long as it is looked at.
const EVERY = 1000;
const PATIENCE = 5;
let silences = 0;

async function refresh() {
  try {
    const report = await ask("status");
    silences = 0;
    const changed = status?.model !== report.model || status?.lifecycle !== report.lifecycle;
    showStatus(report);
    if (changed && rows.size > 0) await showModels();
  } catch (error) {
    if (key === null) return;
    if (!(error instanceof Refused) && ++silences >= PATIENCE) {
      closePage("This page is closed.", "companionctl does not answer any more. It may have been ended.");
      return;
    }
    showNoStatus(error);
  }
  showPlots(status);
  showAccount(status);
  showTalk();
}

async function watch() {
  while (key !== null) {
    if (document.visibilityState === "visible") await refresh();
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}

function listen() {
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && key !== null) refresh();
  });
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  byId("ask").addEventListener("input", showTalk);
  byId("ask").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") answering?.abort();
  });
  byId("stop-answer").addEventListener("click", () => answering?.abort());
  byId("new-talk").addEventListener("click", newTalk);
  byId("sign-in").addEventListener("click", signIn);
  byId("sign-out").addEventListener("click", signOut);
  byId("sign-in-cancel").addEventListener("click", () => signingIn?.abort());
}

async function open() {
  try {
    await exchange();
  } catch (error) {
    closePage("This page needs a new address.", wordsOf(error));
    return;
  }
  byId("plots").append(...PLOTS.map((plot) => plot.node));
  byId("rooms").hidden = false;
  listen();
  await refresh();
  await showModels();
  byId("ask").focus();
  await watch();
}

open();
