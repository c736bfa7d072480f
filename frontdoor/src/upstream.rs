//! Connections to the runtime, kept for a moment after a whole answer, so that the next request
//! need not ask the launcher for one.
//!
//! A connection has one user at a time and is driven by that user's own task: dropping it closes
//! it at once, which is how the runtime learns that nobody listens any more. It comes back here
//! only when the answer was read to its end; after an error, a cancel or an unfinished body it is
//! gone. One run of the runtime never serves on a connection of another.
//!
//! `llama-server` gives each connection a thread out of a pool that grows with them, and closes
//! one at rest after 5 s; here it is closed before that.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use frontdoor_core::Reason;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::dial::{Dial, DialError};
use crate::door::Run;
use crate::limits::{IDLE_UPSTREAM, SMALL_REQUEST_BYTES};

type Driver = http1::Connection<TokioIo<Listening>, Full<Bytes>>;

/// The connections at rest. Requests at the runtime are bounded by admission, and each takes a
/// rested connection before a new one is dialled: so there are never more than slots.
#[derive(Default)]
pub(crate) struct Upstreams(Mutex<Resting>);

#[derive(Default)]
struct Resting {
    connections: Vec<Upstream>,
    is_swept: bool,
}

impl Upstreams {
    /// Puts a request to this run of the runtime and waits for the head of the answer.
    ///
    /// A connection that the runtime had closed while it rested is no answer to anybody: as long
    /// as not one byte came on it, the request goes out once more on a fresh one.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        dial: &dyn Dial,
        run: Run,
        request: impl Fn() -> Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Upstream), Reason> {
        if let Some(mut rested) = self.take(run) {
            match rested.exchange(request()).await {
                Ok(response) => return Ok((response, rested)),
                Err(_) if rested.has_heard() => return Err(Reason::RuntimeFailed),
                Err(_) => {}
            }
        }
        let mut fresh = Upstream::dial(dial, run).await?;
        let response = fresh.exchange(request()).await.map_err(|_| Reason::RuntimeFailed)?;
        Ok((response, fresh))
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn rest(self: &Arc<Self>, mut connection: Upstream) {
        connection.rested = Instant::now();
        let mut resting = self.lock();
        resting.connections.push(connection);
        if !std::mem::replace(&mut resting.is_swept, true) {
            tokio::spawn(Arc::clone(self).sweep());
        }
    }

    /// The one that rested last, of those that are of this run and still open.
    fn take(&self, run: Run) -> Option<Upstream> {
        let mut resting = self.lock();
        while let Some(mut connection) = resting.connections.pop() {
            if connection.run == run && connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    /// Closes what rests for too long, and ends when nothing rests.
    async fn sweep(self: Arc<Self>) {
        loop {
            sleep(IDLE_UPSTREAM).await;
            let mut resting = self.lock();
            resting.connections.retain_mut(|it| it.rested.elapsed() < IDLE_UPSTREAM);
            if resting.connections.is_empty() {
                resting.is_swept = false;
                return;
            }
        }
    }

    /// How many rest.
    #[cfg(test)]
    pub(crate) fn resting(&self) -> usize {
        self.lock().connections.len()
    }

    fn lock(&self) -> MutexGuard<'_, Resting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection to the runtime; dropping it closes it.
pub(crate) struct Upstream {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Boxed: it is large, and what owns it moves from hand to hand with the answer.
    driver: Box<Driver>,
    has_ended: bool,
    has_heard: Arc<AtomicBool>,
    run: Run,
    rested: Instant,
}

impl Upstream {
    /// A fresh connection, by way of the launcher.
    pub(crate) async fn dial(dial: &dyn Dial, run: Run) -> Result<Self, Reason> {
        let stream = dial.runtime().await.map_err(|error| match error {
            DialError::NotThere => Reason::RuntimeUnreachable,
            DialError::PathBroken => Reason::PathFailed,
        })?;
        let has_heard = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(Listening { stream, has_heard: Arc::clone(&has_heard) });
        let (sender, driver) =
            http1::handshake(io).await.map_err(|_| Reason::RuntimeUnreachable)?;
        let (driver, rested) = (Box::new(driver), Instant::now());
        Ok(Self { sender, driver, has_ended: false, has_heard, run, rested })
    }

    /// Sends, and waits for the head of the answer.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.has_heard.store(false, Ordering::Relaxed);
        let mut response = std::pin::pin!(self.sender.send_request(request));
        let (driver, has_ended) = (&mut self.driver, &mut self.has_ended);
        std::future::poll_fn(|cx| {
            // How the driver ends is told by the answer.
            *has_ended = *has_ended || Pin::new(&mut **driver).poll(cx).is_ready();
            response.as_mut().poll(cx)
        })
        .await
    }

    /// Moves the bytes of the answer. To be called whenever its body is polled.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        self.has_ended = self.has_ended || Pin::new(&mut *self.driver).poll(cx).is_ready();
    }

    /// Whether a byte came since the last request was sent.
    fn has_heard(&self) -> bool {
        self.has_heard.load(Ordering::Relaxed)
    }

    /// Whether it is still open, said nothing unasked, and is done with its last request.
    fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.has_ended && self.sender.is_ready()
    }
}

/// The stream, noting when it brings a byte.
struct Listening {
    stream: UnixStream,
    has_heard: Arc<AtomicBool>,
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.has_heard.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (mut whole, mut length) = ([0; SMALL_REQUEST_BYTES], 0);
        for piece in pieces {
            let Some(space) = whole.get_mut(length..length + piece.len()) else {
                return Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
            };
            space.copy_from_slice(piece);
            length += piece.len();
        }
        Pin::new(&mut self.stream).poll_write(cx, &whole[..length])
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
