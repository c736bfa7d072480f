//! Serves one child's requests over its SOCK_SEQPACKET pair: each apart from the others, each
//! with a time limit, so many at a time and so many a second and no more.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use monitor_api::{Ask, MonitorRefusal, Reply, Request, Role};
use peer_socket::{receive, send};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::{Semaphore, mpsc};

use crate::budget::Budget;
use crate::dialer::Dialer;
use crate::limits::{REQUEST_LIMIT, REQUESTS_AT_ONCE};
use crate::table;

/// Serves until the child closes its end. `ready` hears when the child says it serves.
pub(crate) async fn serve(
    role: Role,
    pair: OwnedFd,
    dialer: Arc<Dialer>,
    ready: mpsc::UnboundedSender<Role>,
) -> io::Result<()> {
    // tokio has no type of SOCK_SEQPACKET's name; readiness is all that is asked of this one.
    let pair = std::os::unix::net::UnixDatagram::from(pair);
    pair.set_nonblocking(true)?;
    let pair = Arc::new(UnixDatagram::from_std(pair)?);
    let places = Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
    let mut budget = Budget::default();
    let refusals = Arc::new(Refusals::of(role));
    loop {
        let request = match pair.async_io(Interest::READABLE, || receive(pair.as_fd())).await {
            Ok(Some((datagram, descriptors))) => readable(&datagram, &descriptors),
            Ok(None) => return Ok(()),
            // Too long, or with more descriptors than any message carries; closed at receipt.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
            Err(error) => return Err(error),
        };
        let Some(request) = request else {
            refusals.count(MonitorRefusal::Malformed);
            continue;
        };
        let admitted = table::judge(role, &request.ask).and_then(|row| {
            let place =
                Arc::clone(&places).try_acquire_owned().map_err(|_| MonitorRefusal::Busy)?;
            if budget.take(row) { Ok((row, place)) } else { Err(MonitorRefusal::Busy) }
        });
        let (row, place) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                refusals.count(refusal);
                reply(&pair, request.id, Err(refusal)).await?;
                continue;
            }
        };
        let (pair, dialer, ready) = (Arc::clone(&pair), Arc::clone(&dialer), ready.clone());
        let refusals = Arc::clone(&refusals);
        tokio::spawn(async move {
            tracing::debug!(monitor.role = ?role, monitor.reason = row.reason, "granted");
            let outcome = answer(&request.ask, &dialer).await;
            if let Err(refusal) = outcome {
                refusals.count(refusal);
            }
            if request.ask == Ask::Ready && outcome.is_ok() {
                let _ = ready.send(role);
            }
            // A child that died meanwhile needs no answer.
            let _ = reply(&pair, request.id, outcome).await;
            drop(place);
        });
    }
}

/// A request without descriptors: none may be sent to the launcher, and those that were are
/// closed here unread.
fn readable(datagram: &[u8], descriptors: &[OwnedFd]) -> Option<Request> {
    if descriptors.is_empty() { Request::decode(datagram).ok() } else { None }
}

async fn answer(ask: &Ask, dialer: &Dialer) -> Result<Vec<OwnedFd>, MonitorRefusal> {
    tokio::time::timeout(REQUEST_LIMIT, dialer.serve(ask))
        .await
        .unwrap_or(Err(MonitorRefusal::ConnectFailed))
}

/// How often one child was refused, and why. Told at the first time, the second, the fourth and
/// so on: a captured child does not get to fill the log.
struct Refusals {
    role: Role,
    counts: Mutex<HashMap<MonitorRefusal, u64>>,
}

impl Refusals {
    fn of(role: Role) -> Self {
        Self { role, counts: Mutex::default() }
    }

    fn count(&self, refusal: MonitorRefusal) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(refusal).or_default();
        *count += 1;
        if is_told(refusal, *count) {
            tracing::warn!(monitor.role = ?self.role, monitor.refusal = %refusal,
                monitor.count = *count, "requests were refused");
        }
    }
}

/// A place where nobody answers is no attack: whoever asked tells of it.
fn is_told(refusal: MonitorRefusal, count: u64) -> bool {
    match refusal {
        MonitorRefusal::NotAllowed
        | MonitorRefusal::AddressNotAllowed
        | MonitorRefusal::WrongPeer
        | MonitorRefusal::Busy
        | MonitorRefusal::Malformed => count.is_power_of_two(),
        MonitorRefusal::NotResolved | MonitorRefusal::ConnectFailed | MonitorRefusal::NotThere => {
            false
        }
    }
}

async fn reply(
    pair: &UnixDatagram,
    id: u64,
    outcome: Result<Vec<OwnedFd>, MonitorRefusal>,
) -> io::Result<()> {
    let (descriptors, outcome) = match outcome {
        Ok(descriptors) => (descriptors, Ok(())),
        Err(refusal) => (Vec::new(), Err(refusal)),
    };
    let datagram = Reply { id, outcome }.encode().map_err(io::Error::other)?;
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    pair.async_io(Interest::WRITABLE, || send(pair.as_fd(), &datagram, &borrowed)).await
}

#[cfg(test)]
mod tests {
    use companion_settings::{Dirs, Overrides, Settings};
    use monitor_api::{Destination, MAX_MESSAGE_BYTES};
    use peer_socket::{Monitor, MonitorError};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    struct World {
        _dir: tempfile::TempDir,
        monitor: Monitor,
        raw: OwnedFd,
        ready: mpsc::UnboundedReceiver<Role>,
    }

    fn world(role: Role) -> World {
        let dir = tempfile::tempdir().unwrap();
        let overrides = Overrides {
            runtime: Some(dir.path().join("run")),
            state: Some(dir.path().join("state")),
            data: Some(dir.path().join("data")),
        };
        let dirs = Dirs::resolve("default", &overrides, |_| None);
        crate::directories::prepare(&dirs).unwrap();
        let bound = "127.0.0.1:1".parse().unwrap();
        let dialer = Dialer::new(&Settings::default(), &dirs, bound).unwrap();
        let (child, launcher) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        let (sender, ready) = mpsc::unbounded_channel();
        tokio::spawn(serve(role, launcher, dialer, sender));
        let raw = child.try_clone().unwrap();
        World { _dir: dir, monitor: Monitor::new(child).unwrap(), raw, ready }
    }

    fn refusal(outcome: Result<Vec<OwnedFd>, MonitorError>) -> MonitorRefusal {
        match outcome {
            Err(MonitorError::Refused(refusal)) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// A thousand refusals are ten lines.
    #[test]
    fn refusals_are_counted_and_told_ever_more_rarely() {
        let refusals = Refusals::of(Role::Frontdoor);
        for _ in 0..1000 {
            refusals.count(MonitorRefusal::NotAllowed);
        }
        assert_eq!(refusals.counts.lock().unwrap()[&MonitorRefusal::NotAllowed], 1000);
        let told = (1..=1000).filter(|count| is_told(MonitorRefusal::NotAllowed, *count)).count();
        assert_eq!(told, 10);
        assert!(!is_told(MonitorRefusal::NotThere, 1));
    }

    #[tokio::test]
    async fn what_the_table_does_not_give_is_refused() {
        let supervisor = world(Role::Supervisor);
        for destination in [
            Destination::SessionBus,
            Destination::FrontdoorControl,
            Destination::RedirectListener,
            Destination::OwnListener,
            Destination::Gateway { host: "gateway.example.com".to_owned(), port: 443 },
            Destination::ModelHost { host: "not-configured.example".to_owned(), port: 443 },
        ] {
            let outcome = supervisor.monitor.open(destination).await;
            assert_eq!(refusal(outcome), MonitorRefusal::NotAllowed);
        }
    }

    /// Nothing listens at the test's session bus, so each of them fails at once.
    #[tokio::test]
    async fn a_child_that_dials_faster_than_its_budget_is_told_to_wait() {
        let broker = world(Role::Broker);
        let burst = table::judge(Role::Broker, &Ask::Open(Destination::SessionBus)).unwrap().pace;
        let mut busy = 0;
        for _ in 0..burst.burst * 2 {
            let refusal = refusal(broker.monitor.open(Destination::SessionBus).await);
            busy += u32::from(refusal == MonitorRefusal::Busy);
        }
        assert!(busy >= burst.burst / 2, "{busy} of {}", burst.burst * 2);
        broker.monitor.tell(Ask::Ready).await.expect("another row has its own budget");
    }

    #[tokio::test]
    async fn a_redirect_listener_is_loopback_and_the_brokers_alone() {
        let broker = world(Role::Broker);
        let listener = broker.monitor.open_listener(Destination::RedirectListener).await.unwrap();
        let bound = listener.local_addr().unwrap();
        assert!(bound.ip().is_loopback() && bound.port() != 0);
        let frontdoor = world(Role::Frontdoor);
        let outcome = frontdoor.monitor.open(Destination::RedirectListener).await;
        assert_eq!(refusal(outcome), MonitorRefusal::NotAllowed);
    }

    #[tokio::test]
    async fn garbage_and_descriptors_are_refused_and_the_monitor_goes_on() {
        let mut broker = world(Role::Broker);
        send(broker.raw.as_fd(), b"\xff not json", &[]).unwrap();
        send(broker.raw.as_fd(), br#"{"id":1,"ask":"ready","more":1}"#, &[]).unwrap();
        let request = Request { id: 1 << 40, ask: Ask::Ready }.encode().unwrap();
        let gift = std::fs::File::open("/dev/null").unwrap();
        send(broker.raw.as_fd(), &request, &[gift.as_fd()]).unwrap();
        send(broker.raw.as_fd(), &vec![b'['; MAX_MESSAGE_BYTES + 1], &[]).unwrap();
        send(broker.raw.as_fd(), &vec![b'['; MAX_MESSAGE_BYTES], &[]).unwrap();
        for seed in 0..200_u32 {
            let noise: Vec<u8> = (1..=seed % 64 + 1)
                .map(|at| (seed.wrapping_mul(2_654_435_761) >> (at % 24)) as u8)
                .collect();
            send(broker.raw.as_fd(), &noise, &[]).unwrap();
            tokio::task::yield_now().await;
        }
        broker.monitor.tell(Ask::Ready).await.unwrap();
        assert_eq!(broker.ready.recv().await, Some(Role::Broker));
        assert!(broker.ready.try_recv().is_err(), "the request with a descriptor was served");
    }

    #[tokio::test]
    async fn a_runtime_that_is_not_the_supervisors_child_is_not_recorded() {
        let supervisor = world(Role::Supervisor);
        let own = std::process::id();
        let told = supervisor.monitor.tell(Ask::RuntimeStarted { pid: own }).await;
        assert!(matches!(told, Err(MonitorError::Refused(_))));
        let figures = supervisor.monitor.open(Destination::RuntimeFigures { pid: own }).await;
        assert_eq!(refusal(figures), MonitorRefusal::NotThere);
    }
}
