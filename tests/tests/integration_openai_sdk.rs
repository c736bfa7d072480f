//! OpenAI's own Python SDK, unmodified, given only what `companionctl env` prints (contract 4).

use std::process::Stdio;

use anyhow::{Context, Result};
use promises::World;

/// Lists, completes, streams, and shows a wrong token as an error a person can read.
const SCRIPT: &str = r#"
import sys
from openai import OpenAI, AuthenticationError
client = OpenAI(max_retries=0)
models = [m.id for m in client.models.list()]
assert models == [sys.argv[1]], models
whole = client.chat.completions.create(
    model=models[0], max_tokens=16, temperature=0,
    messages=[{"role": "user", "content": "Name a colour."}])
assert whole.choices[0].message.content.strip(), whole
pieces = [c.choices[0].delta.content or "" for c in client.chat.completions.create(
    model=models[0], max_tokens=16, temperature=0, stream=True,
    messages=[{"role": "user", "content": "Name a colour."}]) if c.choices]
assert len(pieces) > 2 and "".join(pieces).strip(), pieces
assert "".join(pieces).strip() == whole.choices[0].message.content.strip(), (pieces, whole)
try:
    OpenAI(max_retries=0, api_key="not-the-token").models.list()
    raise SystemExit("a wrong token was accepted")
except AuthenticationError as error:
    assert error.status_code == 401 and error.code == "invalid_token", error
    assert error.body["type"] == "companion_error", error.body
    print(error)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_python_sdk_works_with_nothing_but_what_env_prints() -> Result<()> {
    let python = std::env::var("COMPANION_TEST_PYTHON")
        .context("COMPANION_TEST_PYTHON names a Python with `openai`: run `cargo xtask test`")?;
    let world = World::ready().await?;
    let exports = world.ctl(&["env"]).await?;
    exports.expect_success();
    let shell = format!("{}\nexec \"$0\" -c \"$1\" \"$2\"", exports.stdout);
    let output = tokio::process::Command::new("/bin/sh")
        .args(["-c", &shell, &python, SCRIPT, promises::MODEL_ID])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .await?;
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("invalid_token"), "the error is not readable: {told}");
    Ok(())
}
