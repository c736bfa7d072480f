//! Health of a starting runtime: its own route, on its own socket.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use monitor_api::Destination;
use peer_socket::Monitor;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::limits::{HEALTH_LIMIT, HEALTH_PAUSE};

/// Resolves when the runtime answers its health route with 200; never, if it never does.
pub(crate) async fn until_healthy(monitor: &Monitor) {
    while !matches!(timeout(HEALTH_LIMIT, is_healthy(monitor)).await, Ok(Some(true))) {
        sleep(HEALTH_PAUSE).await;
    }
}

async fn is_healthy(monitor: &Monitor) -> Option<bool> {
    // Not there yet, not answering yet: looked at again.
    let stream = monitor.open_unix(Destination::RuntimeSocket).await.ok()?;
    Some(ask(stream).await? == StatusCode::OK)
}

async fn ask(stream: UnixStream) -> Option<StatusCode> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .ok()?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::get("/health")
        .header(header::HOST, "localhost")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .ok()?;
    Some(sender.send_request(request).await.ok()?.status())
}
