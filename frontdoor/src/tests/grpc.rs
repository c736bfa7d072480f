//! The two gRPC sockets, over in-memory pipes.

use std::sync::Arc;

use frontdoor_api::v1::frontdoor_control_client::FrontdoorControlClient;
use frontdoor_api::v1::frontdoor_inspect_client::FrontdoorInspectClient;
use frontdoor_api::v1::{
    FrontdoorStatus, GetStatusRequest, LaneCapabilities, LaneRequest, TokenDigest, TokenDigestHeld,
    WatchStatusRequest,
};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

use super::{House, LIMIT};
use crate::door::Door;
use crate::{grpc, status};

/// One end of a pipe as a channel, the other as the only peer that ever comes.
async fn pipe() -> (Channel, impl futures_util::Stream<Item = std::io::Result<DuplexStream>>) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let mut ours = Some(ours);
    let connector = tower::service_fn(move |_: http::Uri| {
        let ours = ours.take().map(hyper_util::rt::TokioIo::new);
        async move { ours.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected)) }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
    let peers = futures_util::stream::once(async { Ok(theirs) });
    (channel, futures_util::StreamExt::chain(peers, futures_util::stream::pending()))
}

async fn inspect(door: &Arc<Door>) -> Channel {
    let (channel, peers) = pipe().await;
    let nothing_to_try = capabilities::Capabilities::server(|| Box::pin(async { Vec::new() }));
    tokio::spawn(grpc::inspect(Arc::clone(door), Box::pin(peers), nothing_to_try));
    channel
}

/// A broker: its sending half, and the acknowledgements.
struct Broker {
    digests: mpsc::Sender<TokenDigest>,
    held: Streaming<TokenDigestHeld>,
}

impl Broker {
    async fn at(door: &Arc<Door>) -> Self {
        let (channel, peers) = pipe().await;
        tokio::spawn(grpc::control(Arc::clone(door), Box::pin(peers)));
        let (digests, outgoing) = mpsc::channel(4);
        let mut client = FrontdoorControlClient::new(channel);
        let answer = client.hold_token_digest(ReceiverStream::new(outgoing));
        let held = timeout(LIMIT, answer).await.expect("in time").expect("taken").into_inner();
        Self { digests, held }
    }

    async fn send(&mut self, token_digest: Vec<u8>) -> Result<Option<TokenDigestHeld>, Code> {
        self.digests.send(TokenDigest { token_digest }).await.expect("the front door listens");
        let answer = timeout(LIMIT, self.held.message()).await.expect("in time");
        answer.map_err(|status| {
            assert_eq!(status.message(), "malformed_input");
            status.code()
        })
    }
}

/// SHA-256 of the test's token, by another implementation.
fn digest() -> Vec<u8> {
    vec![
        0x55, 0xc2, 0xc8, 0x83, 0xc9, 0x6b, 0xd4, 0xdd, 0x30, 0xd1, 0x62, 0xcd, 0xae, 0xa5, 0xaf,
        0xd0, 0x0f, 0xb2, 0x28, 0x0b, 0xf6, 0x3e, 0x92, 0x6c, 0xf6, 0x31, 0x73, 0x62, 0x48, 0xbb,
        0x33, 0xa3,
    ]
}

async fn until_set(house: &House, wanted: bool) {
    let mut changes = house.door.changes();
    let holds = async {
        let unset = |status: FrontdoorStatus| {
            status.missing.iter().any(|what| what == "token_digest_unset")
        };
        while unset(status::message(&house.door)) == wanted {
            changes.changed().await.expect("the door is there");
        }
    };
    timeout(LIMIT, holds).await.expect("in time");
}

#[tokio::test]
async fn the_digest_holds_for_as_long_as_the_brokers_stream_is_open() {
    let mut house = House::ready().await;
    drop(house.token.take());
    let mut broker = Broker::at(&house.door).await;
    assert_eq!(broker.send(digest()).await, Ok(Some(TokenDigestHeld {})));
    assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, 200);
    drop(broker);
    until_set(&house, false).await;
    assert_eq!(house.ask(&house.get("/companion/v1/status")).await.code(), "invalid_token");
}

#[tokio::test]
async fn an_empty_digest_withdraws_and_a_later_one_sets_again() {
    let mut house = House::ready().await;
    drop(house.token.take());
    let mut broker = Broker::at(&house.door).await;
    for (bytes, status) in [(digest(), 200), (Vec::new(), 401), (digest(), 200), (vec![0; 32], 401)]
    {
        assert_eq!(broker.send(bytes).await, Ok(Some(TokenDigestHeld {})));
        assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, status);
    }
}

#[tokio::test]
async fn a_digest_of_another_length_is_refused_and_withdraws() {
    let mut house = House::ready().await;
    drop(house.token.take());
    for bytes in [vec![1; 31], vec![1; 33], vec![1]] {
        let mut broker = Broker::at(&house.door).await;
        assert_eq!(broker.send(digest()).await, Ok(Some(TokenDigestHeld {})));
        assert_eq!(broker.send(bytes).await, Err(Code::InvalidArgument));
        until_set(&house, false).await;
    }
}

#[tokio::test]
async fn the_newest_stream_alone_counts() {
    let mut house = House::ready().await;
    drop(house.token.take());
    let mut older = Broker::at(&house.door).await;
    assert!(older.send(vec![7; 32]).await.is_ok());
    let mut newer = Broker::at(&house.door).await;
    assert!(newer.send(digest()).await.is_ok());
    assert!(older.send(Vec::new()).await.is_ok());
    drop(older);
    let unset = timeout(std::time::Duration::from_millis(100), until_set(&house, false)).await;
    assert!(unset.is_err(), "what the older stream does is of no account");
    assert_eq!(house.ask(&house.get("/companion/v1/status")).await.status, 200);
    drop(newer);
    until_set(&house, false).await;
}

#[tokio::test]
async fn a_watcher_hears_at_once_and_of_each_change() {
    let mut house = House::ready().await;
    let mut client = FrontdoorInspectClient::new(inspect(&house.door).await);
    let mut stream =
        client.watch_status(WatchStatusRequest {}).await.expect("watched").into_inner();
    let first = stream.message().await.expect("no error").expect("a status");
    assert!(!first.missing.contains(&"token_digest_unset".to_owned()));
    drop(house.token.take());
    let hears = async {
        loop {
            let status = stream.message().await.expect("no error").expect("a status");
            if status.missing.contains(&"token_digest_unset".to_owned()) {
                return;
            }
        }
    };
    timeout(LIMIT, hears).await.expect("in time");
}

#[tokio::test]
async fn the_status_says_what_is_and_the_lane_is_decided() {
    let house = House::ready().await;
    let mut client = FrontdoorInspectClient::new(inspect(&house.door).await);
    let status = client.get_status(GetStatusRequest {}).await.expect("told").into_inner();
    assert_eq!(status.endpoint, format!("http://{}", house.address));
    assert_eq!(status.missing, ["health_stale"]);
    assert_eq!((status.available, status.lane.as_str()), (false, "disabled"));
    assert_eq!(status.frontdoor_pid, std::process::id());
    let capabilities = LaneCapabilities { local: true, openrouter: true, ..Default::default() };
    let request = LaneRequest {
        capabilities: Some(capabilities),
        delegate: true,
        writes_owner_partition: true,
        ..LaneRequest::default()
    };
    let decision = client.decide_lane(request).await.expect("decided").into_inner();
    assert_eq!(decision.lane, "openrouter", "local is not available");
    assert_eq!(decision.decision, "lane_policy_denied");
    assert!(!decision.metered);
}

#[tokio::test]
async fn health_and_reflection_answer_on_the_peoples_socket() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let house = House::ready().await;
    let channel = inspect(&house.door).await;
    let service = "companion.frontdoor.v1.FrontdoorInspect".to_owned();
    let request = tonic_health::pb::HealthCheckRequest { service: service.clone() };
    let health = HealthClient::new(channel.clone()).check(request).await.expect("told");
    assert_eq!(health.into_inner().status, 1, "SERVING");
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures_util::stream::once(async { request });
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(requests)
        .await
        .expect("told")
        .into_inner();
    let answer = answers.message().await.expect("no error").expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list");
    };
    assert!(list.service.iter().any(|known| known.name == service));
}
