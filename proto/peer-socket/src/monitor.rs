//! The child's end of the monitor: ask the launcher, get open descriptors back.

use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use monitor_api::{
    Ask, Destination, MAX_DESCRIPTORS, MAX_MESSAGE_BYTES, MonitorRefusal, Reply, Request,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixDatagram, UnixStream};
use tokio::sync::oneshot;

use crate::{MONITOR_TIMEOUT_S, inherited};

/// Why the monitor did not serve.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The launcher refused.
    #[error("the launcher refused")]
    Refused(#[source] MonitorRefusal),
    /// The pair is broken, or a reply made no sense.
    #[error("the monitor is gone")]
    Gone,
    /// No reply in time.
    #[error("the monitor did not answer in time")]
    Timeout,
}

type Answer = Result<Vec<OwnedFd>, MonitorRefusal>;

/// The child's end of the monitor; cheap to clone, any number of requests at a time.
#[derive(Debug, Clone)]
pub struct Monitor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Holds the SOCK_SEQPACKET descriptor: tokio has no type of that name, and readiness is
    /// all that is asked of this one.
    pair: UnixDatagram,
    next_id: AtomicU64,
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
}

impl Monitor {
    /// Adopts the inherited SOCK_SEQPACKET descriptor. Call inside a tokio runtime.
    ///
    /// # Errors
    /// When it was not inherited.
    pub fn adopt(number: i32) -> io::Result<Self> {
        Self::new(inherited(number)?)
    }

    /// Speaks over one end of a pair.
    ///
    /// # Errors
    /// When it cannot be registered with the runtime.
    pub fn new(pair: OwnedFd) -> io::Result<Self> {
        let pair = std::os::unix::net::UnixDatagram::from(pair);
        pair.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            pair: UnixDatagram::from_std(pair)?,
            next_id: AtomicU64::new(1),
            waiting: Mutex::new(Some(HashMap::new())),
        });
        tokio::spawn(deliver_replies(Arc::clone(&shared)));
        Ok(Self { shared })
    }

    /// Asks for a destination; the descriptors come close-on-exec.
    ///
    /// # Errors
    /// [`MonitorError`], after 12 s at the latest.
    pub async fn open(&self, destination: Destination) -> Result<Vec<OwnedFd>, MonitorError> {
        self.ask(Ask::Open(destination)).await
    }

    /// One connected Unix stream.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub async fn open_unix(&self, destination: Destination) -> Result<UnixStream, MonitorError> {
        let stream = std::os::unix::net::UnixStream::from(self.open_one(destination).await?);
        stream.set_nonblocking(true).map_err(|_| MonitorError::Gone)?;
        UnixStream::from_std(stream).map_err(|_| MonitorError::Gone)
    }

    /// One connected TCP stream.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub async fn open_tcp(&self, destination: Destination) -> Result<TcpStream, MonitorError> {
        let stream = std::net::TcpStream::from(self.open_one(destination).await?);
        stream.set_nonblocking(true).map_err(|_| MonitorError::Gone)?;
        TcpStream::from_std(stream).map_err(|_| MonitorError::Gone)
    }

    /// One bound and listening TCP socket.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub async fn open_listener(
        &self,
        destination: Destination,
    ) -> Result<TcpListener, MonitorError> {
        let listener = std::net::TcpListener::from(self.open_one(destination).await?);
        listener.set_nonblocking(true).map_err(|_| MonitorError::Gone)?;
        TcpListener::from_std(listener).map_err(|_| MonitorError::Gone)
    }

    /// One opened file.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub async fn open_file(&self, destination: Destination) -> Result<std::fs::File, MonitorError> {
        Ok(self.open_one(destination).await?.into())
    }

    /// Tells the launcher something that carries no descriptor back.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub async fn tell(&self, ask: Ask) -> Result<(), MonitorError> {
        match self.ask(ask).await?.is_empty() {
            true => Ok(()),
            false => Err(MonitorError::Gone),
        }
    }

    async fn open_one(&self, destination: Destination) -> Result<OwnedFd, MonitorError> {
        let mut descriptors = self.open(destination).await?;
        match (descriptors.pop(), descriptors.is_empty()) {
            (Some(descriptor), true) => Ok(descriptor),
            _ => Err(MonitorError::Gone),
        }
    }

    /// Anything, with what comes back.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub async fn ask(&self, ask: Ask) -> Result<Vec<OwnedFd>, MonitorError> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let datagram = Request { id, ask }.encode().map_err(|_| MonitorError::Gone)?;
        let (sender, answer) = oneshot::channel();
        self.shared.expect_reply(id, sender).ok_or(MonitorError::Gone)?;
        let _forget = Forget { shared: &self.shared, id };
        let exchange = async {
            let pair = &self.shared.pair;
            pair.async_io(Interest::WRITABLE, || send(pair.as_fd(), &datagram, &[]))
                .await
                .map_err(|_| MonitorError::Gone)?;
            answer.await.map_err(|_| MonitorError::Gone)?.map_err(MonitorError::Refused)
        };
        tokio::time::timeout(Duration::from_secs(MONITOR_TIMEOUT_S), exchange)
            .await
            .map_err(|_| MonitorError::Timeout)?
    }
}

impl Shared {
    fn expect_reply(&self, id: u64, sender: oneshot::Sender<Answer>) -> Option<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_mut().map(|waiting| {
            waiting.insert(id, sender);
        })
    }

    fn take(&self, id: u64) -> Option<oneshot::Sender<Answer>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_mut().and_then(|waiting| waiting.remove(&id))
    }
}

/// A caller that goes away takes its place with it; a late reply is then closed unread.
struct Forget<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.take(self.id);
    }
}

async fn deliver_replies(shared: Arc<Shared>) {
    while let Ok(Some((datagram, descriptors))) =
        shared.pair.async_io(Interest::READABLE, || receive(shared.pair.as_fd())).await
    {
        let Ok(reply) = Reply::decode(&datagram) else { break };
        if let Some(caller) = shared.take(reply.id) {
            let _ = caller.send(reply.outcome.map(|()| descriptors));
        }
    }
    shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// Sends one datagram with descriptors beside it.
///
/// # Errors
/// Of `sendmsg`; `InvalidInput` for more than [`MAX_DESCRIPTORS`] descriptors.
pub fn send(
    pair: BorrowedFd<'_>,
    datagram: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(pair, &[IoSlice::new(datagram)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one datagram and its descriptors, close-on-exec; `None` when the pair is closed.
///
/// # Errors
/// Of `recvmsg`; `InvalidData` for a datagram too long or with too many descriptors.
pub fn receive(pair: BorrowedFd<'_>) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MAX_MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(pair, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    // The buffer is rounded up and may hold one more than was asked for.
    let surplus = descriptors.len() > MAX_DESCRIPTORS;
    if surplus || received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    bytes.truncate(received.bytes);
    Ok(Some((bytes, descriptors)))
}

#[cfg(test)]
#[path = "monitor_tests.rs"]
mod tests;
