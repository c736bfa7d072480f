//! The child's end against a launcher played by the test.

use std::os::fd::AsRawFd;

use rustix::io::{FdFlags, fcntl_getfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;

/// A monitor and the launcher's end of its pair.
fn pair() -> (Monitor, UnixDatagram) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (child, launcher) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    (Monitor::new(child).unwrap(), UnixDatagram::from_std(launcher.into()).unwrap())
}

async fn next_request(launcher: &UnixDatagram) -> Request {
    let read = launcher.async_io(Interest::READABLE, || receive(launcher.as_fd())).await;
    Request::decode(&read.unwrap().unwrap().0).unwrap()
}

fn answer(
    launcher: &UnixDatagram,
    id: u64,
    outcome: Result<(), MonitorRefusal>,
    descriptors: &[BorrowedFd<'_>],
) {
    let datagram = Reply { id, outcome }.encode().unwrap();
    send(launcher.as_fd(), &datagram, descriptors).unwrap();
}

/// A stream whose other end has this byte waiting for the reader.
fn marked(byte: u8) -> std::os::unix::net::UnixStream {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut &far, &[byte]).unwrap();
    near
}

async fn mark_of(stream: UnixStream) -> u8 {
    tokio::io::AsyncReadExt::read_u8(&mut { stream }).await.unwrap()
}

#[tokio::test]
async fn answers_out_of_order_reach_the_caller_that_asked() {
    let (monitor, launcher) = pair();
    let first = tokio::spawn({
        let monitor = monitor.clone();
        async move { monitor.open_unix(Destination::SupervisorControl).await }
    });
    let asked_first = next_request(&launcher).await;
    let second =
        tokio::spawn(async move { monitor.open_unix(Destination::FrontdoorControl).await });
    let asked_second = next_request(&launcher).await;
    answer(&launcher, asked_second.id, Ok(()), &[marked(2).as_fd()]);
    answer(&launcher, asked_first.id, Ok(()), &[marked(1).as_fd()]);
    assert_eq!(mark_of(first.await.unwrap().unwrap()).await, 1);
    assert_eq!(mark_of(second.await.unwrap().unwrap()).await, 2);
}

/// Architecture 2: without the echoed id, 41 of 70 cancelled requests gave the next caller the
/// wrong connection.
#[tokio::test]
async fn a_cancelled_request_never_gives_its_connection_to_the_next_caller() {
    let (monitor, launcher) = pair();
    for _ in 0..50 {
        let cancelled = tokio::spawn({
            let monitor = monitor.clone();
            async move { monitor.open_unix(Destination::SessionBus).await }
        });
        let stale = next_request(&launcher).await;
        cancelled.abort();
        let _ = cancelled.await;
        let asking = tokio::spawn({
            let monitor = monitor.clone();
            async move { monitor.open_unix(Destination::SupervisorControl).await }
        });
        let fresh = next_request(&launcher).await;
        answer(&launcher, stale.id, Ok(()), &[marked(b'x').as_fd()]);
        answer(&launcher, fresh.id, Ok(()), &[marked(b'o').as_fd()]);
        assert_eq!(mark_of(asking.await.unwrap().unwrap()).await, b'o');
    }
}

#[tokio::test]
async fn descriptors_arrive_close_on_exec() {
    let (monitor, launcher) = pair();
    let asking =
        tokio::spawn(async move { monitor.open(Destination::RuntimeFigures { pid: 1 }).await });
    let asked = next_request(&launcher).await;
    let (one, two) = (marked(1), marked(2));
    answer(&launcher, asked.id, Ok(()), &[one.as_fd(), two.as_fd()]);
    let descriptors = asking.await.unwrap().unwrap();
    assert_eq!(descriptors.len(), 2);
    for descriptor in &descriptors {
        assert!(fcntl_getfd(descriptor).unwrap().contains(FdFlags::CLOEXEC));
        assert!(descriptor.as_raw_fd() > 2);
    }
}

#[tokio::test]
async fn more_descriptors_than_asked_for_are_refused() {
    let (monitor, launcher) = pair();
    let asking = tokio::spawn({
        let monitor = monitor.clone();
        async move { monitor.open_unix(Destination::RuntimeSocket).await }
    });
    let asked = next_request(&launcher).await;
    let (one, two) = (marked(1), marked(2));
    answer(&launcher, asked.id, Ok(()), &[one.as_fd(), two.as_fd()]);
    assert!(matches!(asking.await.unwrap(), Err(MonitorError::Gone)));

    let telling = tokio::spawn(async move { monitor.tell(Ask::Ready).await });
    let asked = next_request(&launcher).await;
    answer(&launcher, asked.id, Ok(()), &[one.as_fd()]);
    assert!(matches!(telling.await.unwrap(), Err(MonitorError::Gone)));
}

#[tokio::test]
async fn a_refusal_is_told_as_such() {
    let (monitor, launcher) = pair();
    let asking = tokio::spawn(async move { monitor.open_tcp(Destination::OwnListener).await });
    let asked = next_request(&launcher).await;
    answer(&launcher, asked.id, Err(MonitorRefusal::NotAllowed), &[]);
    let refused = asking.await.unwrap().unwrap_err();
    assert!(matches!(refused, MonitorError::Refused(MonitorRefusal::NotAllowed)));
}

#[tokio::test]
async fn a_silent_launcher_is_given_up_on() {
    let (monitor, _launcher) = pair();
    tokio::time::pause();
    let refused = monitor.tell(Ask::Ready).await.unwrap_err();
    assert!(matches!(refused, MonitorError::Timeout));
}

#[tokio::test]
async fn a_launcher_that_is_gone_fails_the_waiting_and_every_later_request() {
    let (monitor, launcher) = pair();
    let asking = tokio::spawn({
        let monitor = monitor.clone();
        async move { monitor.tell(Ask::Ready).await }
    });
    next_request(&launcher).await;
    drop(launcher);
    assert!(matches!(asking.await.unwrap(), Err(MonitorError::Gone)));
    assert!(matches!(monitor.tell(Ask::Ready).await, Err(MonitorError::Gone)));
}

#[test]
fn a_third_descriptor_or_a_longer_datagram_is_refused_at_receipt() {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let extra = marked(1);
    let three = [extra.as_fd(), extra.as_fd(), extra.as_fd()];
    assert!(send(near.as_fd(), b"x", &three).is_err());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&three)));
    sendmsg(&near, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL).unwrap();
    assert_eq!(receive(far.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);

    send(near.as_fd(), &vec![b' '; MAX_MESSAGE_BYTES + 1], &[]).unwrap();
    assert_eq!(receive(far.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);
}
