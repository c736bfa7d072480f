//! No secret in any output, file, argument or environment over a whole life (contract Pk,
//! architecture 3 promise 4).

use anyhow::Result;
use promises::{MODEL_ID, RUNTIME_ID, World};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_anywhere_from_sign_in_to_sign_out() -> Result<()> {
    let world = World::start().await?;
    world.sign_in().await?;
    for id in [RUNTIME_ID, MODEL_ID] {
        world.ctl_events(&["pull", id]).await?.expect_success();
    }
    world.ctl_events(&["start", MODEL_ID]).await?.expect_success();
    let (address, token) = world.endpoint_and_token().await?;
    let canary = "zebra-canary-prompt-4711";
    let body = format!(r#"{{"prompt":"{canary}","max_tokens":8}}"#);
    assert_eq!(promises::post(&address, "/v1/completions", &token, &body).await?.status, 200);
    promises::get(&address, "/v1/models", Some("wrong-token-canary-4712")).await?;
    world.ctl_events(&["pull", "no-such-id-canary-4713"]).await?.expect_refusal("unknown_artifact");

    let oauth = world.issued_secrets();
    assert!(oauth.len() >= 4, "tokens, code, verifier and state");
    let mut never = oauth.clone();
    never.extend([token.clone(), canary.to_owned(), "wrong-token-canary-4712".to_owned()]);
    never.extend(["no-such-id-canary-4713".to_owned(), world.model_sha256(), world.model_url()]);

    let roles = ["launcher", "broker", "supervisor", "frontdoor", "runtime"];
    for role in roles {
        let pid = world.pid_of(role).await?;
        for file in ["cmdline", "environ"] {
            assert_absent(&std::fs::read(format!("/proc/{pid}/{file}"))?, &never, role);
        }
    }
    promises::need_root()?;
    for role in ["launcher", "supervisor", "frontdoor", "runtime"] {
        let memory = promises::memory_of(world.pid_of(role).await?)?;
        assert_absent(&memory, &oauth, role);
    }
    for role in ["launcher", "supervisor", "runtime"] {
        let memory = promises::memory_of(world.pid_of(role).await?)?;
        assert_absent(&memory, std::slice::from_ref(&token), role);
    }
    // The search can find: this test itself holds the token.
    let own = promises::memory_of(std::process::id())?;
    assert!(memchr::memmem::find(&own, token.as_bytes()).is_some());
    world.ctl(&["sign-out"]).await?.expect_success();
    world.ctl(&["stop"]).await?.expect_success();

    assert_absent(world.log().as_bytes(), &never, "the log");
    // Paths in the store are named by digest, which is no content: the sweep reads what lies in
    // the state and runtime directories.
    for (path, bytes) in world.state_files()? {
        let never: Vec<_> = never
            .iter()
            .filter(|s| **s != world.model_sha256() && **s != world.model_url())
            .cloned()
            .collect();
        assert_absent(&bytes, &never, &path);
    }
    Ok(())
}

fn assert_absent(haystack: &[u8], never: &[String], place: &str) {
    for (index, secret) in never.iter().enumerate() {
        assert!(secret.len() >= 8);
        let found = memchr::memmem::find(haystack, secret.as_bytes());
        assert!(found.is_none(), "secret number {index} shows in {place}");
    }
}
