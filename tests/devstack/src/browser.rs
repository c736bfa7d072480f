//! The person's browser: follows one address through its redirects with the headers that a real
//! navigation carries, keeps cookies, fills in the forms of a sign-in, and never leaves loopback.

mod form;
mod window;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use form::Form;
use window::Window;

/// Forms filled in one after the other: a sign-in, a consent, and some air.
const FORM_LIMIT: usize = 5;

/// Bytes of a page.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Longest one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// One answer.
#[derive(Debug)]
pub struct Page {
    /// Where it came from.
    pub url: Url,
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Page {
    /// The body as text, with what is no UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Opens an address the way a click in another program does, follows its redirects, signs in and
/// consents where a page has a form for it, and asks for the favicon of a plain `http` page it
/// ends on, as Chromium does after an OAuth callback.
///
/// # Errors
/// When a host is not loopback, does not answer, or redirects or asks without end.
pub async fn follow(url: &str, tls: &Arc<ClientConfig>) -> Result<Page> {
    let mut window = Window::new(tls);
    let mut page = window.open(url).await?;
    let mut forms = 0;
    while let Some(form) = Form::on(&page) {
        forms += 1;
        ensure!(forms <= FORM_LIMIT, "asked without end");
        page = window.submit(&form).await?;
    }
    if page.url.scheme() == "http" {
        // Nobody may answer there any more; a browser does not mind either.
        let favicon = page.url.join("/favicon.ico")?;
        let _ = request(Method::GET, &favicon, tls, &favicon_headers(), Bytes::new()).await;
    }
    Ok(page)
}

/// [`follow`] without forms and favicon.
///
/// # Errors
/// When a host is not loopback, does not answer, or redirects without end.
pub async fn navigate(url: &str, tls: &Arc<ClientConfig>) -> Result<Page> {
    Window::new(tls).open(url).await
}

/// Sends one request to a loopback host, over TLS for `https`.
///
/// # Errors
/// When the host is not loopback or does not answer in time.
pub async fn request(
    method: Method,
    url: &Url,
    tls: &Arc<ClientConfig>,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Page> {
    tokio::time::timeout(REQUEST_LIMIT, request_unlimited(method, url, tls, headers, body))
        .await
        .context("no answer in time")?
}

async fn request_unlimited(
    method: Method,
    url: &Url,
    tls: &Arc<ClientConfig>,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Page> {
    let target = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = Request::builder().method(method).uri(target).header(HOST, host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body))?;
    let stream = TcpStream::connect(loopback_address(url)?).await?;
    let response = match url.scheme() {
        "https" => {
            let name = ServerName::try_from(url.host_str().context("no host")?.to_owned())?;
            let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
            exchange(stream, request).await?
        }
        "http" => exchange(stream, request).await?,
        _ => bail!("neither https nor http"),
    };
    let (head, body) = response.into_parts();
    Ok(Page { url: url.clone(), status: head.status, headers: head.headers, body })
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<http::Response<Bytes>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok(http::Response::from_parts(head, body))
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection may end right after the last byte: the answer is whole by then or not.
        _ = &mut connection => answer.await,
    }
}

fn loopback_address(url: &Url) -> Result<SocketAddr> {
    let ip = match url.host().context("no host")? {
        Host::Ipv4(ip) => IpAddr::V4(ip),
        Host::Ipv6(ip) => IpAddr::V6(ip),
        Host::Domain(name) if name == "localhost" || name.ends_with(".localhost") => {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        }
        Host::Domain(_) => bail!("the development browser stays on loopback"),
    };
    ensure!(ip.is_loopback(), "the development browser stays on loopback");
    Ok(SocketAddr::new(ip, url.port_or_known_default().context("no port")?))
}

fn navigation_headers(site: &'static str) -> [(&'static str, &'static str); 8] {
    [
        (USER_AGENT.as_str(), "Mozilla/5.0 (X11; Linux x86_64) companion-devstack"),
        (ACCEPT.as_str(), "text/html,application/xhtml+xml,*/*;q=0.8"),
        ("accept-language", "en-GB,en;q=0.9"),
        ("upgrade-insecure-requests", "1"),
        ("sec-fetch-site", site),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-user", "?1"),
    ]
}

fn favicon_headers() -> [(&'static str, &'static str); 4] {
    [
        (ACCEPT.as_str(), "image/avif,image/webp,image/*,*/*;q=0.8"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-dest", "image"),
    ]
}
