//! What can be wrong with a world, before it starts and while it runs.

use devstack::MODEL_ID;
use devstack::catalog::{CatalogFlaws, SignedBy};
use devstack::gateway::{AuthorizeFault, IssParameter, StateParameter, TokenFault};
use devstack::model_host::Fault;
use devstack::session_bus::Keyring;
use devstack::stack::{Stack, StackOptions};

/// What is wrong with a world. The default world is honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// Nothing.
    None,
    /// The model host flips the lowest bit of one byte.
    FlipByte {
        /// Offset in the file.
        offset: u64,
    },
    /// The model host closes the connection after so many bytes.
    CutAfter {
        /// Bytes that arrive.
        bytes: u64,
    },
    /// The model host redirects to a host that is not allowed.
    RedirectElsewhere,
    /// The catalog says one byte less than the model has.
    WrongSize,
    /// The catalog is signed by keys that the pinned root does not know.
    ForeignCatalogKey,
    /// The catalog's timestamp has expired.
    ExpiredCatalog,
    /// The catalog names its own host as the place of the bytes.
    CatalogOnModelHost,
    /// The authorization response names another issuer.
    WrongIss,
    /// The authorization response names no issuer.
    AbsentIss,
    /// The authorization response carries another state.
    WrongState,
    /// The authorization server answers `access_denied`.
    AccessDenied,
    /// The token endpoint answers 500.
    TokenEndpointFault,
    /// The token endpoint answers 200 with no JSON.
    TokenEndpointGarbage,
    /// The token endpoint takes requests and never answers.
    TokenEndpointStall,
    /// The token endpoint rotates what it is asked to, and never answers.
    TokenEndpointServesThenStalls,
    /// Access tokens live so long.
    AccessTokenLifetime {
        /// Seconds.
        seconds: u64,
    },
    /// A session bus on which nobody serves secrets.
    NoSecretService,
    /// The same, and the kernel keyring chosen in its place.
    KernelKeyring {
        /// What tells this world's keys from another's.
        world: &'static str,
    },
    /// Another Secret Service than GNOME Keyring.
    OtherKeyring(Keyring),
    /// No account here, and a catalog that asks for none.
    NoAccount,
}

/// What has to be wrong before the stack starts.
pub(crate) fn plan(mischief: Mischief, options: &mut StackOptions) {
    let flaws = &mut options.flaws;
    match mischief {
        Mischief::WrongSize => flaws.wrong_size = [(MODEL_ID.to_owned(), -1)].into(),
        Mischief::ForeignCatalogKey => {
            *flaws = CatalogFlaws { signed_by: SignedBy::Foreign, ..CatalogFlaws::default() };
        }
        Mischief::ExpiredCatalog => flaws.expired = true,
        Mischief::CatalogOnModelHost => options.files_on_gateway_host = true,
        Mischief::KernelKeyring { world } => {
            let profile = crate::kernel_keys::profile(world).into();
            options.config.push((String::new(), "profile".into(), profile));
            options.config.push(("keychain".into(), "backend".into(), "kernel".into()));
        }
        Mischief::NoAccount => {
            let own = [("issuer", "".into()), ("catalog_needs_session", false.into())];
            options.config.extend(own.map(|(key, value)| ("gateway".into(), key.into(), value)));
            options.gateway.catalog_needs_session = false;
        }
        _ => {}
    }
}

/// What goes wrong while it runs.
pub(crate) fn act(mischief: Mischief, stack: &Stack) {
    let gateway = |change: fn(&mut devstack::gateway::GatewaySwitches)| {
        stack.gateway.switch(change);
    };
    match mischief {
        Mischief::FlipByte { offset } => {
            stack.model_host.switch(|host| host.fault = Fault::FlipByte { offset });
        }
        Mischief::CutAfter { bytes } => {
            stack.model_host.switch(|host| host.fault = Fault::CutAfter { bytes });
        }
        Mischief::RedirectElsewhere => stack.model_host.switch(|host| {
            host.fault = Fault::Redirect { to: "https://elsewhere.localhost:1/model".to_owned() };
        }),
        Mischief::WrongIss => gateway(|it| it.iss = IssParameter::Wrong),
        Mischief::AbsentIss => gateway(|it| it.iss = IssParameter::Absent),
        Mischief::WrongState => gateway(|it| it.state = StateParameter::Wrong),
        Mischief::AccessDenied => gateway(|it| it.authorize = AuthorizeFault::AccessDenied),
        Mischief::TokenEndpointFault => gateway(|it| it.token = TokenFault::ServerError),
        Mischief::TokenEndpointGarbage => gateway(|it| it.token = TokenFault::Garbage),
        Mischief::TokenEndpointStall => gateway(|it| it.token = TokenFault::Stall),
        Mischief::TokenEndpointServesThenStalls => {
            gateway(|it| it.token = TokenFault::ServeThenStall);
        }
        Mischief::AccessTokenLifetime { seconds } => {
            stack.gateway.switch(|it| it.expires_in = seconds);
        }
        Mischief::None
        | Mischief::WrongSize
        | Mischief::ForeignCatalogKey
        | Mischief::ExpiredCatalog
        | Mischief::CatalogOnModelHost
        | Mischief::NoSecretService
        | Mischief::KernelKeyring { .. }
        | Mischief::OtherKeyring(_)
        | Mischief::NoAccount => {}
    }
}
