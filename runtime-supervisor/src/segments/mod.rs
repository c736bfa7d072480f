//! One file over several connections: each asks for one part after the other, and the bytes leave
//! in the order of the file. A connection that fails gives its part to the others; when none is
//! left, or the server's file has changed, the rest is for one connection to ask for.

mod window;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use runtime_core::{PermittedUrl, Reason};

use self::window::Window;
use crate::fetch::{Answer, Connection, Download, Fetcher, Part, Wish};
use crate::limits::CONNECTIONS;
use crate::progress::Progress;

/// A file that comes over several connections.
pub(crate) struct Segments {
    fetcher: Fetcher,
    file: Arc<ServerFile>,
    window: Window,
    lanes: FuturesUnordered<Step>,
    /// Connections that wait until the window has room.
    idle: Vec<Connection>,
    /// Connections that may still be opened beside the first one.
    unopened: usize,
    /// Bytes that left the window.
    left: u64,
    /// Why the connection failed that failed last; `None` when the server refused it.
    failure: Option<Reason>,
}

/// Which file of which server.
struct ServerFile {
    url: PermittedUrl,
    etag: String,
    size: u64,
}

type Step = Pin<Box<dyn Future<Output = Event> + Send>>;

/// A part on its way over one connection.
struct Lane {
    download: Download,
    /// This connection brought a whole part before.
    is_proven: bool,
}

enum Event {
    /// A request was answered, or could not be made.
    Begun(Part, Result<Lane, Refused>),
    /// Bytes, the end of the part, or a failure.
    Came(Lane, Result<Option<Bytes>, Reason>),
}

/// Why a part does not come.
enum Refused {
    /// The server has another file by now.
    Changed,
    /// Anything else: perhaps it allows fewer connections.
    NotNow,
}

impl Segments {
    /// Goes on from this first part of a file of `size` bytes; `None` if its server does not say
    /// which file it is, or does not keep connections.
    pub(crate) fn from(fetcher: &Fetcher, download: Download, size: u64) -> Option<Self> {
        let etag = download.etag.clone().filter(|_| download.is_kept)?;
        let window = Window::after(download.part, size, fetcher.segment(), CONNECTIONS);
        let file = Arc::new(ServerFile { url: download.url.clone(), etag, size });
        let lanes = FuturesUnordered::new();
        let left = download.part.first;
        lanes.push(come(Lane { download, is_proven: false }));
        Some(Self {
            fetcher: fetcher.clone(),
            file,
            window,
            lanes,
            idle: Vec::new(),
            unopened: CONNECTIONS - 1,
            left,
            failure: None,
        })
    }

    /// The next bytes of the file, or `None` when no more come this way.
    ///
    /// # Errors
    /// [`Reason::DownloadStalled`], [`Reason::DownloadTruncated`] when the last connection ends so.
    pub(crate) async fn next(&mut self, progress: &Progress) -> Result<Option<Bytes>, Reason> {
        loop {
            if let Some(piece) = self.window.pop() {
                self.left += u64::try_from(piece.len()).unwrap_or(0);
                return Ok(Some(piece));
            }
            self.hand_out();
            match self.lanes.next().await {
                Some(Event::Came(lane, came)) => {
                    self.take_in(lane, came);
                    progress.shows(self.received());
                }
                Some(Event::Begun(_, Ok(lane))) => self.lanes.push(come(lane)),
                Some(Event::Begun(_, Err(Refused::Changed))) => return Ok(None),
                Some(Event::Begun(part, Err(Refused::NotNow))) => {
                    self.failure = None;
                    self.window.give_back(part);
                }
                None if self.window.is_done() => return Ok(None),
                None => return self.failure.map_or(Ok(None), Err),
            }
        }
    }

    /// The entity tag of the file.
    pub(crate) fn etag(&self) -> &str {
        &self.file.etag
    }

    /// Bytes of the file that are here.
    pub(crate) fn received(&self) -> u64 {
        self.left + self.window.waiting()
    }

    /// Gives parts to connections that have none.
    fn hand_out(&mut self) {
        while !self.idle.is_empty() || self.unopened > 0 {
            let Some(part) = self.window.take() else { return };
            let connection = self.idle.pop();
            self.unopened -= usize::from(connection.is_none());
            self.begin(connection, part);
        }
    }

    fn begin(&mut self, connection: Option<Connection>, part: Part) {
        let (fetcher, file) = (self.fetcher.clone(), Arc::clone(&self.file));
        self.lanes.push(Box::pin(async move {
            let begun = begin(&fetcher, &file, connection, part).await;
            Event::Begun(part, begun)
        }));
    }

    fn take_in(&mut self, lane: Lane, came: Result<Option<Bytes>, Reason>) {
        let rest = Part { first: lane.download.at(), end: lane.download.part.end };
        match came {
            Ok(Some(piece)) => {
                let length = u64::try_from(piece.len()).unwrap_or(0);
                self.window.put(rest.first - length, piece);
                self.lanes.push(come(lane));
            }
            Ok(None) => self.idle.push(lane.download.into_connection()),
            // A server may end a connection after some time, or some requests.
            Err(Reason::DownloadTruncated) if lane.is_proven => self.begin(None, rest),
            Err(reason) => {
                let is_broken =
                    matches!(reason, Reason::DownloadTruncated | Reason::DownloadStalled);
                self.failure = is_broken.then_some(reason);
                self.window.give_back(rest);
            }
        }
    }
}

fn come(mut lane: Lane) -> Step {
    Box::pin(async move {
        let came = lane.download.next().await;
        Event::Came(lane, came)
    })
}

/// Asks for a part over this connection, or over a new one if there is none any more.
async fn begin(
    fetcher: &Fetcher,
    file: &ServerFile,
    connection: Option<Connection>,
    part: Part,
) -> Result<Lane, Refused> {
    let ask = async |connection: Connection| {
        connection.ask(&file.url, Wish::Part(part), Some(&file.etag), file.size).await
    };
    let (mut is_proven, mut answer) = (false, Err(Reason::ConnectionFailed));
    if let Some(connection) = connection {
        is_proven = true;
        answer = ask(connection).await;
    }
    if answer.as_ref().is_err_and(|reason| *reason == Reason::ConnectionFailed) {
        is_proven = false;
        answer = match fetcher.connect(&file.url).await {
            Ok(connection) => ask(connection).await,
            Err(reason) => Err(reason),
        };
    }
    match answer {
        Ok(Answer::Bytes(download)) => {
            let is_another = download.etag.as_ref().is_some_and(|etag| *etag != file.etag);
            if is_another || download.part != part {
                return Err(Refused::Changed);
            }
            Ok(Lane { download: *download, is_proven })
        }
        Ok(Answer::Elsewhere(_)) | Err(_) => Err(Refused::NotNow),
    }
}
