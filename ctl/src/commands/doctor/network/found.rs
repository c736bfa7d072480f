//! What the way to a host comes to, in a person's words.

use std::time::Duration;

use super::Target;
use crate::commands::doctor::check::Check;

/// Longest wait for a name, for a connection, and for a handshake.
pub(super) const LIMIT: Duration = Duration::from_secs(3);

/// Where the way to a host ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Trusted,
    NoRoots,
    NoCaFile,
    NoName,
    NotAllowed,
    Refused,
    Silent,
    NoWay,
    Mute,
    HungUp,
    NotTls,
    NoAgreement,
    Untrusted,
    Expired,
    NotYetValid,
    WrongName,
}

impl Found {
    /// As a finding about this host.
    pub(super) fn check(self, target: &Target) -> Check {
        let Target { check, host, port, .. } = target;
        if self == Self::Trusted {
            let meaning = format!("{host}:{port} is reached, and its certificate is trusted.");
            return Check::ok(check, meaning);
        }
        let (reason, meaning, mend) = self.words(target);
        Check { reason: Some(reason.to_owned()), ..Check::fail(check, meaning, mend) }
    }

    /// Reason code, what it means, and what mends it.
    fn words(self, target: &Target) -> (&'static str, String, String) {
        let Target { section, host, port, .. } = target;
        let limit = LIMIT.as_secs();
        let look = format!("`curl -v https://{host}:{port}/`");
        let certificate = format!("The certificate of {host}:{port}");
        let (reason, meaning, mend) = match self {
            Self::Trusted => ("ok", String::new(), String::new()),
            Self::NoRoots => (
                "no_tls_roots",
                "There are no certificate authorities to trust on this computer.".to_owned(),
                "Install them: `sudo apt install ca-certificates`.".to_owned(),
            ),
            Self::NoCaFile => (
                "ca_file_unusable",
                format!("The ca_file of [{section}] holds no certificate, or cannot be read."),
                "Name a PEM file there, or leave it empty.".to_owned(),
            ),
            Self::NoName => (
                "name_not_found",
                format!("The name {host} has no address."),
                format!("Check the network, and the name's spelling: `getent hosts {host}`."),
            ),
            Self::NotAllowed => (
                "address_not_allowed",
                format!("{host} has an address that is not public, and is not connected to."),
                format!("For development alone: set private_hosts = true in [{section}]."),
            ),
            Self::Refused => (
                "connection_refused",
                format!("{host} refuses connections on port {port}: nothing listens there."),
                format!("Check the port in [{section}], and whether the service runs."),
            ),
            Self::Silent => (
                "connection_timeout",
                format!("{host} does not take a connection on port {port} within {limit} s."),
                format!("Check firewall and network: {look}."),
            ),
            Self::NoWay => (
                "connection_failed",
                format!("There is no way from here to {host}:{port}."),
                format!("Check the network: {look}."),
            ),
            Self::Mute => (
                "tls_timeout",
                format!("{host}:{port} is reached, and says nothing within {limit} s."),
                format!("Check that the port is one for https: {look}."),
            ),
            Self::HungUp => (
                "tls_failed",
                format!("{host}:{port} hangs up before it has shown a certificate."),
                format!("Check that the port is one for https: {look}."),
            ),
            Self::NotTls => (
                "tls_failed",
                format!("{host}:{port} is reached, and does not speak TLS."),
                format!("Check that the port is one for https: {look}."),
            ),
            Self::NoAgreement => (
                "tls_failed",
                format!("{host}:{port} offers no TLS that is strong enough, or refuses ours."),
                "Tell whoever runs it: TLS 1.2 or 1.3 is needed.".to_owned(),
            ),
            Self::Untrusted => (
                "certificate_untrusted",
                format!("{certificate} is not signed by whom this computer trusts."),
                format!(
                    "If the host has a CA of its own, name its PEM file as ca_file in [{section}]; \
                     if not, somebody is in between: do not go on."
                ),
            ),
            Self::Expired => (
                "certificate_expired",
                format!("{certificate} has expired."),
                "If this computer's clock is right (`timedatectl`), tell whoever runs the host."
                    .to_owned(),
            ),
            Self::NotYetValid => (
                "certificate_not_yet_valid",
                format!("{certificate} is not valid yet."),
                "Check this computer's clock: `timedatectl`.".to_owned(),
            ),
            Self::WrongName => (
                "certificate_wrong_name",
                format!("{certificate} is one for other names."),
                format!("Check the name in [{section}]; else tell whoever runs the host."),
            ),
        };
        (reason, meaning, mend)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::State;
    use super::*;

    #[test]
    fn each_end_of_the_way_has_its_reason_and_its_mend() {
        let target = Target {
            check: "model_host",
            section: "models",
            host: "models.example".to_owned(),
            port: 8443,
        };
        assert_eq!(Found::Trusted.check(&target).state, State::Ok);
        for (found, reason, mend) in [
            (Found::NoName, "name_not_found", "getent hosts models.example"),
            (Found::NotAllowed, "address_not_allowed", "private_hosts = true in [models]"),
            (Found::Silent, "connection_timeout", "https://models.example:8443/"),
            (Found::Untrusted, "certificate_untrusted", "ca_file in [models]"),
            (Found::NotYetValid, "certificate_not_yet_valid", "timedatectl"),
        ] {
            let check = found.check(&target);
            assert_eq!((check.state, check.reason.as_deref()), (State::Fail, Some(reason)));
            assert!(check.mend.expect("a mend").contains(mend), "{found:?}");
        }
    }
}
