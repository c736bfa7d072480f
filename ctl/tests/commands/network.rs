//! `companionctl doctor` on the way to gateway and model hosts, at real TLS servers.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::nobody;
use crate::stand_in::Ran;

#[test]
fn doctor_says_of_each_host_what_is_wrong_with_its_certificate() {
    let street = Street::new();
    let ours = Authority::new();
    let hosts = [
        ("good", street.tls(&ours.leaf("good.localhost", 2000, 2100))),
        ("old", street.tls(&ours.leaf("old.localhost", 2000, 2001))),
        ("young", street.tls(&ours.leaf("young.localhost", 2099, 2100))),
        ("misnamed", street.tls(&ours.leaf("another.localhost", 2000, 2100))),
        ("strange", street.tls(&Authority::new().leaf("strange.localhost", 2000, 2100))),
        ("plain", street.plain()),
        ("mute", street.mute()),
        ("shut", street.shut()),
    ];
    let (ran, _) = doctor(&hosts, &ours.pem, "", &[]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    let said = ran.json();
    let found = of(&said, "model_host");
    for (check, ((name, _), (state, reason, mend))) in found.iter().zip(hosts.iter().zip([
        ("ok", Value::Null, ""),
        ("fail", "certificate_expired".into(), "timedatectl"),
        ("fail", "certificate_not_yet_valid".into(), "timedatectl"),
        ("fail", "certificate_wrong_name".into(), "[models]"),
        ("fail", "certificate_untrusted".into(), "ca_file in [models]"),
        ("fail", "tls_failed".into(), "curl -v https://plain.localhost:"),
        ("fail", "tls_timeout".into(), "curl -v https://mute.localhost:"),
        ("fail", "connection_refused".into(), "whether the service runs"),
    ])) {
        assert_eq!((&check["state"], &check["reason"]), (&state.into(), &reason), "{check}");
        assert!(check["meaning"].as_str().expect("words").contains(name), "{check}");
        assert!(check["mend"].as_str().unwrap_or_default().contains(mend), "{check}");
    }
    assert_eq!(found.len(), hosts.len());
}

#[test]
fn doctor_believes_whom_the_processes_would_believe_and_no_one_else() {
    let street = Street::new();
    let ours = Authority::new();
    let good = street.tls(&ours.leaf("good.localhost", 2000, 2100));
    let gateway = |more: &str| {
        format!("[gateway]\nissuer = \"https://good.localhost:{}/auth\"\n{more}", good.port())
    };
    let alone = |more: &str, env: &[(&str, &str)]| {
        let (ran, _) = doctor(&[], &ours.pem, &gateway(more), env);
        of(&ran.json(), "gateway").first().cloned().unwrap_or_default()
    };
    let ca_of_models_only = alone("private_hosts = true", &[]);
    assert_eq!(ca_of_models_only["reason"], "certificate_untrusted");
    let not_public = alone("", &[]);
    assert_eq!(not_public["reason"], "address_not_allowed");
    let dir = tempfile::tempdir().expect("directory");
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, &ours.pem).expect("written");
    let ca = ca.to_str().expect("text");
    let with_ca = alone(&format!("private_hosts = true\nca_file = {ca:?}"), &[]);
    assert_eq!(with_ca["state"], "ok", "{with_ca}");
    let by_variable = alone("private_hosts = true", &[("SSL_CERT_FILE", ca)]);
    assert_eq!(by_variable["reason"], "certificate_untrusted", "no process sees the variable");
    let nowhere = "[gateway]\nissuer = \"https://gateway.invalid/\"\n";
    let (ran, shown) = doctor(&[], &ours.pem, nowhere, &[]);
    assert_eq!(of(&ran.json(), "gateway")[0]["reason"], "name_not_found", "{ran:?}");
    assert!(shown.stdout().contains("The name gateway.invalid has no address."), "{shown:?}");
}

/// With the models' CA configured: what a program reads, and what a person does.
fn doctor(
    hosts: &[(&str, SocketAddr)],
    ca: &str,
    gateway: &str,
    env: &[(&str, &str)],
) -> (Ran, Ran) {
    let nobody = nobody();
    let (ca_file, config) = (nobody.dir().join("models.pem"), nobody.dir().join("config.toml"));
    fs::write(&ca_file, ca).expect("written");
    let hosts: Vec<_> =
        hosts.iter().map(|(name, at)| format!("{name}.localhost:{}", at.port())).collect();
    let models =
        format!("[models]\nhosts = {hosts:?}\nca_file = {ca_file:?}\nprivate_hosts = true");
    fs::write(&config, format!("{gateway}\n{models}\n")).expect("written");
    let config = config.to_str().expect("text");
    let ctl =
        |more: &[&str]| nobody.ctl_with(&[&["--config", config, "doctor"], more].concat(), "", env);
    (ctl(&["--json"]), ctl(&[]))
}

fn of(said: &Value, check: &str) -> Vec<Value> {
    let checks = said["checks"].as_array().expect("checks");
    checks.iter().filter(|one| one["check"] == check).cloned().collect()
}

/// Servers on loopback, for as long as it is held.
struct Street {
    runtime: tokio::runtime::Runtime,
}

impl Street {
    fn new() -> Self {
        Self { runtime: tokio::runtime::Runtime::new().expect("runtime") }
    }

    fn tls(&self, leaf: &Leaf) -> SocketAddr {
        let acceptor = TlsAcceptor::from(Arc::clone(&leaf.0));
        let listener = self.listener();
        let address = listener.local_addr().expect("bound");
        self.runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whom the client does not believe it leaves.
                let _ = acceptor.accept(stream).await;
            }
        });
        address
    }

    fn plain(&self) -> SocketAddr {
        let listener = self.listener();
        let address = listener.local_addr().expect("bound");
        self.runtime.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        });
        address
    }

    /// Takes connections, as the kernel does for it, and never reads one.
    fn mute(&self) -> SocketAddr {
        let listener = self.listener();
        let address = listener.local_addr().expect("bound");
        self.runtime.spawn(async move {
            let _held = listener;
            std::future::pending::<()>().await;
        });
        address
    }

    /// The number of a socket that does not listen.
    fn shut(&self) -> SocketAddr {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
        let address = socket.local_addr().expect("bound").as_socket().expect("an address");
        self.runtime.spawn(async move {
            let _held = socket;
            std::future::pending::<()>().await;
        });
        address
    }

    fn listener(&self) -> TcpListener {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
        socket.listen(16).expect("listening");
        socket.set_nonblocking(true).expect("mode");
        let _inside = self.runtime.enter();
        TcpListener::from_std(socket.into()).expect("a listener")
    }
}

/// A certificate authority made on the spot.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

struct Leaf(Arc<ServerConfig>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("key");
        let pem = params.self_signed(&key).expect("certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A server's configuration with a certificate for this name, good from one year to another.
    fn leaf(&self, name: &str, from: i32, to: i32) -> Leaf {
        let mut params = CertificateParams::new([name.to_owned()]).expect("parameters");
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().expect("key");
        let certificate = params.signed_by(&key, &self.issuer).expect("certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("configuration");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Leaf(Arc::new(config))
    }
}
