//! The three sockets of this process.

use std::sync::Arc;

use monitor_api::descriptor;
use peer_socket::{PeerListener, PeerRule};
use runtime_api::FILE_DESCRIPTOR_SET;
use runtime_api::v1::runtime_control_server::RuntimeControlServer;
use runtime_api::v1::runtime_inspect_server::RuntimeInspectServer;
use runtime_api::v1::runtime_status_server::RuntimeStatusServer;
use tonic::transport::Server;
use tonic_reflection::server::Builder as Reflection;

use crate::control::Control;
use crate::error::Fatal;
use crate::inspect::Inspect;
use crate::output::Output;
use crate::runtime::Handle;
use crate::runtime_trials::Trials;
use crate::status::Follow;

/// The sockets, adopted and guarded by who may call.
pub(crate) struct Sockets {
    people: PeerListener,
    control: PeerListener,
    status: PeerListener,
}

impl Sockets {
    /// Adopts the three inherited listeners.
    ///
    /// # Errors
    /// [`Fatal::Io`] when one was not inherited.
    pub(crate) fn adopt(launcher_pid: u32) -> Result<Self, Fatal> {
        let launcher = PeerRule::LauncherOnly { launcher_pid };
        Ok(Self {
            people: PeerListener::adopt(descriptor::SUPERVISOR_SOCKET, PeerRule::SameUser)?,
            control: PeerListener::adopt(descriptor::SUPERVISOR_CONTROL, launcher)?,
            status: PeerListener::adopt(descriptor::SUPERVISOR_STATUS, launcher)?,
        })
    }

    /// Serves all three; returns only with an error.
    pub(crate) async fn serve(
        self,
        control: Control,
        runtime: Handle,
        output: Arc<Output>,
        trials: Trials,
    ) -> Result<(), Fatal> {
        let (health_reporter, health) = tonic_health::server::health_reporter();
        let capabilities = trials.server(runtime.clone());
        let inspect = Inspect { runtime: runtime.clone(), output };
        health_reporter.set_serving::<RuntimeInspectServer<Inspect>>().await;
        let people = Server::builder()
            .add_service(RuntimeInspectServer::new(inspect))
            .add_service(capabilities)
            .add_service(health)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .serve_with_incoming(self.people);
        let control = Server::builder()
            .add_service(RuntimeControlServer::new(control))
            .serve_with_incoming(self.control);
        let status = Server::builder()
            .add_service(RuntimeStatusServer::new(Follow { runtime }))
            .serve_with_incoming(self.status);
        tokio::try_join!(people, control, status)?;
        Ok(())
    }
}

fn reflection() -> Reflection<'static> {
    Reflection::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(capabilities::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("companion.runtime.v1.RuntimeInspect")
        .with_service_name("companion.capability.v1.Capabilities")
        .with_service_name("grpc.health.v1.Health")
}
