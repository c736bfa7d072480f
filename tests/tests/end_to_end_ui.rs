//! The page of `companionctl ui` in a real browser, from signing in to an answer (contract 11).

use anyhow::{Context, Result, ensure};
use promises::browser::{Browser, Page, PlainServer};
use promises::{MODEL_ID, Ui, World};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_from_signing_in_to_an_answer_in_the_browser() -> Result<()> {
    let world = World::start().await?;
    let ui = Ui::start(&world).await?;
    let mut browser = Browser::start(&[], &[]).await?;
    let page = browser.open(ui.url()).await?;

    until(&mut browser, &page, &says("#account-state", "Signed out")).await?;
    // This browser does not trust the gateway's certificate: the test goes where the tab would.
    let sign_in = "window.open = () => null; document.getElementById('sign-in').click()";
    browser.evaluate(&page, sign_in).await?;
    until(&mut browser, &page, "document.getElementById('account-link').href").await?;
    let link = browser.evaluate(&page, "document.getElementById('account-link').href").await?;
    world.follow(link.as_str().context("no address")?).await?;
    until(&mut browser, &page, &says("#account-state", "Signed in")).await?;

    until(&mut browser, &page, &says("#facts", "Landlock ABI")).await?;
    until(&mut browser, &page, &has_button(&format!("Download {MODEL_ID}"))).await?;
    until(&mut browser, &page, &says(".file-fit[data-fits]", "it needs about")).await?;
    click(&mut browser, &page, &format!("Download {MODEL_ID}")).await?;
    until(&mut browser, &page, &says(".file-note", "Downloaded and verified")).await?;
    assert_eq!(world.stored_artifacts()?, [world.model_sha256()]);
    // A runtime is still missing: starting brings it too.
    click(&mut browser, &page, &format!("Start {MODEL_ID}")).await?;
    until(&mut browser, &page, &says("#state", "Available")).await?;

    let question = "What is the capital of <img src=x onerror=\"document.title='run'\"> France?";
    ask(&mut browser, &page, question).await?;
    until(&mut browser, &page, "document.querySelector('.turn[aria-busy=false]')").await?;
    let told = browser.evaluate(&page, TOLD).await?;
    assert_eq!(told["asked"], question);
    assert!(told["answer"].as_str().is_some_and(|it| !it.trim().is_empty()), "{told}");
    assert_eq!((&told["elements"], &told["title"]), (&json!(0), &json!("Companion")));

    ask(&mut browser, &page, "Write a very long essay on rivers.").await?;
    until(&mut browser, &page, "seen.size > 1").await.context("it does not stream")?;
    browser.evaluate(&page, "document.getElementById('stop-answer').click()").await?;
    until(&mut browser, &page, &says(".turn:last-child .turn-foot", "Stopped.")).await?;
    world.status_when(|status| status["in_flight"] == 0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_keeps_its_key_to_itself_and_its_address_opens_it_once() -> Result<()> {
    let world = World::start().await?;
    let ui = Ui::start(&world).await?;
    let elsewhere = PlainServer::start()?;
    let mut browser = Browser::start(&[], &[]).await?;
    let page = browser.open(ui.url()).await?;
    until(&mut browser, &page, "!document.getElementById('rooms').hidden").await?;
    let kept = browser.evaluate(&page, KEPT).await?;
    let address = format!("http://{}/", ui.address());
    assert_eq!(kept, json!({ "address": address, "stored": 0, "key": "undefined" }));

    // What the browser itself keeps from happening, were the page's own script ever turned.
    let tries = [
        "document.body.innerHTML = '<b>markup</b>'".to_owned(),
        "document.createElement('script').textContent = 'run()'".to_owned(),
        format!("await fetch('http://127.0.0.1:{}/v1/models')", elsewhere.port()),
        "await navigator.serviceWorker.register('/page.js')".to_owned(),
    ];
    for tried in tries {
        let outcome = format!("(async () => {{ {tried} }})().then(() => 'done', () => 'refused')");
        assert_eq!(browser.evaluate(&page, &outcome).await?, "refused", "{tried}");
    }

    let again = browser.open(ui.url()).await?;
    until(&mut browser, &again, &says("#gate", "(page_code_refused)")).await?;
    assert_eq!(browser.evaluate(&again, "document.getElementById('rooms').hidden").await?, true);
    assert_eq!(browser.evaluate(&page, "document.getElementById('gate').hidden").await?, true);

    // Looked at again: a page in the background asks for nothing.
    browser.close(again).await?;
    let address = ui.address().to_owned();
    ui.end().await?;
    ensure!(tokio::net::TcpStream::connect(&address).await.is_err(), "the port is open still");
    until(&mut browser, &page, &says("#gate", "does not answer")).await
}

/// `docs/ui-light.png` and `docs/ui-dark.png`, as docs/development.md says; look at them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "draws the pictures of the documents"]
async fn the_pictures_of_the_page_are_taken_anew() -> Result<()> {
    let docs = std::env::var("COMPANION_PICTURES").context("COMPANION_PICTURES names no place")?;
    let world = World::ready().await?;
    let ui = Ui::start(&world).await?;
    let mut browser = Browser::start(&[], &[]).await?;
    let page = browser.open(ui.url()).await?;
    until(&mut browser, &page, &says("#state", "Available")).await?;
    until(&mut browser, &page, &says("#facts", "Landlock ABI")).await?;
    let questions = [
        "Write four lines about a harbour in the morning.",
        "And four about the same harbour in the evening.",
    ];
    for (before, question) in questions.into_iter().enumerate() {
        ask(&mut browser, &page, question).await?;
        let answered = "document.querySelectorAll('.turn[data-role=assistant][aria-busy=false]')";
        until(&mut browser, &page, &format!("{answered}.length > {before}")).await?;
    }
    until(&mut browser, &page, &says("#facts", "0 running")).await?;
    for scheme in ["light", "dark"] {
        let picture = browser.picture(&page, (1280, 1040), scheme).await?;
        std::fs::write(format!("{docs}/ui-{scheme}.png"), picture)?;
    }
    Ok(())
}

const TOLD: &str = "({
    asked: document.querySelector('.turn[data-role=user] .said').textContent,
    answer: document.querySelector('.turn[data-role=assistant] .said').textContent,
    remark: document.querySelector('.turn[data-role=assistant] .turn-foot').textContent,
    elements: document.querySelectorAll('.said :not(pre)').length,
    title: document.title,
})";
const KEPT: &str = "(async () => ({
    address: location.href,
    stored: localStorage.length + sessionStorage.length + document.cookie.length
        + (await indexedDB.databases()).length + (await caches.keys()).length,
    key: typeof key,
}))()";

/// Types a question and sends it; `seen` counts the states that the answer is seen in.
async fn ask(browser: &mut Browser, page: &Page, question: &str) -> Result<()> {
    let script = format!(
        "globalThis.seen = new Set();
         new MutationObserver(() => {{
             const answer = document.querySelector('.turn:last-child[data-role=assistant] .said');
             if (answer?.textContent) seen.add(answer.textContent);
         }}).observe(document.getElementById('log'),
             {{ subtree: true, childList: true, characterData: true }});
         document.getElementById('ask').value = {};
         document.getElementById('composer').requestSubmit();",
        Value::from(question)
    );
    browser.evaluate(page, &script).await.map(drop)
}

async fn click(browser: &mut Browser, page: &Page, label: &str) -> Result<()> {
    browser.evaluate(page, &format!("{}.click()", button(label))).await.map(drop)
}

fn has_button(label: &str) -> String {
    format!("{} !== null", button(label))
}

fn button(label: &str) -> String {
    format!("document.querySelector('button[aria-label=\"{label}\"]')")
}

fn says(selector: &str, text: &str) -> String {
    format!(
        "[...document.querySelectorAll('{selector}')].some((it) => it.textContent.includes('{text}'))"
    )
}

/// Resolves once the expression is true in the page; the browser's own limit ends the wait.
async fn until(browser: &mut Browser, page: &Page, expression: &str) -> Result<()> {
    let wait = format!(
        "new Promise((resolve) => {{
             const look = () => ({expression}) ? resolve(true) : setTimeout(look, 20);
             look();
         }})"
    );
    browser.evaluate(page, &wait).await.with_context(|| expression.to_owned()).map(drop)
}
