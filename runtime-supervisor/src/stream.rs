//! A response stream that owns the task behind it: when the caller goes away, the work stops.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

/// Items of a task that ends with its reader.
#[derive(Debug)]
pub(crate) struct TaskStream<T> {
    items: ReceiverStream<Result<T, Status>>,
    _task: AbortOnDropHandle<()>,
}

impl<T: Send + 'static> TaskStream<T> {
    /// Runs `work` with the sending end of a queue of `capacity` items.
    pub(crate) fn spawn<F>(
        capacity: usize,
        work: impl FnOnce(mpsc::Sender<Result<T, Status>>) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, items) = mpsc::channel(capacity);
        let task = AbortOnDropHandle::new(tokio::spawn(work(sender)));
        Self { items: ReceiverStream::new(items), _task: task }
    }
}

impl<T> Stream for TaskStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.items).poll_next(cx)
    }
}
