//! A request's body: bounded in size, time and memory, and checked before the runtime sees it.

use bytes::{Bytes, BytesMut};
use frontdoor_core::Reason;
use frontdoor_core::guard::Refusal;
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::door::Door;
use crate::json;
use crate::limits::{BODY_CHECKED_ASIDE_BYTES, BODY_IDLE_TIMEOUT};

/// A body that is one strict JSON object, exactly as it arrived, and the memory it takes.
pub(crate) struct CheckedBody {
    bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl CheckedBody {
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

/// Reads and checks a body.
pub(crate) async fn read(body: Incoming, door: &Door) -> Result<CheckedBody, Refusal> {
    let limit = door.plan.max_body_bytes;
    let announced = body.size_hint();
    if announced.lower() > limit {
        return Err(Reason::BodyTooLarge.into());
    }
    let kib = announced.exact().unwrap_or(limit).div_ceil(1024).max(1);
    let memory = u32::try_from(kib)
        .ok()
        .and_then(|kib| door.body_memory.clone().try_acquire_many_owned(kib).ok())
        .ok_or(Reason::AtCapacity)?;
    let bytes = collect(body, limit).await?;
    check(bytes.clone()).await?;
    Ok(CheckedBody { bytes, _memory: memory })
}

async fn collect(mut body: Incoming, limit: u64) -> Result<Bytes, Reason> {
    let mut collected = BytesMut::new();
    loop {
        let frame = timeout(BODY_IDLE_TIMEOUT, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Reason::BodyTimeout)? else { break };
        let Ok(data) = frame.map_err(|_| Reason::MalformedBody)?.into_data() else { continue };
        if (collected.len() + data.len()) as u64 > limit {
            return Err(Reason::BodyTooLarge);
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

/// A large body is read aside, so that no other request waits for it.
async fn check(bytes: Bytes) -> Result<(), Refusal> {
    if bytes.len() < BODY_CHECKED_ASIDE_BYTES {
        return json::check(&bytes);
    }
    let checked = tokio::task::spawn_blocking(move || json::check(&bytes)).await;
    checked.unwrap_or(Err(Reason::MalformedBody.into()))
}
