//! An account at a gateway: what a configuration must name.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use companion_settings::{is_dialable, is_https, is_localhost, split_host};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use url::Url;

use super::ask::{Asker, given_or_asked, path};
use super::configuration::quoted;
use crate::refusal::Refusal;

/// Longest root that is read, in bytes.
const MAX_ROOT_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Args)]
#[group(id = "account", conflicts_with = "own")]
pub(crate) struct GatewayArgs {
    /// Issuer of your account at a gateway
    #[arg(long, value_name = "ISSUER", value_hint = ValueHint::Url, value_parser = issuer)]
    pub(super) gateway: Option<String>,
    /// Its signed catalog
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, value_parser = catalog_url)]
    pub(super) catalog_url: Option<String>,
    /// First root of that catalog, which is pinned: you have it from whoever runs the gateway
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = trust_root)]
    pub(super) trust_root: Option<PathBuf>,
    /// Where the bytes come from; the port is 443 unless named
    #[arg(long, value_name = "HOST", num_args = 1.., value_delimiter = ',', value_parser = model_host)]
    pub(super) model_hosts: Vec<String>,
    /// One more CA to trust for these hosts, beside the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = ca_file)]
    pub(super) ca_file: Option<PathBuf>,
    /// Allow hosts with loopback and private addresses: for development
    #[arg(long)]
    pub(super) private_hosts: bool,
}

/// What is needed of it at least.
pub(super) const ALL: &str =
    "--gateway ISSUER --catalog-url URL --trust-root FILE --model-hosts HOST";

impl GatewayArgs {
    /// Whether any of them is given.
    pub(super) fn is_any(&self) -> bool {
        missing(self).len() < 4 || self.ca_file.is_some() || self.private_hosts
    }
}

/// What was settled of it.
#[derive(Debug)]
pub(super) struct Gateway {
    issuer: String,
    catalog_url: String,
    pub(super) trust_root: PathBuf,
    model_hosts: Vec<String>,
    ca_file: Option<PathBuf>,
    private_hosts: bool,
}

/// The flags that are needed and not there.
pub(super) fn missing(args: &GatewayArgs) -> Vec<&'static str> {
    [
        ("--gateway ISSUER", args.gateway.is_some()),
        ("--catalog-url URL", args.catalog_url.is_some()),
        ("--trust-root FILE", args.trust_root.is_some()),
        ("--model-hosts HOST", !args.model_hosts.is_empty()),
    ]
    .into_iter()
    .filter_map(|(flag, given)| (!given).then_some(flag))
    .collect()
}

/// Takes what the flags give, and asks for the rest.
pub(super) fn settle(args: &GatewayArgs, asker: &mut Option<Asker>) -> Result<Gateway, Refusal> {
    let issuer = given_or_asked(
        args.gateway.clone(),
        asker,
        "Issuer (the gateway's sign-in address)",
        "",
        issuer,
    )?;
    let usual = usual_catalog(&issuer);
    let catalog_url =
        given_or_asked(args.catalog_url.clone(), asker, "Its signed catalog", &usual, catalog_url)?;
    let trust_root = given_or_asked(
        args.trust_root.clone(),
        asker,
        "First root of that catalog (a file from whoever runs it)",
        "",
        trust_root,
    )?;
    let hosts = (!args.model_hosts.is_empty()).then(|| args.model_hosts.clone());
    let model_hosts =
        given_or_asked(hosts, asker, "Hosts that its files come from", "", model_hosts)?;
    let mut gateway = Gateway {
        issuer,
        catalog_url,
        trust_root,
        model_hosts,
        ca_file: args.ca_file.clone(),
        private_hosts: args.private_hosts,
    };
    if let Some(asker) = asker.as_mut().filter(|_| !missing(args).is_empty()) {
        gateway.ask_what_few_need(asker)?;
    }
    Ok(gateway)
}

impl Gateway {
    /// A CA of its own, and hosts in a private network: a development gateway has both.
    fn ask_what_few_need(&mut self, asker: &mut Asker) -> Result<(), Refusal> {
        if self.ca_file.is_none() {
            let question = "A CA of their own (a file; Enter: the system's alone)";
            self.ca_file = asker.ask(question, "", |typed| match typed {
                "" => Ok(None),
                typed => ca_file(typed).map(Some),
            })?;
        }
        if !self.private_hosts && self.hosts().iter().any(|host| is_private(host)) {
            let question = "They are on this computer or in a private network. Allow that?";
            self.private_hosts = asker.is_agreed(question)?;
        }
        Ok(())
    }

    /// All that are named, without their ports.
    fn hosts(&self) -> Vec<String> {
        let of_url = |url: &String| Some(Url::parse(url).ok()?.host_str()?.to_owned());
        let of_pair = |pair: &String| split_host(pair).map(|(host, _)| host);
        let urls = [&self.issuer, &self.catalog_url].into_iter().filter_map(of_url);
        urls.chain(self.model_hosts.iter().filter_map(of_pair)).collect()
    }

    /// The configuration, with the root pinned where a copy of it will lie.
    pub(super) fn configuration(&self, pinned: &Path) -> String {
        let list = self.model_hosts.iter().map(|host| quoted(host)).collect::<Vec<_>>().join(", ");
        let mut hosts = String::new();
        if let Some(file) = &self.ca_file {
            hosts.push_str(&format!("ca_file = {}\n", quoted(&file.to_string_lossy())));
        }
        if self.private_hosts {
            hosts.push_str("private_hosts = true\n");
        }
        format!(
            "[gateway]\nissuer = {}\ncatalog_url = {}\ntrust_root = {}\n{hosts}\n\
             [models]\nhosts = [{list}]\n{hosts}",
            quoted(&self.issuer),
            quoted(&self.catalog_url),
            quoted(&pinned.to_string_lossy()),
        )
    }
}

fn issuer(text: &str) -> Result<String, String> {
    if is_https(text) {
        Ok(text.to_owned())
    } else {
        Err("An https:// address, please.".to_owned())
    }
}

fn catalog_url(text: &str) -> Result<String, String> {
    issuer(text).map(|url| if url.ends_with('/') { url } else { url + "/" })
}

/// Where a gateway usually has it.
fn usual_catalog(issuer: &str) -> String {
    let joined = Url::parse(issuer).and_then(|url| url.join("/companion/catalog/"));
    joined.map_or_else(|_| String::new(), String::from)
}

/// `host` or `host:port`, several by commas.
fn model_hosts(text: &str) -> Result<Vec<String>, String> {
    text.split(',').map(|host| model_host(host.trim())).collect()
}

fn model_host(text: &str) -> Result<String, String> {
    let with_port = format!("{text}:443");
    let known = [text, &with_port].into_iter().find(|it| split_host(it).is_some());
    known.map(str::to_owned).ok_or_else(|| "A host, or host:port, please.".to_owned())
}

/// Whether a host is not public by its name or address alone; nobody is asked for it.
fn is_private(host: &str) -> bool {
    let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
    is_localhost(host) || literal.is_ok_and(|address| !is_dialable(address, false))
}

/// An absolute path of a file that holds a certificate.
fn ca_file(text: &str) -> Result<PathBuf, String> {
    let path = std::fs::canonicalize(path(text)).map_err(|_| "There is no such file.")?;
    let pem = std::fs::read(&path).map_err(|_| "That file cannot be read.")?;
    match CertificateDer::pem_slice_iter(&pem).next() {
        Some(Ok(_)) => Ok(path),
        _ => Err("That file holds no certificate in PEM form.".to_owned()),
    }
}

/// An absolute path of a file that holds a root.
fn trust_root(text: &str) -> Result<PathBuf, String> {
    let path = std::fs::canonicalize(path(text)).map_err(|_| "There is no such file.")?;
    let bytes = read_root(&path).map_err(|_| "That file cannot be read.")?;
    let root: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if root["signed"]["_type"] == "root" {
        Ok(path)
    } else {
        Err("That is no root of a catalog: a JSON file whose `_type` is `root`.".to_owned())
    }
}

/// The root as it lies there.
pub(super) fn read_root(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_ROOT_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_as_people_give_them() {
        assert_eq!(issuer("https://g.example/a").expect("it"), "https://g.example/a");
        assert_eq!(catalog_url("https://g.example/c").expect("it"), "https://g.example/c/");
        assert_eq!(
            usual_catalog("https://g.example:8/a/b"),
            "https://g.example:8/companion/catalog/"
        );
        assert_eq!(
            model_hosts("m.example, n.example:8443").expect("hosts"),
            ["m.example:443", "n.example:8443"]
        );
        for wrong in ["", "http://g.example/", "g.example"] {
            assert!(issuer(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "m.example:0", "a b", "https://m.example/"] {
            assert!(model_hosts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_that_are_not_public_are_known_by_their_names_and_numbers() {
        for host in ["localhost", "models.localhost", "127.0.0.1", "10.1.2.3", "[::1]", "::1"] {
            assert!(is_private(host), "{host}");
        }
        for host in ["models.example", "93.184.216.34", "localhost.example"] {
            assert!(!is_private(host), "{host}");
        }
    }

    #[test]
    fn only_a_root_is_pinned() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let text = file.path().to_str().expect("text");
        for (content, is_root) in [
            (r#"{"signed":{"_type":"root"},"signatures":[]}"#, true),
            (r#"{"signed":{"_type":"targets"},"signatures":[]}"#, false),
            ("no JSON", false),
        ] {
            std::fs::write(file.path(), content).expect("written");
            assert_eq!(trust_root(text).is_ok(), is_root, "{content}");
        }
        assert!(trust_root("/nonexistent/root.json").is_err());
    }
}
