//! Bounded HTTPS over connections that the launcher hands out. No redirect is followed, no cookie
//! kept, and no URL ever printed.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use zeroize::Zeroizing;

use crate::connections::Connections;
use crate::limits::{HTTPS_CONNECT, HTTPS_REQUEST};

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpsError {
    /// The URL is not one that may be asked.
    #[error("not an https URL with a host")]
    NotHttps,
    /// No verified connection came about.
    #[error("no verified connection")]
    Unreachable,
    /// The connection broke, or what came was not HTTP.
    #[error("the answer broke off")]
    Broken,
    /// The answer is longer than it may be.
    #[error("the answer is too long")]
    TooLarge,
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
}

/// An answer, read to its end; its body is overwritten when dropped.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) is_json: bool,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// The HTTPS client; cheap to clone.
#[derive(Clone)]
pub(crate) struct Https {
    connections: Connections,
    tls: Option<TlsConnector>,
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Https")
    }
}

impl Https {
    /// Where its connections come from.
    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// A client; without a TLS configuration every request fails as unreachable.
    pub(crate) fn new(connections: Connections, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { connections, tls: tls.map(TlsConnector::from) }
    }

    /// Asks for a document.
    pub(crate) async fn get(&self, url: &Url, limit: usize) -> Result<Answer, HttpsError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(url.as_str())
            .header(ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| HttpsError::NotHttps)?;
        self.send(request, limit).await
    }

    /// Sends a request and reads its answer, of at most `limit` bytes, within 30 s in all.
    pub(crate) async fn send(
        &self,
        request: Request<Vec<u8>>,
        limit: usize,
    ) -> Result<Answer, HttpsError> {
        timeout(HTTPS_REQUEST, self.exchange(request, limit))
            .await
            .unwrap_or(Err(HttpsError::Timeout))
    }

    async fn exchange(
        &self,
        request: Request<Vec<u8>>,
        limit: usize,
    ) -> Result<Answer, HttpsError> {
        let origin = Origin::of(request.uri())?;
        let request = in_origin_form(request, &origin)?;
        let (mut sender, _connection) = timeout(HTTPS_CONNECT, self.connect(&origin))
            .await
            .unwrap_or(Err(HttpsError::Timeout))?;
        let response = sender.send_request(request).await.map_err(|_| HttpsError::Broken)?;
        answer(response, limit).await
    }

    async fn connect(
        &self,
        origin: &Origin,
    ) -> Result<(http1::SendRequest<Full<Bytes>>, AbortOnDropHandle<()>), HttpsError> {
        let tls = self.tls.as_ref().ok_or(HttpsError::Unreachable)?;
        let name = ServerName::try_from(origin.host.clone()).map_err(|_| HttpsError::NotHttps)?;
        let stream = self
            .connections
            .gateway(&origin.host, origin.port)
            .await
            .map_err(|_| HttpsError::Unreachable)?;
        let stream = tls.connect(name, stream).await.map_err(|_| HttpsError::Unreachable)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| HttpsError::Broken)?;
        let driven = tokio::spawn(async move {
            // How a connection ends says nothing that the request has not said.
            let _ = connection.await;
        });
        Ok((sender, AbortOnDropHandle::new(driven)))
    }
}

struct Origin {
    /// Name or address literal, without brackets.
    host: String,
    port: u16,
    /// As the `Host` header says it.
    authority: String,
}

impl Origin {
    fn of(uri: &Uri) -> Result<Self, HttpsError> {
        let url = Url::parse(&uri.to_string()).map_err(|_| HttpsError::NotHttps)?;
        let plain = url.username().is_empty() && url.password().is_none();
        let (Some(written), Some(port), true) =
            (url.host_str(), url.port_or_known_default(), url.scheme() == "https" && plain)
        else {
            return Err(HttpsError::NotHttps);
        };
        let host = written.trim_start_matches('[').trim_end_matches([']', '.']).to_owned();
        let authority = match url.port() {
            Some(port) => format!("{written}:{port}"),
            None => written.to_owned(),
        };
        Ok(Self { host, port, authority })
    }
}

fn in_origin_form(
    request: Request<Vec<u8>>,
    origin: &Origin,
) -> Result<Request<Full<Bytes>>, HttpsError> {
    let (mut head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    head.uri = Uri::try_from(target).map_err(|_| HttpsError::NotHttps)?;
    let host = HeaderValue::from_str(&origin.authority).map_err(|_| HttpsError::NotHttps)?;
    head.headers.insert(HOST, host);
    head.headers.insert(USER_AGENT, HeaderValue::from_static("companion"));
    Ok(Request::from_parts(head, Full::new(Bytes::from(body))))
}

async fn answer(response: Response<Incoming>, limit: usize) -> Result<Answer, HttpsError> {
    let (head, body) = response.into_parts();
    let is_json = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    let mut body = Limited::new(body, limit);
    let mut read = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let too_large = error.is::<http_body_util::LengthLimitError>();
            if too_large { HttpsError::TooLarge } else { HttpsError::Broken }
        })?;
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data);
        }
    }
    Ok(Answer { status: head.status, is_json, body: read })
}

#[cfg(test)]
mod tests {
    use http::{Request, Response, StatusCode};
    use url::Url;

    use super::HttpsError;
    use crate::testing::Gateway;

    #[tokio::test]
    async fn a_request_reaches_the_gateway_with_its_host_and_comes_back() {
        let gateway = Gateway::start(|request| {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            Response::new(format!("{} {} {host}", request.method(), request.uri()).into_bytes())
        });
        let url = gateway.url("/a?b=c");
        let answer = gateway.https().get(&url, 1000).await.unwrap();
        let authority = format!("gateway.localhost:{}", gateway.port());
        assert_eq!(answer.body.as_slice(), format!("GET /a?b=c {authority}").as_bytes());
        assert!(!answer.is_json);
    }

    #[tokio::test]
    async fn an_answer_longer_than_its_limit_is_refused() {
        let gateway = Gateway::start(|_| Response::new(vec![b'x'; 1001]));
        let https = gateway.https();
        let url = gateway.url("/");
        assert_eq!(https.get(&url, 1000).await.err(), Some(HttpsError::TooLarge));
        assert!(https.get(&url, 1001).await.is_ok());
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let gateway = Gateway::start(|request| {
            assert_eq!(request.uri().path(), "/start");
            let redirect = Response::builder().status(302).header("location", "/elsewhere");
            redirect.body(Vec::new()).unwrap()
        });
        let answer = gateway.https().get(&gateway.url("/start"), 1000).await.unwrap();
        assert_eq!(answer.status, StatusCode::FOUND);
        assert_eq!(gateway.requests(), 1);
    }

    #[tokio::test]
    async fn a_certificate_of_an_unknown_authority_or_another_name_is_refused() {
        let gateway = Gateway::start(|_| Response::new(Vec::new()));
        let stranger = Gateway::start(|_| Response::new(Vec::new()));
        let by_stranger = gateway.https_that_trusts(&stranger);
        let url = gateway.url("/");
        assert_eq!(by_stranger.get(&url, 1000).await.err(), Some(HttpsError::Unreachable));
        let other_name =
            Url::parse(&format!("https://other.localhost:{}/", gateway.port())).unwrap();
        let refused = gateway.https().get(&other_name, 1000).await;
        assert_eq!(refused.err(), Some(HttpsError::Unreachable));
        assert_eq!(gateway.requests(), 0);
    }

    #[tokio::test]
    async fn only_https_is_spoken() {
        let gateway = Gateway::start(|_| Response::new(Vec::new()));
        for url in ["http://gateway.localhost/", "https://u:p@gateway.localhost/", "/x"] {
            let request = Request::builder().uri(url).body(Vec::new());
            if let Ok(request) = request {
                let refused = gateway.https().send(request, 10).await;
                assert_eq!(refused.err(), Some(HttpsError::NotHttps), "{url}");
            }
        }
    }
}
