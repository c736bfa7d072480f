// The account, where one is configured.
let signingIn = null;

const SESSIONS = {
  valid: "Signed in",
  refresh: "Signed in; renewed at the next use",
  reauth: "The session has expired",
  signed_out: "Signed out",
};

function showAccount(report) {
  byId("account").hidden = !report.account_configured;
  const isIn = report.session === "valid" || report.session === "refresh";
  say(byId("account-state"), signingIn ? "Waiting for the browser" : SESSIONS[report.session] ?? "Unknown");
  byId("sign-in").hidden = isIn || signingIn !== null || report.session === null;
  byId("sign-out").hidden = !isIn;
  byId("sign-in-cancel").hidden = signingIn === null;
}

function noteOnAccount(text) {
  byId("account-note").hidden = text === "";
  say(byId("account-note"), text);
}

// The address is opened in a tab that knows nothing of this page; the link is for a browser that
// keeps new tabs shut.
async function signIn() {
  signingIn = new AbortController();
  noteOnAccount("");
  showAccount(status);
  try {
    await follow("sign-in", {}, signingIn.signal, (event) => {
      if (event.event !== "authorize") return;
      byId("account-link").href = event.url;
      byId("account-link-row").hidden = false;
      window.open(event.url, "_blank", "noopener,noreferrer");
    });
  } catch (error) {
    noteOnAccount(wasStopped(error) ? "Cancelled." : wordsOf(error));
  }
  signingIn = null;
  byId("account-link-row").hidden = true;
  byId("account-link").removeAttribute("href");
  await Promise.all([refresh(), showModels()]);
}

async function signOut() {
  try {
    const { revoked } = await ask("sign-out");
    noteOnAccount(revoked ? "" : "It is forgotten on this computer; the service did not say that it ended it there.");
  } catch (error) {
    noteOnAccount(wordsOf(error));
  }
  await refresh();
}
