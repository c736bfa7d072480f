//! Stands between the socket and hyper: hands over one request head at a time, whole and judged
//! by `frontdoor_core::framing`, and of each body exactly the bytes that its head announces.
//!
//! So hyper never reads a head that two parsers could read in two ways, nothing hides behind a
//! body, and what is refused this early is still answered like everything else: hyper is handed a
//! request that says nothing, and the exchange says what was wrong. While an answer is on its way
//! later requests wait here; the client's end is seen all the same.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use frontdoor_core::framing::{self, Framing, NoHead, Scan};
use frontdoor_core::limits::MAX_HEAD_BYTES;
use futures_util::task::AtomicWaker;
use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::{
    HEAD_READ_TIMEOUT, IDLE_CONNECTION_TIMEOUT, LINGER_BYTES, LINGER_TIMEOUT, WRITE_STALL_TIMEOUT,
};
use crate::places::Tenure;

/// What the gate and the handler tell each other about the request under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    tenure: Tenure,
    answering: AtomicBool,
    last: AtomicBool,
    fault: AtomicU8,
    gate: AtomicWaker,
}

impl Exchange {
    /// Of a connection that waits for its first head, among others that count the same turns.
    pub(crate) fn taking_turns(turns: Arc<AtomicU64>) -> Self {
        Self {
            tenure: Tenure::new(turns),
            answering: AtomicBool::default(),
            last: AtomicBool::default(),
            fault: AtomicU8::default(),
            gate: AtomicWaker::default(),
        }
    }

    /// By which its place is kept or lost.
    pub(crate) fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// Closes the connection, if it still waits since then.
    pub(crate) fn close(&self, since: u64) -> bool {
        let is_closed = self.tenure.close(since);
        if is_closed {
            self.gate.wake();
        }
        is_closed
    }

    /// Why the request under way is none; it is a stand-in then.
    pub(crate) fn fault(&self) -> Option<NoHead> {
        match self.fault.load(Ordering::Acquire) {
            0 => None,
            1 => Some(NoHead::TooLarge),
            _ => Some(NoHead::Malformed),
        }
    }

    /// Whether the connection must end with this answer: nobody knows where a next head begins.
    pub(crate) fn is_last(&self) -> bool {
        self.last.load(Ordering::Acquire)
    }

    /// To be dropped with the answer's body: then the next head may pass.
    pub(crate) fn answer(self: &Arc<Self>) -> Answering {
        Answering(Arc::clone(self))
    }

    fn begin(&self, last: bool, fault: Option<NoHead>) {
        let fault = match fault {
            None => 0,
            Some(NoHead::TooLarge) => 1,
            Some(NoHead::Malformed) => 2,
        };
        self.fault.store(fault, Ordering::Release);
        self.last.store(last, Ordering::Release);
        self.answering.store(true, Ordering::Release);
    }
}

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Exchange>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.store(false, Ordering::Release);
        self.0.gate.wake();
    }
}

/// What hyper reads instead of a head that is none.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n";
/// Empty lines before a request line that are let go by (RFC 9112 section 2.2).
const MAX_EMPTY_LINES: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Between requests, or within a head.
    Head,
    /// A whole head of so many bytes is being handed over; then its body follows.
    Handing { left: usize, framing: Framing },
    /// A body of so many more bytes.
    Body { left: u64 },
    /// A chunked body: its end is hyper's to find, and the connection's end too.
    ToTheEnd,
    /// A stand-in is being handed over; nothing of what the client sends counts any more.
    Refusing { left: usize },
}

/// A client's connection, as hyper sees it.
pub(crate) struct HeadGate<S> {
    socket: S,
    exchange: Arc<Exchange>,
    stage: Stage,
    /// Arrived and not handed over.
    held: Vec<u8>,
    /// Of `held`, looked at in vain for the end of a head.
    scanned: usize,
    empty_lines: u8,
    thrown_away: usize,
    reading: Pin<Box<Sleep>>,
    /// Whether `reading` runs for the head that is awaited.
    is_timed: bool,
    writing: Option<Pin<Box<Sleep>>>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<S> HeadGate<S> {
    pub(crate) fn new(socket: S, exchange: Arc<Exchange>) -> Self {
        Self {
            socket,
            exchange,
            stage: Stage::Head,
            held: Vec::new(),
            scanned: 0,
            empty_lines: 0,
            thrown_away: 0,
            reading: Box::pin(sleep(HEAD_READ_TIMEOUT)),
            is_timed: true,
            writing: None,
            lingering: None,
        }
    }

    /// Judges what is held as the beginning of a request; true when something can be handed over.
    fn judge_held(&mut self) -> bool {
        while self.held.starts_with(b"\r\n") && self.empty_lines < MAX_EMPTY_LINES {
            self.held.drain(..2);
            self.empty_lines += 1;
            self.scanned = 0;
        }
        let judged = match framing::scan(&self.held, self.scanned) {
            Ok(Scan::Partial) => {
                self.scanned = self.held.len();
                return false;
            }
            Ok(Scan::Complete(length)) => judge_whole(&self.held[..length]),
            Err(fault) => Err(fault),
        };
        (self.scanned, self.empty_lines, self.is_timed) = (0, 0, false);
        if !self.exchange.tenure.serve() {
            return false;
        }
        match judged {
            Ok((left, framing)) => {
                self.exchange.begin(framing == Framing::Chunked, None);
                self.stage = Stage::Handing { left, framing };
            }
            Err(fault) => {
                self.exchange.begin(true, Some(fault));
                self.held.clear();
                self.stage = Stage::Refusing { left: STAND_IN.len() };
            }
        }
        true
    }

    /// Hands over held bytes, at most `most`; how many.
    fn hand(&mut self, most: usize, buf: &mut ReadBuf<'_>) -> usize {
        let count = most.min(self.held.len()).min(buf.remaining());
        buf.put_slice(&self.held[..count]);
        self.held.drain(..count);
        count
    }

    fn set_reading(&mut self, is_idle: bool) {
        let limit = if is_idle { IDLE_CONNECTION_TIMEOUT } else { HEAD_READ_TIMEOUT };
        self.reading.as_mut().reset(Instant::now() + limit);
    }
}

/// A head's length, and how its body is framed. What hyper could not read is refused here: hyper
/// would answer by itself, with none of the headers that every answer bears.
fn judge_whole(head: &[u8]) -> Result<(usize, Framing), NoHead> {
    let framing = framing::inspect(head)?;
    let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let is_path = target.starts_with(b"/") && target.iter().all(is_plain);
    if is_path || Uri::try_from(target).is_ok() {
        Ok((head.len(), framing))
    } else {
        Err(NoHead::Malformed)
    }
}

impl<S: AsyncRead + Unpin> HeadGate<S> {
    /// Reads into `held`, never beyond one head block; how many bytes, 0 at the client's end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let room = MAX_HEAD_BYTES.saturating_sub(self.held.len()).min(space.len());
        if room == 0 {
            return Poll::Pending;
        }
        let mut piece = ReadBuf::uninit(&mut space[..room]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut piece))?;
        self.held.extend_from_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    }

    /// Until a head can be handed over (true), or the client is gone, too slow or without a place
    /// (false).
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            self.exchange.gate.register(cx.waker());
            if self.exchange.answering.load(Ordering::Acquire) {
                if ready!(self.poll_fill(cx))? == 0 {
                    return Poll::Ready(Ok(false));
                }
                continue;
            }
            if self.exchange.tenure.is_closed() {
                return Poll::Ready(Ok(false));
            }
            let fresh = self.held.is_empty();
            if !std::mem::replace(&mut self.is_timed, true) {
                self.set_reading(fresh);
                self.exchange.tenure.rest();
            }
            if !fresh && self.judge_held() {
                return Poll::Ready(Ok(true));
            }
            match self.poll_fill(cx)? {
                Poll::Ready(0) => return Poll::Ready(Ok(false)),
                Poll::Ready(_) if fresh => self.set_reading(false),
                Poll::Ready(_) => {}
                Poll::Pending => {
                    ready!(self.reading.as_mut().poll(cx));
                    return Poll::Ready(Ok(false));
                }
            }
        }
    }

    /// After a refusal: what the client still sends is thrown away, its end is seen.
    fn poll_throw_away(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 4096];
        while self.thrown_away < LINGER_BYTES {
            let mut piece = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                break;
            }
            self.thrown_away += piece.filled().len();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let held = self.hand(most, buf);
        if held > 0 || most == 0 || buf.remaining() == 0 {
            return Poll::Ready(Ok(held));
        }
        let mut piece = ReadBuf::new(buf.initialize_unfilled_to(most.min(buf.remaining())));
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut piece))?;
        let read = piece.filled().len();
        buf.advance(read);
        Poll::Ready(Ok(read))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadGate<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.stage {
                Stage::Head => {
                    if !ready!(this.poll_head(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Stage::Handing { left: 0, framing } => {
                    this.stage = match framing {
                        Framing::Length(0) => Stage::Head,
                        Framing::Length(left) => Stage::Body { left },
                        Framing::Chunked => Stage::ToTheEnd,
                    };
                }
                Stage::Handing { left, framing } => {
                    let left = left - this.hand(left, buf);
                    this.stage = Stage::Handing { left, framing };
                    return Poll::Ready(Ok(()));
                }
                Stage::Body { left: 0 } => this.stage = Stage::Head,
                Stage::Body { left } => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    let read = ready!(this.poll_socket(cx, most, buf))?;
                    this.stage = Stage::Body { left: left - read as u64 };
                    return Poll::Ready(Ok(()));
                }
                Stage::ToTheEnd => {
                    ready!(this.poll_socket(cx, usize::MAX, buf))?;
                    return Poll::Ready(Ok(()));
                }
                Stage::Refusing { left: 0 } => return this.poll_throw_away(cx),
                Stage::Refusing { left } => {
                    let count = left.min(buf.remaining());
                    let from = STAND_IN.len() - left;
                    buf.put_slice(&STAND_IN[from..from + count]);
                    this.stage = Stage::Refusing { left: left - count };
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> HeadGate<S> {
    /// A client that takes nothing for too long is gone.
    fn stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let limit = || Box::pin(sleep(WRITE_STALL_TIMEOUT));
        ready!(self.writing.get_or_insert_with(limit).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Not vectored: hyper then puts head and body into one buffer, and one `send` of small pieces takes
/// less time than a `writev` (docs/endpoint.md). `ANSWER_BUFFER_BYTES` bounds that buffer.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HeadGate<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.stalled(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    /// Ends the answer, then reads for a moment what was still on its way, so that the client
    /// gets the answer and not a reset (RFC 9112 section 9.6).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
            this.lingering = Some(Box::pin(sleep(LINGER_TIMEOUT)));
            this.exchange.tenure.linger();
        }
        this.exchange.gate.register(cx.waker());
        let over = this.exchange.tenure.is_closed()
            || this.lingering.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        match this.poll_throw_away(cx) {
            Poll::Pending if !over => Poll::Pending,
            Poll::Pending | Poll::Ready(_) => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
#[path = "tests/head_gate.rs"]
mod tests;
