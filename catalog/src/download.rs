//! A file from the web onto the catalog's own disk, before it is examined like any other.
//!
//! What it is to be is decided by whoever signs the catalog afterwards; here only bytes are moved:
//! over verified TLS, bounded in number and in time, and without any key of the catalog at hand.

use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use indicatif::{ProgressBar, ProgressStyle};
use rustls_pki_types::ServerName;
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::examine::{is_listable, unknown_kind};
use crate::lock::growing;
use crate::refusal::Refusal;
use crate::tls;

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Longest wait for a connection, an answer or the next bytes.
const STALL: Duration = Duration::from_secs(30);
/// Most that is kept of a header block, in bytes.
const HTTP_BUFFER: usize = 64 * 1024;

/// The URL, where what was named is one; `None` for a path.
pub(crate) fn url(named: &Path) -> Result<Option<Url>> {
    let Some(text) = named.to_str().filter(|text| text.contains("://")) else { return Ok(None) };
    let url = Url::parse(text).map_err(|_| malformed())?;
    check(&url)?;
    Ok(Some(url))
}

/// The name a file has in its URL, as a person would read it (RFC 3986, 2.1).
pub(crate) fn name(url: &Url) -> String {
    let segment = url.path_segments().and_then(|mut segments| segments.next_back());
    let mut left = segment.unwrap_or_default().as_bytes();
    let mut name = Vec::new();
    while let Some((&first, rest)) = left.split_first() {
        let decoded = rest.split_at_checked(2).filter(|_| first == b'%');
        let decoded = decoded.and_then(|(digits, after)| Some((hex(digits)?, after)));
        let (byte, after) = decoded.unwrap_or((first, rest));
        name.push(byte);
        left = after;
    }
    String::from_utf8_lossy(&name).into_owned()
}

/// Two hexadecimal digits, and no sign.
fn hex(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u8::from_str_radix(text, 16).ok()
}

/// Downloads into a file of mode 0600 of the catalog in `dir`, which goes away with the value.
pub(crate) async fn download(
    url: Url,
    ca_file: Option<&Path>,
    dir: &Path,
    shows: bool,
) -> Result<NamedTempFile> {
    let tls = TlsConnector::from(Arc::new(tls::client_config(ca_file)?));
    let (mut url, mut redirects) = (url, 0);
    loop {
        let response = get(&url, &tls).await?;
        if !response.status().is_redirection() {
            return save(response, dir, shows).await;
        }
        redirects += 1;
        if redirects > MAX_REDIRECTS {
            bail!(Refusal::new("too_many_redirects", "The server redirects too often", WHERE));
        }
        let location = response.headers().get(header::LOCATION).and_then(|it| it.to_str().ok());
        url = location.and_then(|it| url.join(it).ok()).ok_or_else(malformed)?;
        check(&url)?;
    }
}

const WHERE: &str = "Check the address.";
const AGAIN: &str = "Try again.";

fn malformed() -> anyhow::Error {
    anyhow!(Refusal::new("malformed_url", "The address is malformed, or has a user in it", WHERE))
}

/// https alone, and nobody's password in it.
fn check(url: &Url) -> Result<()> {
    if url.scheme() != "https" {
        let what = "A model is downloaded over https alone";
        bail!(Refusal::new("scheme_not_allowed", what, "Give an https:// address, or a file."));
    }
    if !url.username().is_empty() || url.password().is_some() || url.host_str().is_none() {
        bail!(malformed());
    }
    Ok(())
}

/// One request over a connection of its own, which lives as long as the body is read.
async fn get(url: &Url, tls: &TlsConnector) -> Result<Response<Incoming>> {
    let failed = || Refusal::new("connection_failed", "No secure connection came about", WHERE);
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = in_time(TcpStream::connect((bare.as_str(), port))).await?.with_context(failed)?;
    let name = ServerName::try_from(bare).with_context(failed)?;
    let stream = in_time(tls.connect(name, stream)).await?.with_context(failed)?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HTTP_BUFFER)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|_| failed())?;
    tokio::spawn(connection);
    let request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, &url[url::Position::BeforeHost..url::Position::AfterPort])
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::USER_AGENT, concat!("companion-catalog/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|_| malformed())?;
    Ok(in_time(sender.send_request(request)).await?.map_err(|_| failed())?)
}

async fn save(response: Response<Incoming>, dir: &Path, shows: bool) -> Result<NamedTempFile> {
    let status = response.status();
    if status != http::StatusCode::OK {
        let cause = anyhow!("HTTP {}", status.as_u16());
        let what = "The server did not give out the file";
        return Err(cause.context(Refusal::new("server_refused", what, WHERE)));
    }
    // hyper lets no more bytes through than were announced, and no fewer.
    let announced = response.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    let silent = || {
        let what = "The server does not say how large the file is";
        Refusal::new("server_refused", what, "Download it by other means, and add the file.")
    };
    let announced = announced.with_context(silent)?;
    leave_room(announced, dir)?;
    let bar = bar(announced, shows);
    let mut file = growing(dir).with_context(room)?;
    let (mut body, mut head) = (response.into_body(), Vec::new());
    while let Some(frame) = in_time(body.frame()).await? {
        let frame = frame.map_err(|_| {
            Refusal::new("download_truncated", "The download ended too early", AGAIN)
        })?;
        let Ok(bytes) = frame.into_data() else { continue };
        // Not a page that says that there is none.
        if head.len() < 4 {
            head.extend_from_slice(&bytes[..bytes.len().min(4)]);
            if head.len() >= 4 && !is_listable(&head) {
                bail!(unknown_kind("What lies there is"));
            }
        }
        file.write_all(&bytes).with_context(room)?;
        bar.inc(bytes.len() as u64);
    }
    bar.finish_and_clear();
    file.as_file().sync_all()?;
    Ok(file)
}

async fn in_time<T>(act: impl Future<Output = T>) -> Result<T> {
    let late = || Refusal::new("download_stalled", "The server stopped answering", AGAIN);
    timeout(STALL, act).await.with_context(late)
}

fn leave_room(bytes: u64, dir: &Path) -> Result<()> {
    let facts = rustix::fs::statvfs(dir)?;
    if bytes > facts.f_bavail.saturating_mul(facts.f_frsize) {
        bail!(room());
    }
    Ok(())
}

fn room() -> Refusal {
    Refusal::new("disk_full", "There is not enough free space for it", "Free some.")
}

/// Hidden where nobody is to see it.
fn bar(announced: u64, shows: bool) -> ProgressBar {
    if !shows {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{wide_bar} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
    );
    ProgressBar::new(announced).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_on_the_disk_is_refused_before_its_first_byte() {
        let dir = tempfile::tempdir().expect("directory");
        leave_room(1, dir.path()).expect("a byte fits");
        let error = leave_room(u64::MAX, dir.path()).expect_err("refused");
        assert_eq!(crate::refusal::reason(&error), "disk_full");
    }

    #[test]
    fn only_https_without_a_password_is_a_source_and_a_path_is_a_path() {
        let of = |text: &str| url(Path::new(text));
        assert!(of("models/m.gguf").expect("a path").is_none());
        let page = of("https://m.example/a/m-Q4.gguf?download=true").expect("it").expect("a URL");
        assert_eq!(name(&page), "m-Q4.gguf");
        for (path, read) in [
            ("my%20model%2BQ4.gguf", "my model+Q4.gguf"),
            ("gr%C3%B6%C3%9Fe.gguf", "größe.gguf"),
            ("100%.gguf", "100%.gguf"),
            ("a%+1b%4", "a%+1b%4"),
            ("%ff", "\u{fffd}"),
        ] {
            let url = of(&format!("https://m.example/a/{path}")).expect("it").expect("a URL");
            assert_eq!(name(&url), read, "{path}");
        }
        for (text, reason) in [
            ("http://m.example/m.gguf", "scheme_not_allowed"),
            ("file:///m.gguf", "scheme_not_allowed"),
            ("https://ana:secret@m.example/m.gguf", "malformed_url"),
            ("https://", "malformed_url"),
        ] {
            let error = of(text).expect_err("refused");
            assert_eq!(crate::refusal::reason(&error), reason, "{text}");
            assert!(!crate::refusal::message(&error).contains("secret"), "{text}");
        }
    }
}
