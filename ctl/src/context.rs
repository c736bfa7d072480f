//! Which companion is meant, and how its three sockets are called.

use std::future::Future;
use std::time::Duration;

use authority_api::v1::authority_client::AuthorityClient;
use capability_api::v1::capabilities_client::CapabilitiesClient;
use companion_settings::{Dirs, Overrides, Settings};
use frontdoor_api::v1::frontdoor_inspect_client::FrontdoorInspectClient;
use runtime_api::v1::runtime_inspect_client::RuntimeInspectClient;
use tokio::net::UnixStream;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use crate::cli::Global;
use crate::refusal::Refusal;

/// Time limits of calls.
pub(crate) mod limits {
    use std::time::Duration;

    /// Something the process knows by itself.
    pub(crate) const FACTS: Duration = Duration::from_secs(3);
    /// Something that asks the keychain, which is given ten seconds.
    pub(crate) const KEYCHAIN: Duration = Duration::from_secs(15);
    /// Something that the process tries, one thing after the other.
    pub(crate) const TRIALS: Duration = Duration::from_secs(60);
    /// Something that asks a server.
    pub(crate) const NETWORK: Duration = Duration::from_secs(60);
    /// Something that reads a whole model from the disk.
    pub(crate) const HASHING: Duration = Duration::from_secs(30 * 60);
    /// Is anybody listening at all?
    pub(crate) const DIAL: Duration = Duration::from_millis(500);
}

/// A process that people may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Broker,
    Supervisor,
    Frontdoor,
}

impl Process {
    pub(crate) const ALL: [Self; 3] = [Self::Broker, Self::Supervisor, Self::Frontdoor];

    /// Name of its socket in the runtime directory.
    pub(crate) fn socket(self) -> &'static str {
        match self {
            Self::Broker => "broker.sock",
            Self::Supervisor => "supervisor.sock",
            Self::Frontdoor => "frontdoor.sock",
        }
    }

    /// The reason when it alone does not answer.
    pub(crate) fn unreachable(self) -> &'static str {
        match self {
            Self::Broker => "broker_unreachable",
            Self::Supervisor => "supervisor_unreachable",
            Self::Frontdoor => "frontdoor_unreachable",
        }
    }
}

/// One installation of the companion, as this user's configuration names it.
#[derive(Debug)]
pub(crate) struct Context {
    dirs: Dirs,
    settings: Settings,
}

impl Context {
    /// Reads the configuration and finds the directories; flags stand above both.
    ///
    /// # Errors
    /// `configuration_refused`, with the key that is wrong.
    pub(crate) fn load(flags: &Global) -> Result<Self, Refusal> {
        let env = |name: &str| std::env::var(name).ok();
        let settings = companion_settings::load(flags.config.as_deref(), env)
            .map_err(|error| Refusal::new("configuration_refused").with_detail(&chain(&error)))?;
        let profile = flags.profile.as_deref().unwrap_or(&settings.profile);
        if !is_profile_name(profile) {
            return Err(Refusal::new("configuration_refused")
                .with_detail("profile is one word of a-z, 0-9 and hyphens, at most 32 long"));
        }
        let overrides = Overrides {
            runtime: flags.runtime_dir.clone(),
            state: flags.state_dir.clone(),
            data: flags.data_dir.clone(),
        };
        let dirs = Dirs::resolve(profile, &overrides, env);
        Ok(Self { dirs, settings })
    }

    pub(crate) fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn broker(&self) -> AuthorityClient<Channel> {
        AuthorityClient::new(self.channel(Process::Broker))
    }

    pub(crate) fn supervisor(&self) -> RuntimeInspectClient<Channel> {
        RuntimeInspectClient::new(self.channel(Process::Supervisor))
    }

    pub(crate) fn frontdoor(&self) -> FrontdoorInspectClient<Channel> {
        FrontdoorInspectClient::new(self.channel(Process::Frontdoor))
    }

    pub(crate) fn capabilities(&self, process: Process) -> CapabilitiesClient<Channel> {
        CapabilitiesClient::new(self.channel(process))
    }

    fn channel(&self, process: Process) -> Channel {
        peer_socket::channel_to(&self.dirs.socket(process.socket()))
    }

    /// One call and its answer, bounded in time.
    ///
    /// # Errors
    /// The reason of the process, or which process does not answer.
    pub(crate) async fn ask<T>(
        &self,
        process: Process,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Refusal> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.refusal(process, &status).await),
            Err(_elapsed) => Err(self.absence("no_answer").await),
        }
    }

    /// The next message of a stream; `None` at its end.
    ///
    /// # Errors
    /// The reason of the process, or that it does not answer.
    pub(crate) async fn next<T>(
        &self,
        process: Process,
        stream: &mut Streaming<T>,
    ) -> Result<Option<T>, Refusal> {
        match stream.message().await {
            Ok(message) => Ok(message),
            Err(status) => Err(self.refusal(process, &status).await),
        }
    }

    async fn refusal(&self, process: Process, status: &Status) -> Refusal {
        match Refusal::of_status(status) {
            Some(refusal) => refusal,
            None => self.absence(process.unreachable()).await,
        }
    }

    /// `reason`, or `companion_not_running` when nobody listens on any of the three sockets.
    async fn absence(&self, reason: &'static str) -> Refusal {
        if self.is_running().await {
            Refusal::new(reason)
        } else {
            Refusal::new("companion_not_running")
        }
    }

    /// Whether anybody listens on one of the three sockets. The launcher holds them open while
    /// a process behind one is being restarted.
    pub(crate) async fn is_running(&self) -> bool {
        for process in Process::ALL {
            let path = self.dirs.socket(process.socket());
            match tokio::time::timeout(limits::DIAL, UnixStream::connect(path)).await {
                Ok(Ok(_stream)) => return true,
                // A full backlog is somebody's.
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Ok(Err(_)) | Err(_) => {}
            }
        }
        false
    }
}

fn is_profile_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_name_cannot_leave_its_directory() {
        for name in ["default", "work-2", "a"] {
            assert!(is_profile_name(name));
        }
        for name in ["", "..", "a/b", "A", "ä", "a b", &"x".repeat(33)] {
            assert!(!is_profile_name(name), "{name}");
        }
    }
}
