//! The two gRPC sockets.

use std::sync::Arc;

use frontdoor_api::v1::frontdoor_control_server::FrontdoorControlServer;
use frontdoor_api::v1::frontdoor_inspect_server::FrontdoorInspectServer;
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::control::Control;
use crate::door::Door;
use crate::error::FrontdoorError;
use crate::inspect::Inspect;
use crate::limits::GRPC_MESSAGE_BYTES;

/// Serves the broker.
pub(crate) async fn control<S, I>(door: Arc<Door>, peers: S) -> Result<(), FrontdoorError>
where
    S: Stream<Item = std::io::Result<I>>,
    I: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let service =
        FrontdoorControlServer::new(Control(door)).max_decoding_message_size(GRPC_MESSAGE_BYTES);
    Server::builder()
        .add_service(service)
        .serve_with_incoming(peers)
        .await
        .map_err(FrontdoorError::Server)
}

/// Serves people, with gRPC health and reflection.
pub(crate) async fn inspect<S, I>(
    door: Arc<Door>,
    peers: S,
    trials: capabilities::Server,
) -> Result<(), FrontdoorError>
where
    S: Stream<Item = std::io::Result<I>>,
    I: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let service =
        FrontdoorInspectServer::new(Inspect(door)).max_decoding_message_size(GRPC_MESSAGE_BYTES);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<FrontdoorInspectServer<Inspect>>().await;
    Server::builder()
        .add_service(service)
        .add_service(trials)
        .add_service(health)
        .add_service(reflection()?.build_v1().map_err(FrontdoorError::Reflection)?)
        .add_service(reflection()?.build_v1alpha().map_err(FrontdoorError::Reflection)?)
        .serve_with_incoming(peers)
        .await
        .map_err(FrontdoorError::Server)
}

fn reflection() -> Result<tonic_reflection::server::Builder<'static>, FrontdoorError> {
    Ok(tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(frontdoor_api::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(capabilities::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("companion.frontdoor.v1.FrontdoorInspect")
        .with_service_name("companion.capability.v1.Capabilities")
        .with_service_name("grpc.health.v1.Health"))
}
