//! The stand-in's endpoint: asks for the key, and answers the same to everything.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;

/// What the endpoint answers.
#[derive(Debug, Clone)]
pub(crate) enum Served {
    /// A stream of server-sent events, each piece sent on its own.
    Chunks(Vec<String>),
    /// The same pieces, and then nothing more until the client goes.
    Unending(Vec<String>),
    /// An answer whose text is this.
    Whole(String),
    /// An answer whose text repeats the user's message: shows what the model would be shown.
    Echo,
    /// An error of the front door.
    Refusal(&'static str),
}

/// Bodies of the requests so far.
pub(crate) type Asked = Arc<Mutex<Vec<Value>>>;

pub(crate) async fn serve(listener: TcpListener, served: Served, asked: Asked) {
    while let Ok((stream, _)) = listener.accept().await {
        let (served, asked) = (served.clone(), Arc::clone(&asked));
        let service = service_fn(move |request| {
            let (served, asked) = (served.clone(), Arc::clone(&asked));
            async move { Ok::<_, Infallible>(answer(request, served, &asked).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

type Body = BoxBody<Bytes, std::io::Error>;

async fn answer(request: Request<Incoming>, served: Served, log: &Asked) -> Response<Body> {
    let key = format!("Bearer {}.companionctl-", super::TOKEN);
    let said = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let has_key = said.is_some_and(|said| said.starts_with(&key));
    if !has_key || request.uri() != "/v1/chat/completions" {
        return refusal("invalid_token");
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    log.lock().expect("log").push(asked.clone());
    match served {
        Served::Chunks(pieces) => pieces_of(pieces),
        Served::Unending(pieces) => {
            let frames = pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from(piece))));
            let frames = tokio_stream::iter(frames).chain(tokio_stream::pending());
            Response::new(BodyExt::boxed(StreamBody::new(frames)))
        }
        Served::Whole(text) => completion(&text),
        Served::Echo => {
            let shown = asked["messages"][1]["content"].as_str().unwrap_or_default().to_owned();
            completion(&json!({ "summary": shown, "tags": ["alpha", "beta", "gamma"] }).to_string())
        }
        Served::Refusal(reason) => refusal(reason),
    }
}

fn completion(text: &str) -> Response<Body> {
    let chunk = json!({ "choices": [{ "delta": { "content": text } }] });
    pieces_of(vec![format!("data: {chunk}\n\n"), "data: [DONE]\n\n".to_owned()])
}

fn refusal(reason: &str) -> Response<Body> {
    let body = json!({ "error": { "message": "refused", "type": "companion_error",
        "code": reason, "param": null } });
    let mut response = pieces_of(vec![body.to_string()]);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

fn pieces_of(pieces: Vec<String>) -> Response<Body> {
    let frames = pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from(piece))));
    Response::new(BodyExt::boxed(StreamBody::new(tokio_stream::iter(frames))))
}
