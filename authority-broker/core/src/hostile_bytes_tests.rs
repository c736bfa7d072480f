//! The parsers that read what others sent, against mutants of a committed corpus.

#[path = "../../../tests/fuzz/mutants.rs"]
mod mutants;

use crate::callback::{self, Expected};
use crate::discovery::{self, Issuer};
use crate::redirect::RedirectUri;
use crate::session::SessionMeta;
use crate::{OneTimeValue, Secret, limits, token_response};

const ISSUER: &str = "https://gateway.example/native";
/// Pieces that the parsers look for.
const WORDS: &[&[u8]] = &[
    b"&",
    b"=",
    b"%00",
    b"%26",
    b"+",
    b"state=",
    b"code=",
    b"iss=",
    b"error=",
    b"\"",
    b"{",
    b"}",
    b"null",
    b"-1",
    b"1e400",
    b"18446744073709551616",
    b"\\u0000",
    b"\xff",
    b"@",
    b"[::1]",
    b"127.0.0.1:",
    b"https://",
    b"\"error\":\"x\"",
    b"\"token_type\":\"bearer\"",
];

fn fuzz(name: &'static str, judge: impl Fn(&[u8]) -> bool) {
    mutants::Target { name, mutants: 20_000, words: WORDS }.fuzz(judge);
}

#[test]
fn a_callback_is_accepted_only_with_the_state_and_issuer_once_and_a_bounded_code() {
    let state = OneTimeValue::from_random([7; 32]);
    let text = state.expose_for_authorization_url().to_owned();
    fuzz("callback", |bytes| {
        let Ok(query) = std::str::from_utf8(bytes) else { return false };
        let query = query.replace("STATE", &text);
        let expected = Expected { state: &state, issuer: ISSUER, require_iss: true };
        let Ok(code) = callback::judge(&query, expected) else { return false };
        // An independent reader of the same form.
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let all = |name| pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_ref()).collect();
        let (states, issuers, codes): (Vec<&str>, Vec<&str>, Vec<&str>) =
            (all("state"), all("iss"), all("code"));
        assert_eq!((states, issuers), (vec![text.as_str()], vec![ISSUER]));
        assert_eq!(codes, [code.expose_for_token_request()]);
        assert!((1..=limits::MAX_CODE_CHARS).contains(&codes[0].chars().count()));
        assert!(query.len() <= limits::MAX_QUERY_BYTES);
        true
    });
}

#[test]
fn a_redirect_uri_is_accepted_only_as_a_loopback_literal_for_any_url_parser_too() {
    fuzz("redirect_uri", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        let Ok(uri) = RedirectUri::parse(text) else { return false };
        assert_eq!(uri.as_str(), text);
        let url = url::Url::parse(text).unwrap();
        assert!(matches!(url.host_str(), Some("127.0.0.1" | "[::1]")), "{url}");
        assert_eq!(url.scheme(), "http");
        assert!(url.username().is_empty() && url.password().is_none());
        assert!(url.query().is_none() && url.fragment().is_none());
        assert_ne!(url.port_or_known_default(), Some(0));
        assert!(text.starts_with(&format!("http://{}", uri.authority())));
        true
    });
}

#[test]
fn a_token_response_is_accepted_only_with_a_bounded_bearer_token_that_lasts() {
    fuzz("token_response", |bytes| {
        let _ = token_response::judge_refusal(400, bytes);
        let Ok(response) = token_response::judge(bytes) else { return false };
        assert!((1..=limits::MAX_EXPIRES_IN_S).contains(&response.expires_in_s));
        let tokens = [Some(&response.access_token), response.refresh_token.as_ref()];
        for token in tokens.into_iter().flatten() {
            let token = token.expose_text().unwrap();
            assert!((1..=limits::MAX_TOKEN_CHARS).contains(&token.len()));
            assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        let said: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        assert!(said["token_type"].as_str().unwrap().eq_ignore_ascii_case("bearer"));
        assert!(said.get("error").is_none_or(serde_json::Value::is_null));
        true
    });
}

#[test]
fn metadata_is_accepted_only_for_its_issuer_with_https_endpoints_of_its_host() {
    let issuer = Issuer::parse(ISSUER).unwrap();
    fuzz("discovery", |bytes| {
        let Ok(server) = discovery::judge(bytes, &issuer) else { return false };
        let said: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(said["issuer"], ISSUER);
        let optional = [&server.registration_endpoint, &server.revocation_endpoint];
        let endpoints = [&server.authorization_endpoint, &server.token_endpoint];
        for url in endpoints.into_iter().chain(optional.into_iter().flatten()) {
            assert_eq!((url.scheme(), url.host_str()), ("https", Some("gateway.example")));
            assert!(url.username().is_empty() && url.password().is_none());
        }
        true
    });
}

#[test]
fn a_session_record_is_accepted_only_for_its_issuer_and_reads_back_as_written() {
    let issuer = Issuer::parse(ISSUER).unwrap();
    fuzz("session_metadata", |bytes| {
        let Ok(record) = Secret::new(bytes.to_vec()) else { return false };
        let Some(meta) = SessionMeta::of_record(&record, &issuer) else { return false };
        assert_eq!(meta.issuer, ISSUER);
        let Ok(written) = meta.to_record() else { return true };
        let again = SessionMeta::of_record(&written, &issuer).unwrap();
        assert_eq!(again.to_record().unwrap().expose_bytes(), written.expose_bytes());
        true
    });
}
