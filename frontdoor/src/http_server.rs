//! The HTTP server on the inherited listener: HTTP/1.1 without upgrades, bounded in connections,
//! heads and patience; at the end it lets streams finish.

use std::io;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use frontdoor_core::limits::MAX_HEAD_BYTES;
use frontdoor_core::{Reason, routes};

use crate::door::Door;
use crate::handler;
use crate::head_gate::HeadGate;
use crate::limits::{ACCEPT_PAUSE, ANSWER_BUFFER_BYTES};
use crate::places::{Place, Places};
use crate::respond;

/// Serves until `stop`; then takes no new connection and waits for the open ones, at most the
/// drain time.
pub(crate) async fn serve(listener: TcpListener, door: Arc<Door>, stop: CancellationToken) {
    let places = Places::new(door.plan.max_connections);
    let open = TaskTracker::new();
    door.set_serving(true);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => match places.take().await {
                Some(place) => {
                    open.spawn(connection(stream, Arc::clone(&door), stop.clone(), place));
                }
                None => turn_away(&stream, &door),
            },
            Err(error) if is_one_connections(&error) => {}
            Err(_) => {
                tracing::warn!("no connection could be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    door.set_serving(false);
    drop(listener);
    open.close();
    if timeout(door.plan.drain_timeout, open.wait()).await.is_err() {
        tracing::warn!("streams were cut at the end of the drain time");
    }
}

async fn connection(stream: TcpStream, door: Arc<Door>, stop: CancellationToken, place: Place) {
    // An answer's pieces leave as they come; without it they only leave later.
    drop(stream.set_nodelay(true));
    converse(stream, door, stop, place).await;
}

/// One client's requests, one after another, to its end.
pub(crate) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    door: Arc<Door>,
    stop: CancellationToken,
    place: Place,
) {
    let _open = door.figures.connection();
    let exchange = place.exchange();
    let io = TokioIo::new(HeadGate::new(stream, Arc::clone(&exchange)));
    let service =
        service_fn(|request| handler::answer(Arc::clone(&door), Arc::clone(&exchange), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(ANSWER_BUFFER_BYTES)
        .half_close(false)
        .serve_connection(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if ended.is_err() {
        // The client's doing: gone, or too slow.
        tracing::debug!("a connection broke");
    }
}

/// Says so, if the socket takes it at once, and closes.
fn turn_away(stream: &TcpStream, door: &Door) {
    door.figures.count(routes::name_index(""), Reason::AtCapacity);
    drop(stream.try_write(&respond::at_capacity_bytes(&door.ids.next())));
}

/// Errors of `accept` that belong to a connection that is gone already (accept(2)).
fn is_one_connections(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
