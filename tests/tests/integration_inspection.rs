//! Any gRPC tool can read the sockets that people inspect: health and reflection. The services
//! that steer are on sockets of their own.

use anyhow::{Context, Result};
use promises::World;
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// What every one of them lets its process try.
const CAPABILITIES: &str = "companion.capability.v1.Capabilities";
/// Each socket with the one other service of ours that it offers.
const SOCKETS: [(&str, &str); 3] = [
    ("broker.sock", "companion.authority.v1.Authority"),
    ("supervisor.sock", "companion.runtime.v1.RuntimeInspect"),
    ("frontdoor.sock", "companion.frontdoor.v1.FrontdoorInspect"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_inspected_socket_tells_its_health_and_its_services_and_no_control() -> Result<()> {
    let world = World::start().await?;
    for (socket, service) in SOCKETS {
        let channel = peer_socket::channel_to(&world.runtime_dir().join(socket));
        assert_eq!(health(channel.clone()).await?, ServingStatus::Serving, "{socket}");
        let mut ours: Vec<_> = services(channel)
            .await?
            .into_iter()
            .filter(|name| name.starts_with("companion."))
            .collect();
        ours.sort();
        let mut expected = [CAPABILITIES, service];
        expected.sort_unstable();
        assert_eq!(ours, expected, "{socket}");
    }
    Ok(())
}

async fn health(channel: Channel) -> Result<ServingStatus> {
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await?.into_inner();
    Ok(answer.status())
}

async fn services(channel: Channel) -> Result<Vec<String>> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter([request]))
        .await?
        .into_inner();
    let answer = answers.next().await.context("no answer")??;
    match answer.message_response.context("an empty answer")? {
        MessageResponse::ListServicesResponse(list) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => anyhow::bail!("{other:?}"),
    }
}
