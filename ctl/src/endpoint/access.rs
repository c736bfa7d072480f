//! Where the endpoint is and the key to it, asked of the two processes that know.

use std::net::SocketAddr;

use authority_api::v1::GetLoopbackTokenRequest;
use frontdoor_api::v1::{FrontdoorStatus, GetStatusRequest};
use zeroize::Zeroizing;

use crate::context::{Context, Process, limits};
use crate::reasons;
use crate::refusal::Refusal;

/// Characters of a loopback token: 256 bits as base64url without padding (contract 7).
const TOKEN_CHARS: usize = 43;
/// Hosts that a proxy must never be asked for, or it would read the key.
const LOOPBACK_HOSTS: &str = "127.0.0.1,localhost,::1";

/// The endpoint's address: a loopback literal with its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint(SocketAddr);

impl Endpoint {
    /// Reads `http://127.0.0.1:PORT` or `http://[::1]:PORT`, and nothing else.
    ///
    /// # Errors
    /// `endpoint_not_loopback`: a key is never sent to another machine.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        text.strip_prefix("http://")
            .and_then(|authority| authority.parse::<SocketAddr>().ok())
            .filter(|address| address.ip().is_loopback() && address.port() != 0)
            .map(Self)
            .ok_or_else(|| Refusal::new("endpoint_not_loopback"))
    }

    pub(crate) fn address(self) -> SocketAddr {
        self.0
    }

    /// The base URL of OpenAI clients.
    pub(crate) fn base_url(self) -> String {
        format!("http://{}/v1", self.0)
    }
}

/// The loopback token. Neither shown nor copied, wiped when dropped.
pub(crate) struct LoopbackToken(Zeroizing<String>);

impl LoopbackToken {
    /// Takes what the broker answered.
    ///
    /// # Errors
    /// `unexpected_answer` when it is not 43 characters of base64url.
    fn of_answer(text: String) -> Result<Self, Refusal> {
        let text = Zeroizing::new(text);
        let is_base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if text.len() == TOKEN_CHARS && text.bytes().all(is_base64url) {
            Ok(Self(text))
        } else {
            Err(Refusal::new("unexpected_answer"))
        }
    }

    /// For the Authorization header of a request to the endpoint; with the name of this process
    /// behind it, by which the endpoint's queue tells it from the owner's other programs.
    pub(crate) fn expose_for_header(&self) -> Zeroizing<String> {
        self.named("companionctl")
    }

    /// For the environment of the owner's programs, which are all one client then.
    pub(crate) fn expose_for_environment(&self) -> &str {
        &self.0
    }

    /// For the environment of the one program that this process becomes, with its name.
    pub(crate) fn expose_for_program(&self) -> Zeroizing<String> {
        self.named("exec")
    }

    fn named(&self, what: &str) -> Zeroizing<String> {
        Zeroizing::new(format!("{}.{what}-{}", *self.0, std::process::id()))
    }
}

impl std::fmt::Debug for LoopbackToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where the endpoint is, whether it is available, and the key to it.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: LoopbackToken,
    pub(crate) status: FrontdoorStatus,
}

impl Access {
    /// Asks the front door for its address and the broker for the key.
    ///
    /// # Errors
    /// The reason of either, or which of them does not answer.
    pub(crate) async fn ask(context: &Context) -> Result<Self, Refusal> {
        let mut frontdoor = context.frontdoor();
        let call = frontdoor.get_status(GetStatusRequest {});
        let status = context.ask(Process::Frontdoor, limits::FACTS, call).await?;
        let endpoint = Endpoint::parse(&status.endpoint)?;
        let mut broker = context.broker();
        let call = broker.get_loopback_token(GetLoopbackTokenRequest {});
        let answer = context.ask(Process::Broker, limits::KEYCHAIN, call).await?;
        Ok(Self { endpoint, token: LoopbackToken::of_answer(answer.loopback_token)?, status })
    }

    /// Whether a request is answered: at once, or as soon as a model that rests is loaded again.
    pub(crate) fn takes_requests(&self) -> bool {
        self.status.available || reasons::is_only_asleep(&self.status.missing)
    }

    /// As [`Access::ask`], for commands that need an answer now.
    ///
    /// # Errors
    /// Also the first cause of what is missing for the endpoint to be available.
    pub(crate) async fn ask_available(context: &Context) -> Result<Self, Refusal> {
        let access = Self::ask(context).await?;
        if access.takes_requests() {
            return Ok(access);
        }
        let cause = reasons::causes(&access.status.missing).first().map(|word| Refusal::told(word));
        Err(cause.unwrap_or_else(|| Refusal::new("not_ready")))
    }
}

/// The variables that an OpenAI client reads, and, where the environment names a proxy, the one
/// that keeps the key from it.
pub(crate) fn variables(
    access: &Access,
    key: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Vec<(&'static str, String)> {
    let mut variables =
        vec![("OPENAI_BASE_URL", access.endpoint.base_url()), ("OPENAI_API_KEY", key.to_owned())];
    let set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
    if ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].into_iter().any(set) {
        for name in ["NO_PROXY", "no_proxy"] {
            variables.push((name, without_proxy(env(name).as_deref().unwrap_or_default())));
        }
    }
    variables
}

fn without_proxy(present: &str) -> String {
    let present = present.trim().trim_end_matches(',');
    match present {
        "" => LOOPBACK_HOSTS.to_owned(),
        "*" => "*".to_owned(),
        _ => format!("{present},{LOOPBACK_HOSTS}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            endpoint: Endpoint::parse("http://127.0.0.1:4711").expect("loopback"),
            token: LoopbackToken::of_answer("a".repeat(43)).expect("token"),
            status: FrontdoorStatus::default(),
        }
    }

    #[test]
    fn only_a_loopback_literal_is_an_endpoint() {
        for good in ["http://127.0.0.1:1", "http://[::1]:65535"] {
            assert_eq!(format!("http://{}", Endpoint::parse(good).expect("loopback").0), good);
        }
        for bad in [
            "",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "http://127.0.0.1:1/v1",
            "https://127.0.0.1:1",
            "http://localhost:1",
            "http://192.168.1.4:1",
            "http://0.0.0.0:1",
            "http://evil.example:1",
            "http://x@127.0.0.1:1",
        ] {
            assert_eq!(Endpoint::parse(bad), Err(Refusal::new("endpoint_not_loopback")), "{bad}");
        }
    }

    #[test]
    fn a_token_is_43_characters_of_base64url_and_is_never_shown() {
        let token = LoopbackToken::of_answer("Ab0-_".repeat(8) + "xyz").expect("token");
        assert_eq!(format!("{token:?}"), "[redacted]");
        assert!(!format!("{:?}", access()).contains("aaaa"));
        for bad in ["", "short", &"a".repeat(42), &"a".repeat(44), &"a b".repeat(15)] {
            assert!(LoopbackToken::of_answer(bad.to_owned()).is_err());
        }
        assert!(LoopbackToken::of_answer(format!("{}\n", "a".repeat(42))).is_err());
    }

    #[test]
    fn the_two_variables_are_what_an_openai_client_reads() {
        assert_eq!(
            variables(&access(), &"a".repeat(43), |_| None),
            [
                ("OPENAI_BASE_URL", "http://127.0.0.1:4711/v1".to_owned()),
                ("OPENAI_API_KEY", "a".repeat(43))
            ]
        );
    }

    #[test]
    fn a_proxy_of_the_environment_is_not_given_the_key() {
        let env = |name: &str| match name {
            "HTTP_PROXY" => Some("http://proxy:3128".to_owned()),
            "NO_PROXY" => Some("intranet.example".to_owned()),
            _ => None,
        };
        let variables = variables(&access(), "key", env);
        assert!(
            variables
                .contains(&("NO_PROXY", "intranet.example,127.0.0.1,localhost,::1".to_owned()))
        );
        assert!(variables.contains(&("no_proxy", "127.0.0.1,localhost,::1".to_owned())));
    }
}
