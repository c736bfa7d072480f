//! What the page may ask for: what `companionctl` itself does, in JSON.

mod account;
mod chat;
mod models;
mod status;
mod work;

use std::sync::Arc;

use http::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::guard::{Call, Denied};
use super::respond::{self, Body, events};
use crate::context::Context;
use crate::refusal::Refusal;

/// Answers a call that the guard let pass.
pub(super) async fn answer(call: Call, body: &[u8], context: &Arc<Context>) -> Response<Body> {
    asked(call, body, context).await.unwrap_or_else(respond::denied)
}

async fn asked(call: Call, body: &[u8], context: &Arc<Context>) -> Result<Response<Body>, Denied> {
    let shared = Arc::clone(context);
    let response = match call {
        Call::Status => told(read::<Nothing>(body).map(|_| status::report(context))?.await),
        Call::Models => told(read::<Nothing>(body).map(|_| models::list(context))?.await),
        Call::Stop => told(read::<Nothing>(body).map(|_| work::stop(context))?.await),
        Call::SignOut => told(read::<Nothing>(body).map(|_| account::sign_out(context))?.await),
        Call::Verify => told(read(body).map(|it: Named| models::verify(it.id, context))?.await),
        Call::Remove => told(read(body).map(|it: Named| models::remove(it.id, context))?.await),
        Call::Pull => {
            let Named { id } = read(body)?;
            events(|events| async move { work::pull(&id, &shared, &events).await })
        }
        Call::Start => {
            let Named { id } = read(body)?;
            events(|events| async move { work::start(&id, &shared, &events).await })
        }
        Call::SignIn => {
            let Nothing {} = read(body)?;
            events(|events| async move { account::sign_in(&shared, &events).await })
        }
        Call::Chat => {
            let ask: chat::Ask = read(body)?;
            events(|events| async move { chat::chat(ask, &shared, &events).await })
        }
    };
    Ok(response)
}

/// The body of a call that needs nothing: `{}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The body of a call about one file of the catalog.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    id: String,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Denied> {
    serde_json::from_slice(body).map_err(|_| Denied { status: 400, reason: "malformed_body" })
}

fn told(outcome: Result<Value, Refusal>) -> Response<Body> {
    match outcome {
        Ok(value) => respond::json(&value),
        Err(refusal) => respond::refused(&refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_strictly() {
        assert!(read::<Nothing>(b"{}").is_ok());
        assert_eq!(read::<Named>(br#"{"id":"m"}"#).map(|it| it.id), Ok("m".to_owned()));
        for bad in [
            &b""[..],
            b"{}",
            b"[]",
            br#"{"id":1}"#,
            br#"{"id":"a","id":"b"}"#,
            br#"{"id":"a","more":1}"#,
            br#"{"id":"a"} x"#,
            b"{\"id\":\"\xff\"}",
        ] {
            let refused = read::<Named>(bad).map(|it| it.id).expect_err("refused");
            assert_eq!((refused.status, refused.reason), (400, "malformed_body"));
        }
        assert!(read::<Nothing>(br#"{"id":"m"}"#).is_err());
    }
}
