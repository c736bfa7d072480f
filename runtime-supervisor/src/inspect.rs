//! `RuntimeInspect`: reading only, for any program of the same user, over `supervisor.sock`.

use std::sync::Arc;

use runtime_api::v1;
use runtime_api::v1::runtime_inspect_server::RuntimeInspect;
use tonic::{Request, Response, Status};

use crate::limits::STREAM_QUEUE;
use crate::output::Output;
use crate::runtime::Handle;
use crate::status::{Facts, facts_of};
use crate::stream::TaskStream;

/// The service behind the people's socket.
pub(crate) struct Inspect {
    /// The runtime.
    pub(crate) runtime: Handle,
    /// Its words.
    pub(crate) output: Arc<Output>,
}

#[tonic::async_trait]
impl RuntimeInspect for Inspect {
    async fn get_status(
        &self,
        _request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::RuntimeFacts>, Status> {
        Ok(Response::new(self.runtime.facts().borrow().clone()))
    }

    type WatchStatusStream = Facts;

    async fn watch_status(
        &self,
        _request: Request<v1::WatchStatusRequest>,
    ) -> Result<Response<Facts>, Status> {
        Ok(Response::new(facts_of(&self.runtime)))
    }

    type LogsStream = TaskStream<v1::LogLine>;

    async fn logs(
        &self,
        request: Request<v1::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let (output, follow) = (Arc::clone(&self.output), request.get_ref().follow);
        let stream = TaskStream::spawn(STREAM_QUEUE, move |lines| async move {
            let mut changes = output.watch();
            let mut next = 0;
            loop {
                changes.mark_unchanged();
                let (kept, after) = output.lines_from(next);
                next = after;
                for line in kept {
                    if lines.send(Ok(v1::LogLine { line })).await.is_err() {
                        return;
                    }
                }
                if !follow || changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(stream))
    }
}
