//! A raw HTTP/1.1 client that sends exactly the bytes it is given, as a hostile peer would.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest any answer may take before the test fails.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// One parsed response; header names in lower case, chunked bodies joined.
#[derive(Debug)]
pub struct RawResponse {
    /// Status code.
    pub status: u16,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl RawResponse {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The reason code of an error body.
    ///
    /// # Errors
    /// When the body is no OpenAI-shaped error.
    pub fn code(&self) -> Result<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body)?;
        Ok(body["error"]["code"].as_str().context("no error.code")?.to_owned())
    }
}

/// Sends the bytes to `HOST:PORT` and reads until the peer closes or the response is whole.
///
/// # Errors
/// When nobody answers with a response.
pub async fn raw_request(address: &str, request: &[u8]) -> Result<RawResponse> {
    tokio::time::timeout(ANSWER_LIMIT, async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        read_response(&mut stream).await
    })
    .await
    .context("no answer in time")?
}

/// GET with an optional bearer token.
///
/// # Errors
/// When nobody answers with a response.
pub async fn get(address: &str, path: &str, token: Option<&str>) -> Result<RawResponse> {
    let bearer = token.map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{bearer}Connection: close\r\n\r\n");
    raw_request(address, request.as_bytes()).await
}

/// POST of a JSON body with the bearer token.
///
/// # Errors
/// When nobody answers with a response.
pub async fn post(address: &str, path: &str, token: &str, body: &str) -> Result<RawResponse> {
    raw_request(address, post_bytes(address, path, token, body).as_bytes()).await
}

/// A body for `/v1/chat/completions` whose answer is short.
pub const ONE_WORD: &str =
    r#"{"max_tokens":8,"messages":[{"role":"user","content":"Say one word."}]}"#;

/// Asks for [`ONE_WORD`].
///
/// # Errors
/// Unless the model answers with text.
pub async fn say_one_word(address: &str, token: &str) -> Result<()> {
    let answer = post(address, "/v1/chat/completions", token, ONE_WORD).await?;
    let said: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let text = said["choices"][0]["message"]["content"].as_str();
    anyhow::ensure!(text.is_some_and(|text| !text.is_empty()), "{} {said}", answer.status);
    Ok(())
}

/// POST of a JSON body whose answer streams; yields once the first body byte is there. Dropping
/// it closes the connection.
///
/// # Errors
/// When the answer is not 200 or no byte of it comes.
pub async fn open_stream(address: &str, path: &str, token: &str, body: &str) -> Result<TcpStream> {
    tokio::time::timeout(ANSWER_LIMIT, async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(post_bytes(address, path, token, body).as_bytes()).await?;
        let mut seen = Vec::new();
        while !contains(&seen, b"data:") {
            let read = stream.read_buf(&mut seen).await?;
            if read == 0 {
                bail!("the stream ended: {}", String::from_utf8_lossy(&seen));
            }
        }
        Ok(stream)
    })
    .await
    .context("no answer in time")?
}

fn post_bytes(address: &str, path: &str, token: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn read_response(stream: &mut TcpStream) -> Result<RawResponse> {
    let mut bytes = Vec::new();
    while !contains(&bytes, b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await? == 0 {
            bail!("closed before a response head: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
    let head_end = find(&bytes, b"\r\n\r\n").context("no head")?;
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .context("no status")?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let mut body = bytes.split_off(head_end + 4);
    let length = value("content-length").and_then(|length| length.parse::<usize>().ok());
    let chunked = value("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
    loop {
        let whole = match length {
            Some(length) => body.len() >= length,
            None => chunked && body.ends_with(b"0\r\n\r\n"),
        };
        if whole || stream.read_buf(&mut body).await? == 0 {
            break;
        }
    }
    let body = if chunked { join_chunks(&body)? } else { body };
    Ok(RawResponse { status, headers, body })
}

fn join_chunks(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(end) = find(rest, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end])?.trim(), 16)?;
        if size == 0 {
            break;
        }
        let chunk = rest.get(end + 2..end + 2 + size).context("a cut chunk")?;
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).context("a cut chunk")?;
    }
    Ok(body)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    find(haystack, needle).is_some()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
